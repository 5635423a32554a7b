/** The corridor: the method section of a paper, in order. Each stage reads its predecessor's file and writes its own. */

import { askAdaptedObjectLevel, askChallenges, askHypothetical, askObjectLevel } from "./ask-stages.js";
import { extractBehaviors } from "./behaviors.js";
import { buildFinetuneSets } from "./finetune-sets.js";
import { measureDistributions, measureLogprobDifferences, measureNoise } from "./measure-stages.js";
import type { StageContext } from "./models.js";
import { writeReport } from "./report-stage.js";
import {
  comparePredictors,
  judgeExperiments,
  predictFromStrings,
  scoreCalibration,
  scoreMatrix,
  scorePredictions,
  scoreShifts,
} from "./score-stages.js";
import { requireTrainer, trainAdapters } from "./train-stages.js";

/**
 * Runs every stage that is not done yet. The plan stands in the folder already (01-plan.json).
 * @throws InwardError; what was finished before stays, and the same call goes on from there
 */
export async function runCorridor(context: StageContext): Promise<void> {
  await requireTrainer(context); // known before anything is asked
  await askObjectLevel(context); // 02-object-level.jsonl
  await askChallenges(context, 0); // 02-challenged.jsonl, when a task challenges
  await extractBehaviors(context, 0); // 03-behaviors.jsonl
  await buildFinetuneSets(context, 1); // 04-finetune-sets/, when the study trains
  await trainAdapters(context, 1); // 05-adapters/
  await askAdaptedObjectLevel(context, 1); // 06-object-level-adapted.jsonl
  await askChallenges(context, 1); // 06-challenged-adapted.jsonl, likewise
  await extractBehaviors(context, 1); // 06-behaviors-adapted.jsonl
  await buildFinetuneSets(context, 2); // those that learn from, or change, what was trained
  await trainAdapters(context, 2);
  await askAdaptedObjectLevel(context, 2); // 06-object-level-readapted.jsonl
  await askChallenges(context, 2);
  await extractBehaviors(context, 2); // 06-behaviors-readapted.jsonl
  await askHypothetical(context); // 07-hypothetical.jsonl
  await measureNoise(context); // 07-noise-floor.json
  await measureDistributions(context); // 07-distributions.jsonl, when the study has a calibration
  await measureLogprobDifferences(context); // 07-logprob-differences.jsonl, when the study has a matrix
  await predictFromStrings(context); // 07-input-only.json
  await scorePredictions(context); // 08-scores.json
  await comparePredictors(context); // 08-comparisons.json: self against third parties and cross
  await scoreCalibration(context); // 08-calibration.json, likewise
  await scoreMatrix(context); // 08-matrix.json, likewise with a matrix
  await scoreShifts(context); // 08-shifts.json, when behavior was changed
  await judgeExperiments(context); // 08-experiments.json: what each experiment found
  await writeReport(context); // 09-report.html
}

// The calibration of a study alone: of the corridor, what its distributions need.

/**
 * Runs the stages that are not done yet; `runCorridor` in the same folder finds them done. The plan has a calibration.
 * @throws InwardError; what was finished before stays, and the same call goes on from there
 */
export async function runCalibration(context: StageContext): Promise<void> {
  if (context.run.plan.adapters) {
    await requireTrainer(context);
    await askObjectLevel(context); // 02-object-level.jsonl: what adapters learn from
    await askChallenges(context, 0);
    await extractBehaviors(context, 0); // 03-behaviors.jsonl
    await buildFinetuneSets(context, 1); // 04-finetune-sets/
    await trainAdapters(context, 1); // 05-adapters/
    await askAdaptedObjectLevel(context, 1); // what adapters of the second round learn from
    await askChallenges(context, 1);
    await extractBehaviors(context, 1);
    await buildFinetuneSets(context, 2);
    await trainAdapters(context, 2);
  }
  await measureDistributions(context); // 07-distributions.jsonl
  await scoreCalibration(context); // 08-calibration.json
}
