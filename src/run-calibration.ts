/** The calibration of a study alone: of the corridor, what its distributions need. */
import { askAdaptedObjectLevel, askChallenges, askObjectLevel } from "./stages/ask-stage.js";
import { buildFinetuneSets } from "./stages/build-finetune-sets.js";
import { extractBehaviors } from "./stages/extract-behaviors.js";
import { measureDistributions } from "./stages/measure-distributions.js";
import { scoreCalibration } from "./stages/score-calibration.js";
import type { StageContext } from "./stages/stage-context.js";
import { requireTrainer, trainAdapters } from "./stages/train-adapters.js";

/**
 * Runs the stages that are not done yet; `runStudy` in the same folder finds them done. The plan has a calibration.
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
