/** Loss and right answers of examples that are not learnt. */
import { InwardError } from "../errors.js";
import type { ValidationPoint } from "../records/training.js";
import type { NativeTrainer } from "./native-trainer.js";
import type { PackedMicrobatch } from "./pack-examples.js";

export interface PackedExamples {
  readonly microbatches: readonly PackedMicrobatch[];
  /** Examples. */
  readonly answers: number;
}

/**
 * @param beforeEach called before each microbatch; what it throws ends the work
 * @returns mean loss over all answer tokens, and answers whose every token is the most likely one
 * @throws TRAIN_NOT_FINITE · what the trainer throws
 */
export async function evaluateExamples(
  trainer: Pick<NativeTrainer, "evaluate">,
  { microbatches, answers }: PackedExamples,
  beforeEach: () => void = () => {},
): Promise<Omit<ValidationPoint, "step">> {
  const wrong = new Set<number>();
  let nats = 0;
  let tokens = 0;
  for (const { microbatch, rowExamples } of microbatches) {
    beforeEach();
    const { logprobs, isBest } = await trainer.evaluate(microbatch);
    for (let row = 0; row < logprobs.length; row++) {
      nats -= logprobs[row] as number;
      if (!isBest[row]) wrong.add(rowExamples[row] as number);
    }
    tokens += logprobs.length;
  }
  if (!Number.isFinite(nats)) {
    throw new InwardError("TRAIN_NOT_FINITE", `The loss of the validation examples is ${nats / tokens}.`);
  }
  return { lossNatsPerToken: nats / tokens, answersRight: answers - wrong.size, answers };
}
