import type { Extraction } from "../../records/extraction.js";
import type { Trial } from "../../records/trial.js";
import { hasBehavior } from "../accuracy.js";

/**
 * What a state itself does on the strings of trials, from the trials in which it is the target.
 * @returns undefined where it was not asked, does not comply, or where sampled answers differ
 */
export function behaviorOf(trials: readonly Trial[], state: string): (trial: Trial) => Extraction | undefined {
  const behaviors = new Map<string, Extraction | undefined>();
  for (const trial of trials) {
    if (trial.target !== state || !hasBehavior(trial)) continue;
    const key = keyOf(trial);
    const known = behaviors.get(key);
    const differs = behaviors.has(key) && !(known?.ok && known.value === trial.behavior.value);
    behaviors.set(key, differs ? undefined : trial.behavior);
  }
  return (trial) => behaviors.get(keyOf(trial));
}

function keyOf({ task, item, property }: Trial): string {
  return JSON.stringify([task, item, property]);
}
