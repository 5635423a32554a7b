/** Holds back a share of a set to watch the loss on. Pure. */
import type { EncodedExample } from "../records/training.js";
import { promptGroups } from "./prompt-groups.js";
import { seededRandom, shuffled } from "./seeded-random.js";

export interface ValidationSplit {
  /** In the set's order, as validation is. */
  readonly training: readonly EncodedExample[];
  readonly validation: readonly EncodedExample[];
  /** Of the training examples, where subjects were given. */
  readonly trainingSubjects?: readonly string[];
}

/**
 * Whole groups of promptGroups() are held back, in seeded order, as long as they fit into the share; the smallest one where none
 * fits. So no string that is watched is learnt, as far as groups know strings. A set of a single group is learnt whole.
 * @param share of the examples, 0 to below 1
 * @param subjects [examples] what each prompt is about, where that is known
 */
export function splitValidation(
  examples: readonly EncodedExample[],
  share: number,
  seed: number,
  subjects?: readonly string[],
): ValidationSplit {
  const heldBack = share === 0 ? new Set<number>() : heldBackOf(promptGroups(examples, subjects), share, seed);
  const isTraining = (_: unknown, index: number) => !heldBack.has(index);
  return {
    training: examples.filter(isTraining),
    validation: examples.filter((_, index) => heldBack.has(index)),
    ...(subjects ? { trainingSubjects: subjects.filter(isTraining) } : {}),
  };
}

function heldBackOf(groups: readonly (readonly number[])[], share: number, seed: number): Set<number> {
  const examples = groups.flat().length;
  const most = Math.min(Math.round(share * examples), examples - 1);
  const heldBack = new Set<number>();
  if (groups.length < 2) return heldBack;
  const order = shuffled(groups, seededRandom(`validation/${seed}`));
  for (const group of order) {
    if (heldBack.size + group.length <= most) for (const index of group) heldBack.add(index);
  }
  if (heldBack.size > 0) return heldBack;
  return new Set(order.reduce((smallest, group) => (group.length < smallest.length ? group : smallest)));
}
