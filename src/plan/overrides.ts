/** `--set a.b=c`: changes a study before it is parsed, so that the change stands in the plan like any other setting. */
import { parse } from "yaml";
import { InwardError } from "../errors.js";

export function applyOverrides(raw: Record<string, unknown>, overrides: readonly string[]): Record<string, unknown> {
  const result = structuredClone(raw);
  for (const override of overrides) {
    const at = override.indexOf("=");
    const path = override.slice(0, at).split(".");
    if (at <= 0 || path.some((step) => step === "" || step === "__proto__")) {
      throw new InwardError("USAGE", `--set wants a.b=value, not "${override}".`);
    }
    let place: Record<string, unknown> = result;
    for (const step of path.slice(0, -1)) {
      const next = place[step];
      if (next === undefined) place[step] = {};
      else if (next === null || typeof next !== "object") {
        throw new InwardError("USAGE", `--set ${override}: "${step}" is a value, not a group of keys.`);
      }
      place = place[step] as Record<string, unknown>;
    }
    try {
      place[path.at(-1) as string] = parse(override.slice(at + 1));
    } catch (error) {
      throw new InwardError("USAGE", `--set ${override}: ${(error as Error).message}`);
    }
  }
  return result;
}
