/** The heuristic that was right most often. It is chosen after seeing the answers, which the report says. */
import type { Estimate } from "../records/scores.js";

export interface BestHeuristic {
  readonly rule: string;
  readonly estimate: Extract<Estimate, { ok: true }>;
  /** Rules it was chosen from. */
  readonly of: number;
}

/** @returns of equally good ones the first by name; undefined when no rule has an estimate */
export function bestHeuristic(heuristics: Readonly<Record<string, Estimate>>): BestHeuristic | undefined {
  const known = Object.keys(heuristics)
    .sort()
    .flatMap((rule) => {
      const estimate = heuristics[rule];
      return estimate?.ok ? [{ rule, estimate }] : [];
    });
  const [first, ...others] = known;
  if (!first) return undefined;
  const best = others.reduce((top, next) => (next.estimate.value > top.estimate.value ? next : top), first);
  return { ...best, of: known.length };
}

/** Why there is no best heuristic. */
export function noHeuristic(heuristics: Readonly<Record<string, Estimate>>): string {
  const [reason] = Object.values(heuristics).flatMap((estimate) => (estimate.ok ? [] : [estimate.reason]));
  return reason ?? "no rule applies to these strings";
}
