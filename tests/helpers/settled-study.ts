/** A study whose engine is chosen already, as inward run chooses it before it plans. */
import { parseStudy } from "../../src/study/load-study.js";
import type { SettledEngine, Study } from "../../src/study/study.js";

export function settledStudy(yaml: string): Study & { readonly engine: SettledEngine } {
  const study = parseStudy(yaml, "s.yaml");
  const settled = { engine: "native", forward: "llama.cpp", sequences: study.engine.sequences ?? 16 } as const;
  return { ...study, engine: { ...study.engine, ...settled } };
}
