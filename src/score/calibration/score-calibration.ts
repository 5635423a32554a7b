/** The one entry of scoring calibration: distributions in, 08-calibration.json out. Pure; any order of the lines gives the same bytes. */
import type { MeasuredDistribution } from "../../records/calibration.js";
import type { CalibrationPair, CalibrationScores } from "../../records/calibration-scores.js";
import { EXPANDED } from "../percentile-interval.js";
import { checkResampling, type ResamplingSettings } from "../resampling-settings.js";
import { comparePredictors } from "./compare-predictors.js";
import { constantPredictor } from "./constant-predictor.js";
import { KL_MIXING } from "./divergence.js";
import { matchDistributions } from "./match-distributions.js";
import { type MatchedPair, scoreRow } from "./score-row.js";
import { drawStrings } from "./string-draws.js";

/**
 * @param distributions at most one for each side, state, task, item, property and wording
 * @param pairs in the order of the rows; a pair without distributions gives a row that says so
 * @throws InwardError STUDY_INVALID when a setting is out of range
 */
export function scoreCalibration(
  distributions: readonly MeasuredDistribution[],
  pairs: readonly CalibrationPair[],
  settings: ResamplingSettings,
): CalibrationScores {
  checkResampling(settings);
  const { confidence, bootstrapReplicates, bootstrapSeed } = settings;
  const draws = drawStrings(distributions, settings);
  const matchedPairs = pairs.map((pair): MatchedPair => {
    const matched = matchDistributions(distributions, pair);
    return { pair, matched, constant: constantPredictor(matched.object) };
  });
  return {
    calibrationVersion: 1,
    confidence,
    bootstrapReplicates,
    bootstrapSeed,
    intervalMethod: describeIntervals(settings),
    klMixing: KL_MIXING,
    rows: matchedPairs.flatMap((matchedPair) =>
      [undefined, ...propertiesOf(matchedPair)].map((property) =>
        scoreRow(matchedPair, property, { draws, confidence }),
      ),
    ),
    differences: comparePredictors(matchedPairs, draws, confidence),
  };
}

function propertiesOf({ matched: { object, hypothetical } }: MatchedPair): string[] {
  return [...new Set([...object, ...hypothetical].map(({ property }) => property))].sort();
}

function describeIntervals({ confidence, bootstrapReplicates, bootstrapSeed }: ResamplingSettings): string {
  return [
    `${Number((100 * confidence).toFixed(6))} % percentile cluster bootstrap by source string: each of ${bootstrapReplicates} replicates`,
    `(seed ${bootstrapSeed}) draws the strings of every task with replacement; all points of a string move together, for all predictors alike.`,
    EXPANDED,
    "Bins are cut again in every replicate, constant predictions stay as they are, and an interval is widened to hold its value.",
    "Where no draw can differ, the interval is the exact binomial (Clopper-Pearson) bound for that many strings without an exception.",
    "MAD and ECE add up absolute gaps, so chance alone makes them larger, in a replicate more than in the data: with few strings their intervals lie high.",
  ].join(" ");
}
