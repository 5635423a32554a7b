/** Does a series still rise? Each size against the one before it, on the same trials; the last step tells of a plateau. */
import type { Contrast } from "../../records/comparison.js";
import type { ComparedSeries, SeriesStep } from "../../records/comparisons.js";
import type { Trial } from "../../records/trial.js";
import { comparePredictors } from "./compare-predictors.js";
import type { ComparisonSettings } from "./comparison-settings.js";
import type { Series, SeriesMember } from "./find-series.js";
import { judgeDifference } from "./judge-difference.js";

/** @throws InwardError STUDY_INVALID when a setting is out of range */
export function compareSeries(
  { kind, model, target, members }: Series,
  trials: readonly Trial[],
  settings: ComparisonSettings,
): ComparedSeries {
  const sizes = [...new Set(members.map(({ size }) => size))];
  const ofSize = (size: number) => members.filter((member) => member.size === size);
  const steps = sizes.slice(1).map((to, at): SeriesStep => {
    const from = sizes[at] as number;
    const contrasts = pairSeeds(ofSize(to), ofSize(from)).map(
      ([more, less]): Contrast => ({ target, self: more.predictor, cross: less.predictor }),
    );
    if (contrasts.length === 0) {
      return { from, to, ok: false, reason: `no seed of training has both sizes, ${from} and ${to}` };
    }
    const {
      overall: [micro],
    } = comparePredictors(trials, contrasts, settings);
    return { from, to, ok: true, seeds: contrasts.length, micro, judgement: judgeDifference(micro, settings) };
  });
  return { kind, model, target, steps };
}

/** Trainings of one seed differ in their examples alone; a seed that only one size has is left out. */
function pairSeeds(more: readonly SeriesMember[], less: readonly SeriesMember[]): [SeriesMember, SeriesMember][] {
  return more.flatMap((one): [SeriesMember, SeriesMember][] => {
    const same = less.find(({ seed }) => seed === one.seed);
    return same ? [[one, same]] : [];
  });
}
