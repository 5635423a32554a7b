import type { CalibrationQuestion } from "../ask/calibration-questions.js";
import { measureDistribution } from "../distribution/measure-distribution.js";
import type { LanguageModel } from "../model/language-model.js";
import type { MeasuredDistribution } from "../records/calibration.js";
import type { Plan } from "../records/plan.js";

export interface MeasuringOptions {
  readonly onMeasured?: (done: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * The distribution of each question as the plan's calibration wants it; none when it has no calibration. Draws depend on the plan's
 * seed and the question's key alone.
 * @param model of the state that the questions are for
 * @throws what asking throws, INTERRUPTED
 */
export async function measureQuestions(
  model: LanguageModel,
  questions: readonly CalibrationQuestion[],
  { seed, calibration }: Pick<Plan, "seed" | "calibration">,
  { onMeasured, signal }: MeasuringOptions = {},
): Promise<MeasuredDistribution[]> {
  if (!calibration) return [];
  const { epsilon, tokenBudget, mostTail, samples } = calibration;
  const settings = { epsilon, tokenBudget, mostTail, samples, ...(signal ? { signal } : {}) };
  const measured: MeasuredDistribution[] = [];
  for (const { messages, maxTokens, decider, decidedLate, ...place } of questions) {
    const distribution = await measureDistribution(
      model,
      { messages, decider, decidedLate },
      { ...settings, maxTokens, seed: `${seed}/${place.key}` },
    );
    measured.push({ ...place, distribution });
    onMeasured?.(measured.length);
  }
  return measured;
}
