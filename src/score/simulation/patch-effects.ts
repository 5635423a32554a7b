/** What a patch does to a distribution: which values go up, which go down, and whether an answer still shows one at all. */

import type { Distribution } from "../../ask/expand-distribution.js";

/** Values among the answers that show one. */
export interface ShownValues {
  /** Probability of an answer that shows a value. */
  readonly mass: number;
  /** Probability that was not looked into. */
  readonly tail: number;
  /** Value -> its probability among those that show one; sums to 1. */
  readonly shares: ReadonlyMap<string, number>;
}

/** Below it more answers show no value than show one: what is left of the property says little, and its shares are no effect. */
export const LEAST_SHOWN = 0.5;

/** @returns undefined where too little shows a value: the answer is broken */
export function shownValues(distribution: Distribution): ShownValues | undefined {
  const mass = distribution.values.reduceRight((sum, { probability }) => sum + probability, 0);
  if (!(mass >= LEAST_SHOWN)) return undefined;
  return {
    mass,
    tail: distribution.method === "expansion" ? distribution.tail : 0,
    shares: new Map(distribution.values.map(({ value, probability }) => [value, probability / mass])),
  };
}

export function shareOfValue({ shares }: Pick<ShownValues, "shares">, value: string): number {
  return shares.get(value) ?? 0;
}

/** Value -> how much more of the answers show it, of the values that either has. */
export function shareChanges(before: ShownValues, after: ShownValues): ReadonlyMap<string, number> {
  const values = new Set([...before.shares.keys(), ...after.shares.keys()]);
  return new Map([...values].map((value) => [value, shareOfValue(after, value) - shareOfValue(before, value)]));
}

/** Half the sum of what changes: 0 nothing, 1 everything. */
export function changedShare(before: ShownValues, after: ShownValues): number {
  return [...shareChanges(before, after).values()].reduce((sum, one) => sum + Math.abs(one), 0) / 2;
}

/** Half of how much the lead of one value over another grows: 1 where it takes the other's whole place, −1 the other way. */
export function movedToward(before: ShownValues, after: ShownValues, toward: string, from: string): number {
  const lead = (shown: ShownValues) => shareOfValue(shown, toward) - shareOfValue(shown, from);
  return (lead(after) - lead(before)) / 2;
}

/** Of one value, before and after a patch. */
export interface ValueEffect {
  readonly value: string;
  readonly before: number;
  readonly after: number;
  /** Probability that was not looked into may be its, before and after: at most so much more. */
  readonly tailBefore: number;
  readonly tailAfter: number;
  /** ln after − ln before, nats; absent where one of them is 0. */
  readonly logprobChange?: number;
}

/** Every value that either distribution has, most likely after the patch first, equal ones by code unit. */
export function valueEffects(before: Distribution, after: Distribution): ValueEffect[] {
  const tailOf = (one: Distribution) => (one.method === "expansion" ? one.tail : 0);
  const of = (one: Distribution) => new Map(one.values.map(({ value, probability }) => [value, probability]));
  const [was, is] = [of(before), of(after)];
  return [...new Set([...was.keys(), ...is.keys()])]
    .map((value): ValueEffect => {
      const [one, other] = [was.get(value) ?? 0, is.get(value) ?? 0];
      const tails = { tailBefore: tailOf(before), tailAfter: tailOf(after) };
      const bare = { value, before: one, after: other, ...tails };
      return one > 0 && other > 0 ? { ...bare, logprobChange: Math.log(other) - Math.log(one) } : bare;
    })
    .sort((a, b) => b.after - a.after || b.before - a.before || (a.value < b.value ? -1 : 1));
}

/**
 * By how many nats the odds of one value over another change: the difference of their logits, as answers show them.
 * @returns undefined where one of the four probabilities is 0
 */
export function logitDifferenceChange(
  effects: readonly ValueEffect[],
  value: string,
  other: string,
): number | undefined {
  const [one, two] = [value, other].map((name) => effects.find((effect) => effect.value === name)?.logprobChange);
  return one === undefined || two === undefined ? undefined : one - two;
}
