/** How alike two states behave: what the matrix fit takes out before it speaks of privileged access. */
import type { Behavior } from "../../records/behavior.js";

/** What similarity looks at; behaviors of any number of states and samples have it. */
export type ComparedBehavior = Pick<Behavior, "task" | "item" | "property" | "extraction" | "compliance">;

/** Comparisons of one string. */
export interface StringAgreement {
  readonly task: string;
  readonly item: string;
  readonly equal: number;
  readonly compared: number;
}

export type BehaviorSimilarity =
  | {
      readonly ok: true;
      /** Share of comparisons with equal values, in [0, 1]. */
      readonly value: number;
      /** Comparisons, and the strings that they are of. */
      readonly n: number;
      readonly clusters: number;
      /** In code-unit order of task and item. */
      readonly strings: readonly StringAgreement[];
    }
  | { readonly ok: false; readonly reason: string };

/**
 * Only where both answers comply and have the property. Sampled answers are compared each with each of the other state;
 * so a state that samples is less than 1 like itself, as far as it does not know what it will say.
 */
export function behaviorSimilarity(
  first: readonly ComparedBehavior[],
  second: readonly ComparedBehavior[],
): BehaviorSimilarity {
  const others = valuesByKey(second);
  const strings = new Map<string, { task: string; item: string; equal: number; compared: number }>();
  for (const [key, { task, item, values }] of valuesByKey(first)) {
    const other = others.get(key);
    if (!other) continue;
    const place = JSON.stringify([task, item]);
    const sum = strings.get(place) ?? { task, item, equal: 0, compared: 0 };
    for (const value of values) {
      sum.compared += other.values.length;
      sum.equal += other.values.filter((one) => one === value).length;
    }
    strings.set(place, sum);
  }
  const sorted = [...strings].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, sum]) => sum);
  const n = sorted.reduce((sum, { compared }) => sum + compared, 0);
  if (n === 0) return { ok: false, reason: "no task, string and property has a behavior of both" };
  const equal = sorted.reduce((sum, one) => sum + one.equal, 0);
  return { ok: true, value: equal / n, n, clusters: sorted.length, strings: sorted };
}

function valuesByKey(behaviors: readonly ComparedBehavior[]) {
  const keyed = new Map<string, { task: string; item: string; values: string[] }>();
  for (const { task, item, property, extraction, compliance } of behaviors) {
    if (!compliance.ok || !extraction.ok) continue;
    const key = JSON.stringify([task, item, property]);
    const found = keyed.get(key);
    if (found) found.values.push(extraction.value);
    else keyed.set(key, { task, item, values: [extraction.value] });
  }
  return keyed;
}
