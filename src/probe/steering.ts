/** What steering does to replies and to the probabilities of given answers, beside random directions of the same length. */

import { type AdjustedP, holmOver, signFlipTest } from "../score/comparison/tests.js";
import type { TestResult } from "../score/comparison/comparison.js";
import type { Estimate } from "../score/interval.js";
import type { ResamplingSettings } from "../score/resampling.js";
import { estimateOverStrings, shareOfRows, sumsByString } from "./string-estimates.js";

/** Nothing added · the direction · a random one, by its seed. */
export type SteeringArm = "none" | "vector" | `random_${number}`;

/** One prompt under one arm, as far as effects are counted. */
export interface SteeredRow {
  readonly id: string;
  readonly arm: SteeringArm;
  /** Times the direction; 0 with `none`. */
  readonly strength: number;
  readonly text: string;
  /** ln P of the first of the given answers, less ln of the others' summed P; absent where none were given. */
  readonly lead?: number;
  /** Whether each behavior is what it is without; of behaviors that have a value both times. */
  readonly behaviors?: Readonly<Record<string, string | undefined>>;
}

/** Of one strength, against nothing added, with intervals over the prompts. */
export interface SteeringEffect {
  readonly strength: number;
  readonly prompts: number;
  /** Share of replies that are other texts; of random directions over all seeds. */
  readonly changed: { readonly vector: Estimate; readonly random: Estimate };
  /** Nats by which the first answer's lead grows. `beyond`: the direction's less the mean over the random ones'. */
  readonly lead?: {
    readonly vector: Estimate;
    readonly random: Estimate;
    readonly beyond: Estimate;
    readonly test: TestResult;
    /** Adjusted over the strengths. */
    readonly adjusted: AdjustedP;
  };
  /** Of each property the share of prompts whose value is another, where both have one. */
  readonly behaviors: readonly { readonly property: string; readonly vector: Estimate; readonly random: Estimate }[];
}

/** @param rows of all prompts, each once under every arm; 0 is nothing, and has no effect */
export function steeringEffects(rows: readonly SteeredRow[], settings: ResamplingSettings): SteeringEffect[] {
  const base = new Map(rows.filter(({ arm }) => arm === "none").map((row) => [row.id, row]));
  const strengths = [...new Set(rows.filter(({ arm }) => arm !== "none").map(({ strength }) => strength))];
  const effects = strengths
    .filter((strength) => strength !== 0)
    .map((strength) => {
      const own = rows.filter((row) => row.arm !== "none" && row.strength === strength);
      const [vector, random] = [own.filter(({ arm }) => arm === "vector"), own.filter(({ arm }) => arm !== "vector")];
      const changed = (some: readonly SteeredRow[]) =>
        shareOfRows(
          some.map(({ id, text }) => ({ string: id, isSo: text !== base.get(id)?.text })),
          settings,
        );
      const properties = [...new Set(rows.flatMap(({ behaviors = {} }) => Object.keys(behaviors)))];
      const moved = (some: readonly SteeredRow[], property: string) =>
        shareOfRows(
          some.flatMap(({ id, behaviors = {} }) => {
            const [before, now] = [base.get(id)?.behaviors?.[property], behaviors[property]];
            return before === undefined || now === undefined ? [] : [{ string: id, isSo: before !== now }];
          }),
          settings,
        );
      return {
        strength,
        prompts: vector.length,
        changed: { vector: changed(vector), random: changed(random) },
        ...leadsOf(base, vector, random, settings),
        behaviors: properties.map((property) => ({
          property,
          vector: moved(vector, property),
          random: moved(random, property),
        })),
      };
    });
  const adjusted = holmOver(effects.flatMap(({ lead }) => (lead ? [lead.test] : []))).values();
  return effects.map(({ lead, ...effect }) =>
    lead ? { ...effect, lead: { ...lead, adjusted: adjusted.next().value as AdjustedP } } : effect,
  );
}

function leadsOf(
  base: ReadonlyMap<string, SteeredRow>,
  vector: readonly SteeredRow[],
  random: readonly SteeredRow[],
  settings: ResamplingSettings,
) {
  const grown = (some: readonly SteeredRow[]) =>
    some.flatMap(({ id, lead }) => {
      const before = base.get(id)?.lead;
      return lead === undefined || before === undefined ? [] : [{ string: id, value: lead - before }];
    });
  const [own, others] = [grown(vector), grown(random)];
  if (own.length === 0) return {};
  const mean = (some: readonly { readonly string: string; readonly value: number }[]) =>
    estimateOverStrings(sumsByString(some), undefined, settings);
  const byId = new Map(sumsByIdOf(others));
  const beyond = own.flatMap(({ string, value }) => {
    const control = byId.get(string);
    return control === undefined ? [] : [{ string, value: value - control }];
  });
  return {
    lead: {
      vector: mean(own),
      random: mean(others),
      beyond: mean(beyond),
      test: signFlipTest(
        beyond.map(({ value }) => value),
        { draws: settings.bootstrapReplicates, seed: settings.bootstrapSeed },
      ),
    },
  };
}

/** @returns the mean of each string's values */
function sumsByIdOf(rows: readonly { readonly string: string; readonly value: number }[]): [string, number][] {
  const all = new Map<string, number[]>();
  for (const { string, value } of rows) all.set(string, [...(all.get(string) ?? []), value]);
  return [...all].map(([string, values]) => [string, values.reduce((sum, one) => sum + one, 0) / values.length]);
}
