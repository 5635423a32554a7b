/** A predictor's trials about two states of one target, joined on task, string, property and wording. */
import { InwardError } from "../../errors.js";
import type { Trial } from "../../records/trial.js";
import { hasBehavior, isScored, type ScoredTrial } from "../accuracy.js";
import { questionKey } from "../question-key.js";

export interface ShiftSides {
  readonly predictor: string;
  /** The target as it was, and as it is now. */
  readonly before: string;
  readonly after: string;
}

/** One question: the same reply, scored about what the target did and about what it does now. */
export interface ShiftPair {
  readonly before: ScoredTrial;
  readonly after: ScoredTrial;
}

export interface ShiftPairs {
  /** In code-unit order of their keys. */
  readonly pairs: readonly ShiftPair[];
  readonly beforeOnly: number;
  readonly afterOnly: number;
  readonly neither: number;
  readonly unpaired: number;
}

/** @throws InwardError STUDY_INVALID when a question has several samples: which of them changed into which is not known */
export function pairShifts(trials: readonly Trial[], { predictor, before, after }: ShiftSides): ShiftPairs {
  const about = (target: string) =>
    byQuestion(trials.filter((one) => one.predictor === predictor && one.target === target));
  const earlier = about(before);
  const pairs: ShiftPair[] = [];
  const counts = { beforeOnly: 0, afterOnly: 0, neither: 0, unpaired: 0 };
  for (const [key, now] of [...about(after)].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const old = earlier.get(key);
    earlier.delete(key);
    if (!old) counts.unpaired++;
    else if (isScored(old) && isScored(now)) pairs.push({ before: old, after: now });
    else if (hasBehavior(old) && hasBehavior(now)) counts.unpaired++;
    else if (hasBehavior(old)) counts.beforeOnly++;
    else if (hasBehavior(now)) counts.afterOnly++;
    else counts.neither++;
  }
  return { pairs, ...counts, unpaired: counts.unpaired + earlier.size };
}

export function hasShifted({ before, after }: ShiftPair): boolean {
  return before.behavior.value !== after.behavior.value;
}

function byQuestion(trials: readonly Trial[]): Map<string, Trial> {
  const keyed = new Map<string, Trial>();
  for (const trial of trials) {
    const { task, item, target } = trial;
    const key = questionKey(trial);
    if (keyed.has(key)) {
      throw new InwardError(
        "STUDY_INVALID",
        `${target} has several answers to ${task}/${item}: a change of behavior is scored on greedy answers, one for each string.`,
      );
    }
    keyed.set(key, trial);
  }
  return keyed;
}
