/** The columns of a two-way fit: who predicts, who is predicted, and what else is known of a cell. */
import { type Orthonormal, orthonormalColumns } from "./orthonormal-columns.js";

export interface Place {
  readonly predictor: string;
  readonly target: string;
}

export interface TwoWayDesign {
  readonly predictors: readonly string[];
  readonly targets: readonly string[];
  /** Factors of one column per predictor, then one per target. */
  readonly effects: Orthonormal;
  /** Groups of states that no cell links: skills can be compared inside a group only. */
  readonly parts: number;
}

/** No effects of states: for a fit that has an intercept among its covariates instead. */
export const NO_STATE_EFFECTS: TwoWayDesign = {
  predictors: [],
  targets: [],
  effects: orthonormalColumns([]),
  parts: 0,
};

/** @param places at least one */
export function twoWayDesign(places: readonly Place[]): TwoWayDesign {
  const predictors = [...new Set(places.map(({ predictor }) => predictor))].sort();
  const targets = [...new Set(places.map(({ target }) => target))].sort();
  const column = (side: keyof Place, name: string) =>
    Float64Array.from(places, (place) => Number(place[side] === name));
  const effects = orthonormalColumns([
    ...predictors.map((name) => column("predictor", name)),
    ...targets.map((name) => column("target", name)),
  ]);
  // In each group the columns of its predictors and those of its targets have the same sum: one column too many.
  return { predictors, targets, effects, parts: effects.dependent.length };
}

export interface StateEffect {
  readonly state: string;
  readonly value: number;
}

/**
 * Skill of each predictor and predictability of each target, at covariates of 0. Only their sums are fixed by the data:
 * the predictabilities are made to have the mean 0, so that a skill is the accuracy about a middling target.
 * @param coefficients of the design's columns, as `leastSquares` gives them (covariates after them are not looked at)
 */
export function effectsOf(
  { predictors, targets, effects }: TwoWayDesign,
  coefficients: Float64Array,
): { readonly skill: StateEffect[]; readonly predictability: StateEffect[] } {
  const all = new Float64Array(predictors.length + targets.length);
  effects.kept.forEach((place, index) => {
    all[place] = coefficients[index] as number;
  });
  const middle = all.slice(predictors.length).reduce((sum, value) => sum + value, 0) / targets.length;
  return {
    skill: predictors.map((state, index) => ({ state, value: (all[index] as number) + middle })),
    predictability: targets.map((state, index) => ({
      state,
      value: (all[predictors.length + index] as number) - middle,
    })),
  };
}
