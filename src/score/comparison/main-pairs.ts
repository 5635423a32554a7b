// Which pairs a report shows in full: one seed of each condition, the largest of a series. The others are rows of tables.

import type { Plan } from "../../study/plan.js";
import { PredictorKinds } from "./third-parties.js";

export interface PairNames {
  readonly predictor: string;
  readonly target: string;
}

/** @returns whether a pair is shown in full */
export function mainPairs(plan: Plan): (pair: PairNames) => boolean {
  const kinds = new PredictorKinds(plan);
  const sizeOf = (name: string) => kinds.adapter(name)?.examplesPerProperty ?? 0;
  const seriesOf = ({ predictor, target }: PairNames) =>
    JSON.stringify([kinds.condition(target), kinds.model(predictor), kinds.isTrained(predictor), predictor === target]);
  const chosen = new Map<string, PairNames>();
  for (const pair of plan.predictions) {
    if (!couldBeMain(kinds, pair)) continue;
    const before = chosen.get(seriesOf(pair));
    if (!before || sizeOf(pair.predictor) > sizeOf(before.predictor)) chosen.set(seriesOf(pair), pair);
  }
  return (pair) => {
    const planned = plan.predictions.some((one) => isSame(one, pair));
    const best = chosen.get(seriesOf(pair));
    return planned ? best !== undefined && isSame(best, pair) : couldBeMain(kinds, pair);
  };
}

/** Asked as the plan asks, about what it learnt, or about itself; an untrained model about itself trained is a third party. */
function couldBeMain(kinds: PredictorKinds, { predictor, target }: PairNames): boolean {
  if (kinds.role(predictor) !== "predictor" || kinds.role(target) !== "predictor") return false;
  const learnt = kinds.adapter(predictor)?.target;
  if (kinds.isTrained(target) && !kinds.isTrained(predictor) && kinds.model(predictor) === kinds.model(target))
    return false;
  return learnt === undefined || learnt === target || predictor === target;
}

function isSame(one: PairNames, other: PairNames): boolean {
  return one.predictor === other.predictor && one.target === other.target;
}
