/** One string, property and wording: what the target may do against what the predictor holds likely. */
import type { MeasuredDistribution } from "../../records/calibration.js";
import type { Distribution } from "../../records/distribution.js";

/**
 * p_obj is renormalized over the values, as if only behaviors that have one were counted. p_hyp is not: what a predictor gives
 * to replies without a value, and what was not looked into, is given to no value.
 */
export interface Comparison {
  readonly task: string;
  readonly item: string;
  readonly property: string;
  readonly variant: string;
  /** value -> p_obj, each above 0, most likely first, equal ones by code unit; sums to 1. */
  readonly object: ReadonlyMap<string, number>;
  /** value -> p_hyp, each above 0. */
  readonly hypothetical: ReadonlyMap<string, number>;
  /** Probability of any value before p_obj was renormalized, above 0. */
  readonly objectMass: number;
  readonly hypotheticalMass: number;
  /** Probability that was not looked into, 0 for samples. */
  readonly objectTail: number;
  readonly hypotheticalTail: number;
  readonly sampled: boolean;
}

type Place = Pick<Comparison, "task" | "item" | "property" | "variant">;

/** @returns undefined when the target shows no value at all: there is nothing to predict */
export function compareDistributions(
  { task, item, property, variant }: Place,
  target: Distribution,
  predictor: Distribution,
): Comparison | undefined {
  const listed = valuesOf(target);
  const objectMass = total(listed);
  if (objectMass === 0) return undefined;
  const ordered = listed.sort(([a, p], [b, q]) => q - p || (a < b ? -1 : 1));
  const hypothetical = valuesOf(predictor);
  return {
    task,
    item,
    property,
    variant,
    object: new Map(ordered.map(([value, probability]) => [value, probability / objectMass])),
    hypothetical: new Map(hypothetical),
    objectMass,
    hypotheticalMass: Math.min(1, total(hypothetical)),
    objectTail: tailOf(target),
    hypotheticalTail: tailOf(predictor),
    sampled: target.method === "samples" || predictor.method === "samples",
  };
}

/** The same string with other predictions, such as those of a constant predictor, which leaves nothing open. */
export function predictedBy(comparison: Comparison, hypothetical: ReadonlyMap<string, number>): Comparison {
  return { ...comparison, hypothetical, hypotheticalMass: 1, hypotheticalTail: 0 };
}

/** Identifies what was asked, whoever answered. */
export function questionKey({
  task,
  item,
  property,
}: Pick<MeasuredDistribution, "task" | "item" | "property">): string {
  return JSON.stringify([task, item, property]);
}

function valuesOf({ values }: Distribution): [string, number][] {
  return values.flatMap(({ value, probability }): [string, number][] =>
    probability > 0 ? [[value, probability]] : [],
  );
}

function tailOf(distribution: Distribution): number {
  return distribution.method === "expansion" ? distribution.tail : 0;
}

function total(values: readonly (readonly [string, number])[]): number {
  return values.reduce((sum, [, probability]) => sum + probability, 0);
}
