/** What the answers of adapted states depend on besides the plan. */
import type { RunFolder } from "../store/run-folder.js";

/**
 * @param last the round of training up to which adapters count
 * @returns nothing for a plan that trains nothing, so that its marks stay what they were
 */
export function adapterHashes(run: RunFolder, last: 1 | 2 = 2): { adapters?: Record<string, string> } {
  const names = Object.entries(run.plan.adapters ?? {}).flatMap(([name, { round = 1 }]) =>
    round <= last ? [name] : [],
  );
  if (names.length === 0) return {};
  return { adapters: Object.fromEntries(names.map((name) => [name, run.outputHash(`adapter/${name}`)])) };
}
