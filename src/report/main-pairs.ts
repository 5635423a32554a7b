/** Which pairs a report shows in full: one seed of each condition, the largest of a series. The others are rows of tables. */
import type { Plan } from "../records/plan.js";
import { PredictorKinds } from "../score/comparison/predictor-kinds.js";
import { joinWords, readableName } from "./readable-name.js";

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

/** What a state is beside its weights, in words; empty for a model as it came. */
export function stateWords(plan: Plan, name: string): string {
  const kinds = new PredictorKinds(plan);
  const { wording, shown, system } = kinds.state(name);
  const adapter = kinds.adapter(name);
  const parts = [
    ...(adapter?.labels === "scrambled" ? ["control: learnt the labels of other strings"] : []),
    ...(adapter?.labels === "format_only" ? ["control: learnt to read properties off quoted answers"] : []),
    ...(adapter?.change ? [`changed (${adapter.change.name}), goes on from ${adapter.change.from}`] : []),
    ...(adapter && !adapter.labels && !adapter.change
      ? [
          `learnt what ${adapter.target === adapter.base ? "it does" : `${adapter.target} does`}, up to ${adapter.examplesPerProperty} strings per property, seed ${adapter.settings.seed}`,
        ]
      : []),
    ...(wording === undefined ? [] : [`asked in the wording “${readableName(wording)}”`]),
    ...(shown ? [`shown ${shown.pairs} behaviors of ${shown.target} in its prompt`] : []),
    ...(system === undefined ? [] : ["asked under a system message of its own"]),
  ];
  return joinWords(parts);
}
