/** Trials of two predictors about one target, joined on task, string, property and wording. */
import type { Contrast } from "../../records/comparison.js";
import type { Trial } from "../../records/trial.js";
import { isScored, type ScoredTrial } from "../accuracy.js";

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

/** Sampled answers make several trials of one question: numbered by what the target did, which is the same on both sides. */
function byQuestion(trials: readonly Trial[]): Map<string, Trial> {
  const seen = new Map<string, number>();
  return new Map(
    trials.map((trial) => {
      const { task, item, property, variant, behavior, objectCompliance } = trial;
      const key = JSON.stringify([task, item, property, variant, behavior, objectCompliance]);
      const place = seen.get(key) ?? 0;
      seen.set(key, place + 1);
      return [`${key}#${place}`, trial];
    }),
  );
}
