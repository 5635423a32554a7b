/** Stage 07, calibration: measures how states answer at temperature 1, resuming where an earlier process stopped. */
import { type CalibrationQuestion, calibrationGroups, calibrationQuestions } from "../ask/calibration-questions.js";
import type { MeasuredDistribution } from "../records/calibration.js";
import type { Distribution } from "../records/distribution.js";
import { measureGroups } from "./measure-groups.js";
import { measureQuestions } from "./measure-questions.js";
import type { StageContext } from "./stage-context.js";

/** Measures nothing, and writes no file, when the plan has no calibration. @throws ENGINE_*, CHAT_*, STORE_*, INTERRUPTED */
export async function measureDistributions(context: StageContext): Promise<void> {
  const { run, signal } = context;
  if (!run.plan.calibration) return;
  await measureGroups<CalibrationQuestion, MeasuredDistribution>(context, {
    name: "distributions",
    file: "distributions",
    groups: calibrationGroups(calibrationQuestions(run.plan)),
    check: (model, questions) =>
      model.check(
        questions.map(({ messages, maxTokens }) => ({ messages, maxTokens, temperature: 1 as const, topTokens: 1 })),
      ),
    measure: (model, group, onMeasured) =>
      measureQuestions(model, group, run.plan, { onMeasured, ...(signal ? { signal } : {}) }),
    describe: (group, measured) => {
      const { side, task, item } = group[0] as CalibrationQuestion;
      return { side, task, item, ...costOf(measured) };
    },
  });
}

function costOf(measured: readonly MeasuredDistribution[]): { evaluatedTokens: number; samples: number } {
  const sum = (cost: (distribution: Distribution) => number) =>
    measured.reduce((total, { distribution }) => total + cost(distribution), 0);
  return {
    evaluatedTokens: sum((one) => one.evaluatedTokens ?? 0),
    samples: sum((one) => (one.method === "samples" ? one.samples : 0)),
  };
}
