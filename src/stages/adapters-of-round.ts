import type { Plan, PlannedAdapter } from "../records/plan.js";

/** The adapters that are trained together, in the plan's order. */
export function adaptersOf({ adapters = {} }: Plan, round: 1 | 2): [string, PlannedAdapter][] {
  return Object.entries(adapters).filter(([, adapter]) => (adapter.round ?? 1) === round);
}
