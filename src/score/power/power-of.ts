/** How many strings a difference takes to be seen, from how strings scattered in a pilot run. Pure. */
import { InwardError } from "../../errors.js";
import type { DesignEffect, Weighting } from "../../records/comparison.js";
import { designEffect } from "../comparison/design-effect.js";
import type { DifferenceRow } from "../comparison/string-contributions.js";
import { normalCumulative, normalQuantile } from "../normal.js";
import { checkConfidence } from "../resampling-settings.js";
import { powerAssumptions, SURE_OF_SCATTER } from "./power-assumptions.js";
import { type StringScatter, stringScatter } from "./string-scatter.js";

export interface PowerSettings {
  /** Of the accuracies, in (0, 1]: 0.05 for five points. */
  readonly difference: number;
  /** In (0.5, 1), 0.9 for nine studies of ten. */
  readonly power: number;
  /** In (0, 1), 0.95 for tests at a level of 5 %, two-sided. */
  readonly confidence: number;
  readonly kind: Weighting;
}

export interface TaskStringsNeeded {
  readonly task: string;
  /** With a paired trial, in the pilot. */
  readonly pilotStrings: number;
  readonly strings: number;
}

export type PowerCalculation =
  | ({ readonly ok: true } & PowerSettings & {
        /** All tasks together. */
        readonly strings: number;
        readonly byTask: readonly TaskStringsNeeded[];
        readonly pilot: PilotScatter;
        /** What decides the result and is not known for certain, in words. */
        readonly assumptions: readonly string[];
      })
  | { readonly ok: false; readonly reason: string };

/** What the pilot shows. */
export interface PilotScatter {
  readonly difference: number;
  readonly standardError: number;
  readonly degreesOfFreedom: number;
  readonly trials: number;
  readonly strings: number;
  readonly tasks: number;
  readonly trialsPerString: number;
  readonly designEffect: DesignEffect;
  /** The chance that a run like the pilot itself sees the difference asked for: at least this, in four pilots of five. */
  readonly power: number;
}

/**
 * A difference x is called seen when the sign-flip test by string rejects at 1 − confidence. With k times the pilot's strings the sum of
 * strings' contributions has the mean k·x·W and the variance k·V, and the test compares it with the scatter k·F about zero, F = Σ (contribution + x ·
 * weight)²: so √k = (z₁ √F + z₂ √V) ÷ (x·W). A pilot may have seen too little scatter, which would break the promise in half of all pilots: so V, and what F
 * has of it, are taken at the limit that the true scatter stays below in four pilots of five (R. H. Browne 1995, Statistics in Medicine 14, 1933-1940); a
 * smaller pilot asks for more. scripts/validate-statistics.mjs checks it by simulation.
 * @param given the pilot's paired trials, in any order
 * @throws InwardError STUDY_INVALID when a setting is out of range
 */
export function powerOf(given: readonly DifferenceRow[], settings: PowerSettings): PowerCalculation {
  checkSettings(settings);
  // In a fixed order, because sums are in floating point.
  const rows = given
    .map((row) => ({ row, key: JSON.stringify([row.task, row.item, row.property, row.difference]) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ row }) => row);
  const scatter = stringScatter(rows, settings.kind);
  if (!scatter.ok) return scatter;
  const { difference, power, confidence } = settings;
  const { degreesOfFreedom, weight } = scatter;
  const more = scatterLimit(degreesOfFreedom, SURE_OF_SCATTER);
  const rejecting = normalQuantile((1 + confidence) / 2) * Math.sqrt(aboutZero(scatter, difference, more));
  const spread = Math.sqrt(more * scatter.variance);
  const times = ((rejecting + normalQuantile(power) * spread) / (difference * weight)) ** 2;
  const byTask = enough(
    scatter.tasks.map(({ task, strings }) => ({
      task,
      pilotStrings: strings.length,
      strings: Math.max(2, Math.ceil(times * strings.length)),
    })),
    confidence,
  );
  return {
    ok: true,
    ...settings,
    strings: byTask.reduce((sum, { strings }) => sum + strings, 0),
    byTask,
    pilot: {
      difference: scatter.difference,
      standardError: Math.sqrt(scatter.variance) / weight,
      degreesOfFreedom,
      trials: scatter.trials,
      strings: scatter.strings,
      tasks: scatter.tasks.length,
      trialsPerString: scatter.trials / scatter.strings,
      designEffect: designEffect(byString(rows)),
      power: normalCumulative((difference * weight - rejecting) / spread),
    },
    assumptions: powerAssumptions(scatter, settings),
  };
}

/**
 * Σ (contribution + x · weight)²: what the sign-flip test measures by, were the mean difference x. The contributions' own squares, which
 * the pilot's mean takes a degree of freedom from, are `more` than it saw.
 */
function aboutZero({ tasks }: StringScatter, difference: number, more: number): number {
  const strings = tasks.flatMap((task) => task.strings);
  const seen = strings.reduce((sum, { contribution }) => sum + contribution ** 2, 0);
  const moved = strings.reduce((sum, { contribution, weight }) => sum + (contribution + difference * weight) ** 2, 0);
  return moved + ((more * strings.length) / (strings.length - 1) - 1) * seen;
}

/** Degrees of freedom ÷ their chi-square's (1 − sure) quantile, by E. B. Wilson and M. M. Hilferty (1931, PNAS 17, 684-688). */
function scatterLimit(degreesOfFreedom: number, sure: number): number {
  const spread = 2 / (9 * degreesOfFreedom);
  return (1 - spread + normalQuantile(1 - sure) * Math.sqrt(spread)) ** -3;
}

/** Of m strings no sign pattern is rarer than 2 in 2^m: with fewer strings than this the test can never reject. */
function enough(tasks: readonly TaskStringsNeeded[], confidence: number): TaskStringsNeeded[] {
  const least = Math.floor(1 - Math.log2(1 - confidence)) + 1;
  const total = tasks.reduce((sum, { strings }) => sum + strings, 0);
  if (total >= least) return [...tasks];
  return tasks.map((task) => ({ ...task, strings: Math.max(task.strings, Math.ceil(least / tasks.length)) }));
}

function byString(rows: readonly DifferenceRow[]): number[][] {
  const strings = new Map<string, number[]>();
  for (const { task, item, difference } of rows) {
    const key = JSON.stringify([task, item]);
    const known = strings.get(key);
    if (known) known.push(difference);
    else strings.set(key, [difference]);
  }
  return [...strings].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, differences]) => differences);
}

function checkSettings({ difference, power, confidence }: PowerSettings): void {
  const refuse = (what: string) => {
    throw new InwardError("STUDY_INVALID", what);
  };
  if (!(difference > 0 && difference <= 1)) {
    refuse(`The difference to be seen is ${100 * difference} points; it must be above 0 and at most 100.`);
  }
  if (!(power > 0.5 && power < 1)) refuse(`The power is ${power}; it must be above 0.5 and below 1.`);
  checkConfidence(confidence);
}
