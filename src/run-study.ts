/** The corridor: the method section of a paper, in order. Each stage reads its predecessor's file and writes its own. */
import { askAdaptedObjectLevel, askHypothetical, askObjectLevel } from "./stages/ask-stage.js";
import { buildFinetuneSets } from "./stages/build-finetune-sets.js";
import { extractAdaptedBehaviors, extractBehaviors } from "./stages/extract-behaviors.js";
import { measureNoise } from "./stages/measure-noise.js";
import { scorePredictions } from "./stages/score-predictions.js";
import type { StageContext } from "./stages/stage-context.js";
import { requireTrainer, trainAdapters } from "./stages/train-adapters.js";
import { writeReport } from "./stages/write-report.js";

/**
 * Runs every stage that is not done yet. The plan stands in the folder already (01-plan.json).
 * @throws InwardError; what was finished before stays, and the same call goes on from there
 */
export async function runStudy(context: StageContext): Promise<void> {
  await requireTrainer(context); // known before anything is asked
  await askObjectLevel(context); // 02-object-level.jsonl
  await extractBehaviors(context); // 03-behaviors.jsonl
  await buildFinetuneSets(context); // 04-finetune-sets/, when the study trains
  await trainAdapters(context); // 05-adapters/
  await askAdaptedObjectLevel(context); // 06-object-level-adapted.jsonl
  await extractAdaptedBehaviors(context); // 06-behaviors-adapted.jsonl
  await askHypothetical(context); // 07-hypothetical.jsonl
  await measureNoise(context); // 07-noise-floor.json
  await scorePredictions(context); // 08-scores.json
  await writeReport(context); // 09-report.html
}
