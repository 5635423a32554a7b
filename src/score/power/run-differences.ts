/** The differences that a run can be a pilot for, each with its paired trials. */
import type { Contrast } from "../../records/comparison.js";
import type { Plan } from "../../records/plan.js";
import type { TrainLabel, Trial } from "../../records/trial.js";
import { rightOf } from "../comparison/difference-over.js";
import { pairTrials } from "../comparison/pair-trials.js";
import type { DifferenceRow } from "../comparison/string-contributions.js";
import { stageThirdParty, trainModeGuess } from "../comparison/third-parties.js";

export type DifferenceName = "self_minus_cross" | "after_minus_before_training" | "above_mode_baseline";

export interface RunDifference {
  readonly name: DifferenceName;
  /** Whose accuracy is taken from whose, and about whom. */
  readonly contrast: Contrast;
  readonly rows: readonly DifferenceRow[];
}

/** The train-label mode in a predictor's place. */
export const MODE = "mode_train";

/** Self minus cross where another model predicts the same target, then after minus before training, then each predictor above the mode. */
export function runDifferences(
  { trials, trainLabels }: { readonly trials: readonly Trial[]; readonly trainLabels: readonly TrainLabel[] },
  plan: Pick<Plan, "states" | "adapters" | "predictions">,
): RunDifference[] {
  const asked = (predictor: string, target: string) =>
    trials.some((trial) => trial.predictor === predictor && trial.target === target);
  const between = (name: DifferenceName, contrasts: readonly Contrast[]) =>
    contrasts
      .filter(({ target, self, cross }) => asked(self, target) && asked(cross, target))
      .map((contrast): RunDifference => ({ name, contrast, rows: differenceRows(trials, contrast) }));
  const trained = Object.entries(plan.adapters ?? {});
  const labelled = new Set(trainLabels.map(({ target }) => target));
  return [
    ...between("self_minus_cross", selfAndCross(plan)),
    ...between(
      "after_minus_before_training",
      trained.map(([self, { base, target }]) => ({ target, self, cross: base })),
    ),
    ...plan.predictions
      .filter(({ target }) => labelled.has(target))
      .map(({ target, predictor }): RunDifference => {
        const contrast = { target, self: predictor, cross: MODE };
        const staged = stageThirdParty(trials, [contrast], MODE, trainModeGuess(trainLabels));
        return { name: "above_mode_baseline", contrast, rows: differenceRows(staged.trials, contrast) };
      }),
  ];
}

/** A target's own model beside other models, untrained beside untrained and trained beside those trained on the same behavior. */
function selfAndCross({
  states,
  adapters,
  predictions,
}: Pick<Plan, "states" | "adapters" | "predictions">): Contrast[] {
  const modelOf = (state: string) => states?.[state]?.model ?? state;
  const learntOf = (state: string) => adapters?.[states?.[state]?.adapter ?? ""]?.target;
  return predictions.flatMap(({ target, predictor: self }) =>
    modelOf(self) === modelOf(target)
      ? predictions
          .filter((other) => other.target === target && modelOf(other.predictor) !== modelOf(target))
          .filter(({ predictor }) => learntOf(predictor) === learntOf(self))
          .map(({ predictor: cross }) => ({ target, self, cross }))
      : [],
  );
}

function differenceRows(trials: readonly Trial[], contrast: Contrast): DifferenceRow[] {
  return pairTrials(trials, [contrast]).paired.map((pair) => {
    const [self, cross] = rightOf(pair);
    const { task, item, property } = pair.self;
    return { task, item, property, difference: self - cross };
  });
}
