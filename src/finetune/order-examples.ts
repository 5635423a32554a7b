/** In which order examples are learnt, and in which batches. Pure. */
import type { EncodedExample, TrainingSettings } from "../records/training.js";
import { promptGroups } from "./prompt-groups.js";
import { seededRandom, shuffled } from "./seeded-random.js";

export interface OrderSettings extends Pick<TrainingSettings, "batchExamples" | "order" | "seed"> {
  /** From 1. */
  readonly epoch: number;
}

/**
 * Every example once. `shuffled` shuffles examples; `by_prompt` shuffles the groups of promptGroups() and leaves each group as
 * it is, so that most of a shared beginning's examples meet in one batch. Every epoch is shuffled anew.
 * @param subjects [examples] what each prompt is about, where that is known; see promptGroups()
 * @returns batches of indices; the last may be smaller
 */
export function orderExamples(
  examples: readonly EncodedExample[],
  { batchExamples, order, seed, epoch }: OrderSettings,
  subjects?: readonly string[],
): number[][] {
  const groups = order === "by_prompt" ? promptGroups(examples, subjects) : examples.map((_, index) => [index]);
  const indices = shuffled(groups, seededRandom(`order/${seed}/${epoch}`)).flat();
  const batches: number[][] = [];
  for (let start = 0; start < indices.length; start += batchExamples) {
    batches.push(indices.slice(start, start + batchExamples));
  }
  return batches;
}
