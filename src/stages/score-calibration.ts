/** Stage 08, calibration: compares what predictors hold likely with how likely it is. Needs no model. */
import type { MeasuredDistribution } from "../records/calibration.js";
import type { PredictorKind } from "../records/calibration-scores.js";
import type { Plan } from "../records/plan.js";
import { scoreCalibration as scoreDistributions } from "../score/calibration/score-calibration.js";
import { hashOf } from "../store/canonical-json.js";
import { readJsonLines } from "../store/read-records.js";
import { writeJson } from "../store/write-whole.js";
import type { StageContext } from "./stage-context.js";

/** Writes no file when the plan has no calibration. @throws STORE_* */
export async function scoreCalibration({ run }: Pick<StageContext, "run">): Promise<void> {
  const { plan } = run;
  if (!plan.calibration) return;
  const inputs = { plan: hashOf(plan), distributions: run.outputHash("distributions") };
  if (await run.isDone("calibration", inputs)) return;
  const { rows } = await readJsonLines<MeasuredDistribution>(run.file("distributions"));
  const { confidence, bootstrapReplicates } = plan.score;
  const pairs = plan.predictions.map((pair) => ({ ...pair, kind: kindOf(plan, pair) }));
  const settings = { confidence, bootstrapReplicates, bootstrapSeed: plan.seed };
  await writeJson(run.file("calibration"), scoreDistributions(rows, pairs, settings));
  await run.markDone("calibration", inputs);
}

/**
 * `untrained` a predictor without an adapter, about whomever · `self` an adapter on the weights that the target runs on too ·
 * `cross` an adapter on other weights.
 */
export function kindOf(plan: Pick<Plan, "states">, { predictor, target }: Plan["predictions"][number]): PredictorKind {
  const { model, adapter } = plan.states?.[predictor] ?? { model: predictor };
  if (adapter === undefined) return "untrained";
  return model === (plan.states?.[target]?.model ?? target) ? "self" : "cross";
}
