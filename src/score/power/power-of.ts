/** How many strings a difference takes to be seen, from how strings scattered in a pilot run. Pure. */
import { InwardError } from "../../errors.js";
import type { DesignEffect, Weighting } from "../../records/comparison.js";
import { designEffect } from "../comparison/design-effect.js";
import type { DifferenceRow } from "../comparison/string-contributions.js";
import { checkConfidence } from "../resampling-settings.js";
import { studentCumulative, studentQuantile } from "../student-t.js";
import { powerAssumptions } from "./power-assumptions.js";
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
  /** The chance that a run like the pilot itself sees the difference asked for. */
  readonly power: number;
}

/**
 * A difference x is called seen when the sign-flip test by string rejects at 1 − confidence. With k times the pilot's strings the sum of
 * strings' contributions has the mean k·x·W and the variance k·V, and the test compares it with the scatter k·F about zero, F = Σ (contribution + x ·
 * weight)²: so √k = (t₁ √F + t₂ √V) ÷ (x·W). V and F are the pilot's own, so t₁ and t₂ are Student's quantiles with the pilot's degrees of
 * freedom (C. Stein 1945, Ann. Math. Statist. 16, 243-258): a smaller pilot asks for more. scripts/validate-statistics.mjs checks it by simulation.
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
  const rejecting = studentQuantile((1 + confidence) / 2, degreesOfFreedom) * Math.sqrt(aboutZero(scatter, difference));
  const spread = Math.sqrt(scatter.variance);
  const times = ((rejecting + studentQuantile(power, degreesOfFreedom) * spread) / (difference * weight)) ** 2;
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
      standardError: spread / weight,
      degreesOfFreedom,
      trials: scatter.trials,
      strings: scatter.strings,
      tasks: scatter.tasks.length,
      trialsPerString: scatter.trials / scatter.strings,
      designEffect: designEffect(byString(rows)),
      power: studentCumulative((difference * weight - rejecting) / spread, degreesOfFreedom),
    },
    assumptions: powerAssumptions(scatter, settings),
  };
}

/** Σ (contribution + x · weight)²: what the sign-flip test measures by, were the mean difference x. */
function aboutZero({ tasks }: StringScatter, difference: number): number {
  return tasks
    .flatMap(({ strings }) => strings)
    .reduce((sum, { contribution, weight }) => sum + (contribution + difference * weight) ** 2, 0);
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
