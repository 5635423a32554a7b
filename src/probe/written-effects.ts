/** What writing into a prompt does to given answers, beside what controls do that are written there too: by condition, over the prompts. */

import { type FamilyTest, signFlipFamily } from "../score/comparison/family-tests.js";
import type { Estimate } from "../score/interval.js";
import type { ResamplingSettings } from "../score/resampling.js";
import { PROPORTION } from "../score/tally.js";
import { estimateOverStrings, sumsByString } from "./string-estimates.js";

/** One prompt under one condition. Each list is [choices] ln P that an answer begins so. */
export interface WrittenRow {
  readonly string: string;
  /** The choice whose lead is told. */
  readonly own: number;
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** By control, one or several draws. */
  readonly controls: Readonly<Record<string, readonly (readonly number[])[]>>;
}

/** The test changes the sides of prompts, in all conditions at once. */
export interface ControlEffect extends FamilyTest {
  readonly lead: Estimate;
  readonly moved: Estimate;
  /** Values of the estimates; those have none where no draw of prompts changes anything. */
  readonly meanLead: number;
  readonly meanBeyond: number;
  /** What was written less the control, by prompt. */
  readonly beyond: Estimate;
}

export interface WrittenEffect {
  readonly prompts: number;
  readonly meanLead: number;
  readonly meanMoved: number;
  /** By how many nats the choice's lead over the others' sum grows. */
  readonly lead: Estimate;
  /** Half the sum of what changes of the choices' probabilities and of all else together, 0 to 1. */
  readonly moved: Estimate;
  readonly controls: Readonly<Record<string, ControlEffect>>;
}

/** @param conditions by name; prompts that lack a control are left out of it */
export function writtenEffects(
  conditions: ReadonlyMap<string, readonly WrittenRow[]>,
  settings: ResamplingSettings,
): Map<string, WrittenEffect> {
  const strings = [...new Set([...conditions.values()].flat().map(({ string }) => string))];
  const controls = [...new Set([...conditions.values()].flat().flatMap((row) => Object.keys(row.controls)))];
  const tests = new Map(
    controls.map((control) => {
      const having = [...conditions].filter(([, rows]) => rows.some((row) => hasControl(row, control)));
      const effects = having.map(([, rows]) => {
        const sums = new Map<string, number>();
        for (const row of rows.filter((one) => hasControl(one, control)))
          sums.set(row.string, (sums.get(row.string) ?? 0) + beyondOf(row, control));
        return strings.map((string) => sums.get(string) ?? 0);
      });
      const { bootstrapReplicates: draws, bootstrapSeed: seed } = settings;
      const made = signFlipFamily(effects, { draws, seed });
      return [control, new Map(having.map(([name], at) => [name, made[at] as FamilyTest]))] as const;
    }),
  );
  return new Map(
    [...conditions].map(([name, rows]) => [
      name,
      effectOf(rows, (control) => tests.get(control)?.get(name) as FamilyTest, settings),
    ]),
  );
}

const hasControl = ({ controls }: WrittenRow, name: string) => (controls[name]?.length ?? 0) > 0;

const grownLead = ({ own, before }: WrittenRow, after: readonly number[]) =>
  leadOverOthers(after, own) - leadOverOthers(before, own);

/** Over the control's draws. */
function meanOfDraws({ controls }: WrittenRow, name: string, of: (after: readonly number[]) => number): number {
  const draws = controls[name] as readonly (readonly number[])[];
  return draws.reduce((sum, after) => sum + of(after), 0) / draws.length;
}

function beyondOf(row: WrittenRow, control: string): number {
  return grownLead(row, row.after) - meanOfDraws(row, control, (after) => grownLead(row, after));
}

function effectOf(
  rows: readonly WrittenRow[],
  testOf: (control: string) => FamilyTest,
  settings: ResamplingSettings,
): WrittenEffect {
  const over = (some: readonly WrittenRow[], of: (row: WrittenRow) => number, range?: typeof PROPORTION) =>
    estimateOverStrings(sumsByString(some.map((row) => ({ string: row.string, value: of(row) }))), range, settings);
  const mean = (some: readonly WrittenRow[], of: (row: WrittenRow) => number) =>
    some.reduce((sum, row) => sum + of(row), 0) / some.length;
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.controls)))];
  const controls = names.map((name): [string, ControlEffect] => {
    const some = rows.filter((row) => hasControl(row, name));
    return [
      name,
      {
        meanLead: mean(some, (row) => meanOfDraws(row, name, (after) => grownLead(row, after))),
        meanBeyond: mean(some, (row) => beyondOf(row, name)),
        lead: over(some, (row) => meanOfDraws(row, name, (after) => grownLead(row, after))),
        moved: over(some, (row) => meanOfDraws(row, name, (after) => movedBy(row.before, after)), PROPORTION),
        beyond: over(some, (row) => beyondOf(row, name)),
        ...testOf(name),
      },
    ];
  });
  return {
    prompts: rows.length,
    meanLead: mean(rows, (row) => grownLead(row, row.after)),
    meanMoved: mean(rows, ({ before, after }) => movedBy(before, after)),
    lead: over(rows, (row) => grownLead(row, row.after)),
    moved: over(rows, ({ before, after }) => movedBy(before, after), PROPORTION),
    controls: Object.fromEntries(controls),
  };
}

/** ln P of one choice less ln of the others' summed P. */
export function leadOverOthers(choices: readonly number[], own: number): number {
  const others = choices.filter((_, choice) => choice !== own);
  const most = Math.max(...others);
  return (choices[own] as number) - most - Math.log(others.reduce((sum, one) => sum + Math.exp(one - most), 0));
}

/** Of the distribution over the choices and all else: the least that the whole distribution has moved. */
export function movedBy(before: readonly number[], after: readonly number[]): number {
  const shares = (logprobs: readonly number[]) => {
    const own = logprobs.map(Math.exp);
    return [...own, Math.max(0, 1 - own.reduce((sum, one) => sum + one, 0))];
  };
  const [was, is] = [shares(before), shares(after)];
  return Math.min(1, was.reduce((sum, one, at) => sum + Math.abs(one - (is[at] as number)), 0) / 2);
}
