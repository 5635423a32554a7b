/** Stage 08, behavioral change: which behavior predictions follow after a target was changed. Needs no model. */
import type { Plan } from "../records/plan.js";
import type { ShiftRole, Shifts } from "../records/shifts.js";
import { judgeChange } from "../score/comparison/judge-change.js";
import { writeJson } from "../store/write-whole.js";
import { matchRun, scoreInputs, settingsOf } from "./score-predictions.js";
import type { StageContext } from "./stage-context.js";

/** Writes no file when the plan changes nothing. @throws STORE_*, STUDY_INVALID when answers were sampled */
export async function scoreShifts({ run }: Pick<StageContext, "run">): Promise<void> {
  const changed = changesOf(run.plan);
  if (changed.length === 0) return;
  const inputs = scoreInputs(run);
  if (await run.isDone("shifts", inputs)) return;
  const settings = await settingsOf(run);
  const { trials } = await matchRun(run);
  const { confidence, bootstrapReplicates, bootstrapSeed } = settings;
  const shifts: Shifts = {
    shiftsVersion: 1,
    confidence,
    bootstrapReplicates,
    bootstrapSeed,
    changes: changed.map((one) => judgeChange(trials, one, settings)),
  };
  await writeJson(run.file("shifts"), shifts);
  await run.markDone("shifts", inputs);
}

/** The changes of a plan, and who is asked about both sides of each. */
export function changesOf(plan: Plan) {
  return Object.entries(plan.adapters ?? {}).flatMap(([after, { change }]) => {
    if (!change || change.alongside !== undefined) return [];
    const about = (target: string) =>
      plan.predictions.filter((pair) => pair.target === target).map(({ predictor }) => predictor);
    const both = about(after).filter((predictor) => about(change.from).includes(predictor));
    const roleOf = (predictor: string): ShiftRole => {
      if (predictor === after) return "changed";
      if (predictor === change.from) return "unchanged";
      return plan.adapters?.[predictor]?.change ? "cross_changed" : "cross";
    };
    return [{ after, change, predictors: both.map((predictor) => ({ predictor, role: roleOf(predictor) })) }];
  });
}
