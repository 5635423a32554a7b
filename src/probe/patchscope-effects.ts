/** What replies tell where one prompt's state was written into another: how often they change, and whether they hold the words that are the state's. */

import { type FamilyTest, permutedFamily } from "../score/comparison/family-tests.js";
import type { Estimate } from "../score/interval.js";
import { shareOfRows } from "./string-estimates.js";
import type { EffectSettings } from "./written-effects.js";

/** `none`: nothing is written. `state`. `random`: a vector by chance, as long as the state. */
export type ScopeArm = "none" | "state" | "random";

/** One reply. */
export interface ScopeRow {
  /** Of the prompt whose state is written. */
  readonly id: string;
  readonly arm: ScopeArm;
  /** Sites; absent of `none`. */
  readonly from?: string;
  readonly into?: string;
  /** Absent where there is none. */
  readonly text?: string;
}

export interface ScopePair {
  readonly from: string;
  readonly into: string;
}

/** Of one pair of sites, over the prompts. */
export interface PatchscopeEffect extends ScopePair {
  readonly prompts: number;
  /** Share of replies that are others than without; and of those with a vector by chance. */
  readonly changed: Estimate;
  readonly randomChanged: Estimate;
  /** Where words are expected: shares of replies that contain their own, and other prompts' words; and those without anything written. */
  readonly told?: {
    readonly own: number;
    readonly others: number;
    readonly none: number;
    readonly random: number;
    readonly share: Estimate;
  } & FamilyTest;
}

const SETTINGS: EffectSettings = { confidence: 0.95, bootstrapReplicates: 2000, bootstrapSeed: 0 };
const PERMUTATIONS = 999;

/**
 * The test permutes expected words among the prompts, of all pairs at once.
 * @param prompts each with the words that a reply is to contain, where any are
 */
export function scopeEffects(
  rows: readonly ScopeRow[],
  prompts: readonly { readonly id: string; readonly expected?: string }[],
  pairs: readonly ScopePair[],
  { stringOf = (id) => id, ...settings }: EffectSettings = SETTINGS,
): PatchscopeEffect[] {
  const known = new Map(rows.map((row) => [JSON.stringify([row.id, row.arm, row.from, row.into]), row.text]));
  const textOf = (id: string, arm: ScopeArm, pair?: ScopePair) =>
    known.get(JSON.stringify([id, arm, pair?.from, pair?.into]));
  // Prompts of which a line was set aside are in no effect, so that all are of the same.
  const whole = prompts.filter(
    ({ id }) =>
      textOf(id, "none") !== undefined &&
      pairs.every((pair) => (["state", "random"] as const).every((arm) => textOf(id, arm, pair) !== undefined)),
  );
  const words = [...new Set(whole.flatMap(({ expected }) => expected ?? []))];
  const isExpected = whole.length > 0 && whole.every(({ expected }) => expected !== undefined);
  const contains = (text: string | undefined, word: string) =>
    Number((text ?? "").toLowerCase().includes(word.toLowerCase()));
  const tests = isExpected
    ? permutedFamily(
        pairs.map((pair) => whole.map(({ id }) => words.map((word) => contains(textOf(id, "state", pair), word)))),
        whole.map(({ expected }) => words.indexOf(expected as string)),
        { draws: PERMUTATIONS, seed: settings.bootstrapSeed },
      )
    : [];
  const shareOf = (hits: readonly number[]) => hits.reduce((sum, one) => sum + one, 0) / Math.max(1, hits.length);
  const share = (isSo: (prompt: (typeof whole)[number]) => boolean) =>
    shareOfRows(
      whole.map((prompt) => ({ string: stringOf(prompt.id), isSo: isSo(prompt) })),
      settings,
    );
  return pairs.map((pair, number) => {
    const changed = (arm: "state" | "random") => share(({ id }) => textOf(id, arm, pair) !== textOf(id, "none"));
    const own = (arm: ScopeArm) =>
      whole.map(({ id, expected = "" }) => contains(textOf(id, arm, arm === "none" ? undefined : pair), expected));
    const others = whole.flatMap(({ id, expected }) =>
      words.flatMap((word) => (word === expected ? [] : [contains(textOf(id, "state", pair), word)])),
    );
    const said = own("state");
    return {
      ...pair,
      prompts: whole.length,
      changed: changed("state"),
      randomChanged: changed("random"),
      ...(isExpected
        ? {
            told: {
              own: shareOf(said),
              others: shareOf(others),
              none: shareOf(own("none")),
              random: shareOf(own("random")),
              share: share((prompt) => said[whole.indexOf(prompt)] === 1),
              ...(tests[number] as FamilyTest),
            },
          }
        : {}),
    };
  });
}
