/** Is the other model at least as strong? A weaker one falls behind whatever self knows of itself. */

import { estimate, type Estimate } from "../interval.js";
import { everything, resamplingOf, stringDraws, stringTable, valuesIn } from "../resampling.js";
import type { Share } from "../scores.js";
import { hasBehavior, isRight, isScored, wasAnswered } from "../tally.js";
import { questionKey, stringKey, type TrainLabel, type Trial } from "../trial.js";
import { meanOf } from "./difference.js";
import { type ContrastSettings, SMALLEST_DIFFERENCE } from "./judge.js";
import { trainModeGuess } from "./third-parties.js";
import type { SelfPrediction } from "./contrasts.js";

/** What can be measured of the other model's strength: how it predicts itself, beside how self predicts itself. */
export type CrossStrength =
  | {
      readonly ok: true;
      /** The other model about itself. */
      readonly other: SelfPrediction;
      /** Object-level answers that comply and have the property, of self's target and of the other. */
      readonly compliance: { readonly self: Share; readonly other: Share };
      /** The other about itself minus self about itself, each above always saying its target's most common train behavior. */
      readonly difference: Estimate;
      /** The interval lies above minus the smallest difference that matters: it is not shown to be weaker, by as much as would count. */
      readonly isAsStrong: boolean;
    }
  | { readonly ok: false; readonly reason: string };

/** @param trials of one scope */
export function measureStrength(
  trials: readonly Trial[],
  trainLabels: readonly TrainLabel[],
  { self, other }: { readonly self: SelfPrediction; readonly other: SelfPrediction },
  settings: ContrastSettings,
): CrossStrength {
  const mode = trainModeGuess(trainLabels);
  const about = (pair: SelfPrediction) =>
    trials.filter((trial) => trial.predictor === pair.self && trial.target === pair.target);
  const above = (trial: Trial): number | undefined => {
    const common = mode(trial);
    if (!isScored(trial) || !common) return undefined;
    return Number(isRight(trial, trial.prediction)) - Number(isRight(trial, common));
  };
  const others = new Map(about(other).map((trial) => [questionKey(trial), trial]));
  const rows = about(self).flatMap((trial) => {
    const its = others.get(questionKey(trial));
    const [own, theirs] = [above(trial), its && above(its)];
    return own === undefined || theirs === undefined ? [] : [{ trial, amount: theirs - own }];
  });
  const resampling = resamplingOf(trials, settings);
  const table = stringTable(
    rows.map(({ trial: { task, item, cluster, property }, amount }) => ({
      task,
      item,
      cluster,
      seed: 0,
      property,
      stratum: "",
      amounts: [1, amount],
    })),
    2,
    resampling,
  );
  const statistic = meanOf(table.cells, (sums, start) => sums[start + 1] as number, settings.judged ?? "micro");
  const difference = estimate(
    {
      value: valuesIn(table, [everything(resampling, 1)], [statistic])[0]?.[0],
      n: rows.length,
      clusters: new Set(rows.map(({ trial }) => stringKey(trial))).size,
      tasks: new Set(rows.map(({ trial }) => trial.task)).size,
      range: { least: -2, most: 2 },
      undefinedBecause: "no question was put to both about themselves",
    },
    valuesIn(table, stringDraws(resampling, 1), [statistic])[0] ?? [],
    settings,
  );
  const { smallestDifference = SMALLEST_DIFFERENCE } = settings;
  return {
    ok: true,
    other,
    compliance: { self: complianceOf(about(self)), other: complianceOf(about(other)) },
    difference,
    isAsStrong: difference.ok && difference.low > -smallestDifference,
  };
}

function complianceOf(trials: readonly Trial[]): Share {
  return { count: trials.filter(hasBehavior).length, of: trials.filter(wasAnswered).length };
}
