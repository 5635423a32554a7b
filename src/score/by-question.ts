import type { Trial } from "../records/trial.js";

/** Sampled answers make several trials of one question: numbered by what the target did, which is the same on both sides. */
export function byQuestion(trials: readonly Trial[]): Map<string, Trial> {
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
