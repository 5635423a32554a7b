/** Which comparisons are told in full: those with the largest of a series of trained predictors, not with what was shown in a prompt. */
import type { ComparedPredictors } from "../../records/comparisons.js";
import type { Plan } from "../../records/plan.js";
import { mainPairs } from "../main-pairs.js";

/** Comparisons beyond this many are rows of a table. */
const MOST_IN_FULL = 4;

export function mainFirst(plan: Plan, comparisons: readonly ComparedPredictors[]): ComparedPredictors[] {
  const isMain = mainPairs(plan);
  const main = comparisons.filter(({ cross, target }) => isMain({ predictor: cross, target }));
  return [...main, ...comparisons.filter((one) => !main.includes(one))];
}

/** @returns never nothing in full where there is anything */
export function splitComparisons(plan: Plan, comparisons: readonly ComparedPredictors[]) {
  const isMain = mainPairs(plan);
  const ordered = mainFirst(plan, comparisons);
  const inFull = ordered.filter(({ cross, target }) => isMain({ predictor: cross, target })).slice(0, MOST_IN_FULL);
  const full = inFull.length > 0 ? inFull : ordered.slice(0, 1);
  return { full, others: ordered.filter((one) => !full.includes(one)) };
}
