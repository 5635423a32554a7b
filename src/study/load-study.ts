/** Reads a study file: YAML with places for errors, unknown keys named with their nearest neighbour, --set applied. */

import { readFile } from "node:fs/promises";
import { LineCounter, parse, parseDocument } from "yaml";
import type { z } from "zod";
import { nearestName } from "../base/nearest-name.js";
import { InwardError } from "../errors.js";
import { studySchema } from "./schema.js";
import { type Study, type StudyEngine, toStudy } from "./study.js";

// `--set a.b=c`: changes a study before it is parsed, so that the change stands in the plan like any other setting.

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

/** @throws STUDY_NOT_FOUND, STUDY_NOT_YAML, STUDY_UNKNOWN_KEY, STUDY_INVALID, USAGE */
export async function loadStudy(path: string, overrides: readonly string[] = []): Promise<Study> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new InwardError("STUDY_NOT_FOUND", `There is no study that can be read at ${path} (${error.code}).`);
  });
  return parseStudy(text, path, overrides);
}

export function parseStudy(text: string, path: string, overrides: readonly string[] = []): Study {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const broken = document.errors[0];
  if (broken) {
    const { line, col } = lines.linePos(broken.pos[0]);
    throw new InwardError("STUDY_NOT_YAML", `${path}, line ${line}, column ${col}: ${broken.message}`);
  }
  const raw: unknown = document.toJS({ maxAliasCount: 100 });
  if (raw === null || typeof raw !== "object" || Array.isArray(raw)) {
    throw new InwardError("STUDY_INVALID", `${path} is not a mapping of keys to values.`);
  }
  const result = studySchema.safeParse(applyOverrides(raw as Record<string, unknown>, overrides));
  if (result.success) return toStudy(result.data);
  const issue = result.error.issues[0] as z.core.$ZodIssue;
  const node = document.getIn(issue.path as (string | number)[], true) as
    | { range?: [number, number, number] }
    | undefined;
  const place = node?.range ? `${path}, line ${lines.linePos(node.range[0]).line}` : path;
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    const near = nearestName(key, knownKeys(issue.path));
    const where = issue.path.length === 0 ? "" : ` under ${issue.path.join(".")}`;
    throw new InwardError(
      "STUDY_UNKNOWN_KEY",
      `${place}: the key "${key}"${where} does not exist.${near ? ` Did you mean "${near}"?` : ""}`,
    );
  }
  throw new InwardError("STUDY_INVALID", `${place}: ${issue.path.join(".") || "the study"}: ${issue.message}`);
}

/** The keys that the schema has at a path, found by walking its JSON form's twin: the zod shapes. */
function knownKeys(path: readonly PropertyKey[]): string[] {
  let schema: unknown = studySchema;
  for (const step of [...path, undefined]) {
    for (let inner = unwrap(schema); inner !== schema; inner = unwrap(schema)) schema = inner;
    const def = (schema as { def: { type: string; shape?: object; element?: unknown; valueType?: unknown } }).def;
    if (step === undefined) return Object.keys(def.shape ?? {});
    schema = def.type === "array" ? def.element : def.type === "record" ? def.valueType : (def.shape as never)?.[step];
    if (schema === undefined) return [];
  }
  return [];
}

function unwrap(schema: unknown): unknown {
  return (schema as { def?: { innerType?: unknown } }).def?.innerType ?? schema;
}

/** The engine settings of a study that names none. */
export const DEFAULT_ENGINE: StudyEngine = studySchema.shape.engine.parse({});
