/** A study whose engine is chosen already, as inward run chooses it before it plans. */
import { parseStudy } from "../../src/plan/load-study.js";
import type { SettledEngine, Study } from "../../src/records/study.js";

export function settledStudy(yaml: string): Study & { readonly engine: SettledEngine } {
  const study = parseStudy(yaml, "s.yaml");
  return { ...study, engine: { ...study.engine, engine: "native", sequences: study.engine.sequences ?? 16 } };
}
