/** Trials of two predictors about one target, joined on task, string, property and wording. */
import type { Contrast } from "../../records/comparison.js";
import type { Trial } from "../../records/trial.js";
import { isScored, type ScoredTrial } from "../accuracy.js";
import { byQuestion } from "../by-question.js";

export interface PairedTrial {
  /** Place of the contrast: the seed. */
  readonly seed: number;
  readonly self: ScoredTrial;
  readonly cross: ScoredTrial;
}

export interface PairedTrials {
  /** In code-unit order of their keys, contrast by contrast. */
  readonly paired: readonly PairedTrial[];
  readonly selfOnly: number;
  readonly crossOnly: number;
  readonly notScored: number;
}

export function pairTrials(trials: readonly Trial[], contrasts: readonly Contrast[]): PairedTrials {
  const paired: PairedTrial[] = [];
  let selfOnly = 0;
  let crossOnly = 0;
  let notScored = 0;
  contrasts.forEach(({ target, self, cross }, seed) => {
    const about = (predictor: string) =>
      byQuestion(trials.filter((trial) => trial.target === target && trial.predictor === predictor));
    const others = about(cross);
    for (const [key, own] of [...about(self)].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const other = others.get(key);
      others.delete(key);
      if (!other) selfOnly++;
      else if (isScored(own) && isScored(other)) paired.push({ seed, self: own, cross: other });
      else notScored++;
    }
    crossOnly += others.size;
  });
  return { paired, selfOnly, crossOnly, notScored };
}
