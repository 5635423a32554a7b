/** What the answers of adapted states depend on besides the plan. */
import type { RunFolder } from "../store/run-folder.js";

/** @returns nothing for a plan that trains nothing, so that its marks stay what they were */
export function adapterHashes(run: RunFolder): { adapters?: Record<string, string> } {
  const names = Object.keys(run.plan.adapters ?? {});
  if (names.length === 0) return {};
  return { adapters: Object.fromEntries(names.map((name) => [name, run.outputHash(`adapter/${name}`)])) };
}
