/** Which distributions of a target and of a predictor are about the same question. */
import type { MeasuredDistribution } from "../../records/calibration.js";
import type { CalibrationPair, LeftOutComparisons } from "../../records/calibration-scores.js";
import { compareNames } from "../cells.js";
import { type Comparison, compareDistributions, questionKey } from "./comparison.js";

export interface MatchedDistributions {
  /** By task, item, property and wording, whatever the order of the input. */
  readonly comparisons: readonly Comparison[];
  /** With the property that each belongs to. */
  readonly leftOut: readonly (LeftOutComparisons & { readonly property: string })[];
  /** Everything that was measured for this pair, compared or not. */
  readonly object: readonly MeasuredDistribution[];
  readonly hypothetical: readonly MeasuredDistribution[];
}

const NO_VALUE = "the target shows no value: all it may answer is without one";
const NO_BEHAVIOR = "no distribution of behaviors was measured";
const NO_PREDICTION = "no distribution of predictions was measured";

export function matchDistributions(
  distributions: readonly MeasuredDistribution[],
  { predictor, target }: Pick<CalibrationPair, "predictor" | "target">,
): MatchedDistributions {
  const sorted = [...distributions].sort((a, b) => compareNames(nameOf(a), nameOf(b)));
  const object = sorted.filter(({ side, state }) => side === "object_level" && state === target);
  const hypothetical = sorted.filter(({ side, state }) => side === "hypothetical" && state === predictor);
  const behaviors = new Map(object.map((measured) => [questionKey(measured), measured]));
  const predicted = new Set(hypothetical.map(questionKey));
  const comparisons: Comparison[] = [];
  const missed: { property: string; reason: string }[] = object
    .filter((measured) => !predicted.has(questionKey(measured)))
    .map(({ property }) => ({ property, reason: NO_PREDICTION }));
  for (const measured of hypothetical) {
    const { property } = measured;
    const behavior = behaviors.get(questionKey(measured));
    const place = { ...measured, variant: measured.variant ?? "" };
    const comparison = behavior && compareDistributions(place, behavior.distribution, measured.distribution);
    if (comparison) comparisons.push(comparison);
    else missed.push({ property, reason: behavior ? NO_VALUE : NO_BEHAVIOR });
  }
  return { comparisons, leftOut: countReasons(missed), object, hypothetical };
}

/** Adds up over properties. */
export function sumLeftOut(rows: MatchedDistributions["leftOut"]): LeftOutComparisons[] {
  return countReasons(
    rows.flatMap(({ reason, count }) => Array.from({ length: count }, () => ({ property: "", reason }))),
  ).map(({ reason, count }) => ({ reason, count }));
}

function countReasons(
  missed: readonly { property: string; reason: string }[],
): (LeftOutComparisons & { property: string })[] {
  const counts = new Map<string, { property: string; reason: string; count: number }>();
  for (const { property, reason } of missed) {
    const key = JSON.stringify([property, reason]);
    counts.set(key, { property, reason, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
}

function nameOf({ side, state, task, item, property, variant }: MeasuredDistribution): string[] {
  return [side, state, task, item, property, variant ?? ""];
}
