/**
 * What a lens reads of the strings' own answers, beside what it reads of other strings' answers in the same prompts: whatever makes a word
 * likely everywhere, such as how common it is, is in both.
 */

import { medianOf } from "../base/median.js";
import type { TestResult } from "../score/comparison/comparison.js";
import type { Estimate } from "../score/interval.js";
import type { ResamplingSettings } from "../score/resampling.js";
import { DIFFERENCE, PROPORTION } from "../score/tally.js";
import { permuteLabels } from "./linear-probe-score.js";
import { estimateOverStrings, type StringSum, sumsByString } from "./string-estimates.js";

/** Nats below which a difference is none: what is left of an answer that was taken out, and the last digits, lie below. */
export const LEAST_NATS = 0.01;

/** One held-out string's prompt, read at one place. */
export interface LensedString {
  /** The string, or the cluster that it is of. */
  readonly string: string;
  /** Which of the values is its own. */
  readonly own: number;
  /** What is known already: only strings with the same are compared. */
  readonly given?: string;
  /** [values] ln of the summed probability of the tokens that each begins with. */
  readonly logprobs: readonly number[];
  /** [values] of the likeliest of them. */
  readonly ranks: readonly number[];
  readonly entropyNats: number;
}

export interface LensSettings extends ResamplingSettings {
  readonly permutations: number;
  readonly leastNats: number;
}

export type LensScore =
  | {
      readonly ok: true;
      /** Strings that were compared; and those of which all others of the same kind have the same value. */
      readonly compared: number;
      readonly alone: number;
      /** Mean ln P of the own value; mean over the other strings of ln P of theirs; and the difference. */
      readonly ownNats: Estimate;
      readonly otherNats: Estimate;
      readonly gainNats: Estimate;
      /** How often the own value leads all others by the least nats; how often another string's does; and the difference. */
      readonly first: Estimate;
      readonly otherFirst: Estimate;
      readonly gainFirst: Estimate;
      readonly medianRank: number;
      readonly otherMedianRank: number;
      readonly entropyNats: Estimate;
      /** Values permuted among strings, one-sided, by ln P. */
      readonly test: TestResult;
      /** By string, for differences to other states. */
      readonly gains: readonly (StringSum & { readonly string: string })[];
    }
  | { readonly ok: false; readonly reason: string };

/** @param values their number */
export function scoreLens(all: readonly LensedString[], values: number, settings: LensSettings): LensScore {
  const groups = new Map<string | undefined, LensedString[]>();
  for (const one of all) groups.set(one.given, [...(groups.get(one.given) ?? []), one]);
  const rows = all.filter((one) => othersOf(one, groups).some(({ own }) => own !== one.own));
  const alone = all.length - rows.length;
  if (rows.length === 0) {
    return {
      ok: false,
      reason:
        all.length === 0 ? "no string has a value that a lens can read" : "all strings of one kind have one value",
    };
  }
  const leaderIn = new Map(
    rows.map((row) => {
      const candidates = [...new Set([row, ...othersOf(row, groups)].map(({ own }) => own))];
      return [row, leaderOf(row.logprobs, candidates, settings.leastNats)] as const;
    }),
  );
  const nats = centred(rows, groups, (prompt, value) => prompt.logprobs[value] as number);
  const leads = centred(rows, groups, (prompt, value) => Number(leaderIn.get(prompt) === value));
  const sums = (of: readonly number[]) =>
    sumsByString(rows.map(({ string }, at) => ({ string, value: of[at] as number })));
  const over = (of: readonly number[], range?: typeof PROPORTION) => estimateOverStrings(sums(of), range, settings);
  const strings = [...new Set(rows.map(({ string }) => string))];
  const gains = sums(nats.gain);
  const none = new Float64Array(values);
  return {
    ok: true,
    compared: rows.length,
    alone,
    ownNats: over(nats.own),
    otherNats: over(nats.other),
    gainNats: over(nats.gain),
    first: over(leads.own, PROPORTION),
    otherFirst: over(leads.other, PROPORTION),
    gainFirst: over(leads.gain, DIFFERENCE),
    medianRank: medianOf(rows.map(({ ranks, own }) => ranks[own] as number)),
    otherMedianRank: medianOf(rows.flatMap((row) => othersOf(row, groups).map(({ own }) => row.ranks[own] as number))),
    entropyNats: over(rows.map(({ entropyNats }) => entropyNats)),
    test: permuteLabels(
      rows.map(({ string, own, given, logprobs }) => ({
        example: { string, split: "held_out", label: String(own), ...(given === undefined ? {} : { given }) },
        logprobs,
        base: none,
      })),
      Array.from({ length: values }, (_, value) => String(value)),
      settings,
    ),
    gains: gains.map((sum, at) => ({ ...sum, string: strings[at] as string })),
  };
}

