/** How often a state under its adapter does something else than without it, on the same strings. */
import type { BehaviorDrift } from "../records/scores.js";
import type { Trial } from "../records/trial.js";
import { hasBehavior } from "./accuracy.js";
import { compareNames } from "./cells.js";
import { estimateOver } from "./estimate-over.js";
import { type Measure, PROPORTION } from "./measure.js";
import type { TaskStrings } from "./tally.js";

/** @returns first over everything, then by task and property; empty when one of the two was not asked what it does */
export function driftOf(
  trials: readonly Trial[],
  { before, after }: { readonly before: string; readonly after: string },
  strings: ReadonlyMap<string, TaskStrings>,
  confidence: number,
): BehaviorDrift[] {
  const earlier = behaviorsOf(trials, before);
  const later = [...behaviorsOf(trials, after)].filter(([key]) => earlier.has(key)).map(([, trial]) => trial);
  if (later.length === 0) return [];
  const was = (trial: Trial) => earlier.get(keyOf(trial)) as Trial;
  const differ: Measure = (trial) => {
    const other = was(trial);
    return hasBehavior(trial) && hasBehavior(other) ? Number(trial.behavior.value !== other.behavior.value) : undefined;
  };
  const drift = (some: readonly Trial[], cell: { task?: string; property?: string }): BehaviorDrift => {
    const sides = some.map((trial) => [hasBehavior(was(trial)), hasBehavior(trial)]);
    const count = (first: boolean, second: boolean) => sides.filter(([a, b]) => a === first && b === second).length;
    return {
      before,
      after,
      ...cell,
      differ: estimateOver(some, { measure: differ, range: PROPORTION, kind: "micro" }, strings, confidence),
      both: count(true, true),
      beforeOnly: count(true, false),
      afterOnly: count(false, true),
      neither: count(false, false),
    };
  };
  const cells = new Map(later.map(({ task, property }) => [JSON.stringify([task, property]), { task, property }]));
  return [
    drift(later, {}),
    ...[...cells.values()]
      .sort((a, b) => compareNames([a.task, a.property], [b.task, b.property]))
      .map((cell) =>
        drift(
          later.filter(({ task, property }) => task === cell.task && property === cell.property),
          cell,
        ),
      ),
  ];
}

/** What a target did, once for each string and property, however many predicted it in however many wordings. */
function behaviorsOf(trials: readonly Trial[], target: string): Map<string, Trial> {
  return new Map(trials.filter((trial) => trial.target === target).map((trial) => [keyOf(trial), trial]));
}

function keyOf({ task, item, property }: Trial): string {
  return JSON.stringify([task, item, property]);
}
