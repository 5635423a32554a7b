/** The learning rate of every step. Pure. */
import { InwardError } from "../errors.js";
import type { TrainingSettings } from "../records/training.js";

type Schedule = Pick<TrainingSettings, "learningRate" | "schedule" | "warmupShare">;

/**
 * With S = totalSteps, W = max(1, ⌈warmupShare · S⌉) and step s from 1: s / W of the peak up to s = W, which is the first step
 * at the peak (step 1 without warm-up); after it, with p = (s - W) / (S + 1 - W), the peak (`constant`), 1 - p of it (`linear`)
 * or (1 + cos πp) / 2 of it (`cosine`). The decay reaches 0 at S + 1: no update is wasted on a rate of 0.
 *
 * transformers counts from 0 and gives its first update a rate of 0. Its get_constant_, get_linear_ and
 * get_cosine_schedule_with_warmup give these rates when made with num_warmup_steps = W, num_training_steps = S + 1, and when
 * scheduler.step() is called once before the first update: its lr_lambda(s) is this function's share of the peak.
 * @param step from 1 to totalSteps
 * @throws INTERNAL outside of that
 */
export function learningRateAt(
  { learningRate, schedule, warmupShare }: Schedule,
  step: number,
  totalSteps: number,
): number {
  if (!Number.isInteger(step) || step < 1 || step > totalSteps) {
    throw new InwardError("INTERNAL", `There is no step ${step} in a training of ${totalSteps} steps.`);
  }
  const warmup = warmupSteps(warmupShare, totalSteps);
  if (step <= warmup) return (learningRate * step) / warmup;
  const decayed = (step - warmup) / (totalSteps + 1 - warmup);
  switch (schedule) {
    case "constant":
      return learningRate;
    case "linear":
      return learningRate * (1 - decayed);
    case "cosine":
      return (learningRate * (1 + Math.cos(Math.PI * decayed))) / 2;
  }
}

/** @param examples of the training set, without those held back @returns optimizer steps */
export function totalSteps(
  { epochs, batchExamples, maxSteps }: Pick<TrainingSettings, "epochs" | "batchExamples" | "maxSteps">,
  examples: number,
): number {
  const steps = epochs * Math.ceil(examples / batchExamples);
  return maxSteps === undefined ? steps : Math.min(steps, maxSteps);
}

function warmupSteps(share: number, steps: number): number {
  // 0.07 · 100 is a little above 7 in floating point and would round up to 8.
  return Math.max(1, Math.ceil(share * steps - 1e-9 * steps));
}