/**
 * By string: what its prompt gives its own value, what it gives the others' on average, and the gain. Of the matrix of prompts and strings' own values
 * the gain has the mean of rows and columns taken out, n / (n − 1) times, so that its mean is that of the first two's difference, to the last digit, while how likely a word is
 * everywhere, and how much a prompt gives to all, is in no string's gain: drawing strings moves it by what they differ in reading alone.
 */
function centred(
  rows: readonly LensedString[],
  groups: Groups,
  of: (prompt: LensedString, value: number) => number,
): { readonly own: number[]; readonly other: number[]; readonly gain: number[] } {
  const mean = (all: readonly number[]) => all.reduce((sum, one) => sum + one, 0) / all.length;
  const own = rows.map((row) => of(row, row.own));
  const other = rows.map((row) => mean(othersOf(row, groups).map((one) => of(row, one.own))));
  const inPrompt = rows.map((row) => mean(groupOf(row, groups).map((one) => of(row, one.own))));
  const ofValue = rows.map((row) => mean(groupOf(row, groups).map((one) => of(one, row.own))));
  const level = new Map<string | undefined, number>();
  for (const given of new Set(rows.map((row) => row.given))) {
    level.set(given, mean(inPrompt.filter((_, at) => rows[at]?.given === given)));
  }
  const gain = rows.map((row, at) => {
    const [mine, prompt, value] = [own[at], inPrompt[at], ofValue[at]] as [number, number, number];
    const count = groupOf(row, groups).length;
    return ((mine - prompt - value + (level.get(row.given) as number)) * count) / (count - 1);
  });
  return { own, other, gain };
}

type Groups = ReadonlyMap<string | undefined, readonly LensedString[]>;

const groupOf = ({ given }: LensedString, groups: Groups): readonly LensedString[] => groups.get(given) ?? [];

function othersOf(one: LensedString, groups: Groups): LensedString[] {
  return groupOf(one, groups).filter((other) => other !== one);
}

/** Which of some values leads all others of them by so much; undefined where none does. */
function leaderOf(logprobs: readonly number[], candidates: readonly number[], by: number): number | undefined {
  const sorted = candidates.toSorted((a, b) => (logprobs[b] as number) - (logprobs[a] as number));
  const [first, second] = sorted;
  if (first === undefined || second === undefined) return first;
  return (logprobs[first] as number) - (logprobs[second] as number) > by ? first : undefined;
}

/** What one state shows beyond another about the same strings, nats. */
export function lensDifference(one: LensScore, other: LensScore, settings: LensSettings): Estimate {
  if (!one.ok) return one;
  if (!other.ok) return other;
  const second = new Map(other.gains.map((gain) => [gain.string, gain]));
  const pairs = one.gains.map(({ string, sum, rows }) => {
    const same = second.get(string);
    return same && same.rows === rows ? { sum: sum - same.sum, rows } : undefined;
  });
  const both = pairs.flatMap((pair) => pair ?? []);
  if (both.length < pairs.length || second.size !== pairs.length) {
    return { ok: false, reason: "the two were not read on the same strings" };
  }
  return estimateOverStrings(both, undefined, settings);
}
