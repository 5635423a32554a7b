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

// Rows of a file, by who was asked what.

/** The choices after a prompt into which something was written, or nothing. */
export interface WrittenChoices {
  /** Of the prompt. */
  readonly id: string;
  /** `none` where nothing is written. */
  readonly arm: string;
  readonly place?: Readonly<Record<string, string | number>>;
  /** ln P that an answer begins so; absent where there is none. */
  readonly choices?: readonly number[];
}

export interface EffectSettings extends ResamplingSettings {
  /** Of what string, or cluster of strings, a prompt is; its own where absent. */
  readonly stringOf?: (id: string) => string;
}

const SETTINGS: EffectSettings = { confidence: 0.95, bootstrapReplicates: 2000, bootstrapSeed: 0 };

function likeliestChoice(choices: readonly number[]): number {
  return choices.indexOf(Math.max(...choices));
}

/** `zero`: a head's values are 0. `mean`: they are their mean over the prompts. */
export const ABLATIONS = ["zero", "mean"] as const;
export type Ablation = (typeof ABLATIONS)[number];

/** One head under one way to knock it out. Controls: `random` as large a change by chance, `same_layer` the layer's other heads. */
export interface HeadEffect extends WrittenEffect {
  readonly layer: number;
  readonly head: number;
  readonly ablation: Ablation;
}

/**
 * @param rows arms `zero`, `mean`, `random_zero`, `random_mean` at a place { layer, head }
 * @param owns by prompt the choice whose lead is told; what the prompt's likeliest is by itself where it has none
 */
export function headEffects(
  rows: readonly WrittenChoices[],
  owns: ReadonlyMap<string, number | undefined> = new Map(),
  { stringOf = (id) => id, ...settings }: EffectSettings = SETTINGS,
): HeadEffect[] {
  const scored = rows.filter(({ choices }) => choices !== undefined);
  const keyOf = (id: string, arm: string, layer?: string | number, head?: string | number) =>
    JSON.stringify([id, arm, layer, head]);
  const known = new Map(scored.map((row) => [keyOf(row.id, row.arm, row.place?.layer, row.place?.head), row.choices]));
  const heads = new Map<number, Set<number>>();
  for (const { place } of scored) {
    if (place === undefined) continue;
    const layer = Number(place.layer);
    heads.set(layer, (heads.get(layer) ?? new Set()).add(Number(place.head)));
  }
  return ABLATIONS.flatMap((ablation) => {
    const conditions = new Map<string, WrittenRow[]>();
    const places = new Map<string, { layer: number; head: number }>();
    for (const { id, arm, place, choices: after } of scored) {
      if (arm !== ablation || place === undefined || after === undefined) continue;
      const [layer, head] = [Number(place.layer), Number(place.head)];
      const before = known.get(keyOf(id, "none"));
      const random = known.get(keyOf(id, `random_${ablation}`, layer, head));
      // Without what it stands beside, nothing can be told of it.
      if (before === undefined || random === undefined) continue;
      const others = [...(heads.get(layer) ?? [])].filter((one) => one !== head);
      const sameLayer = others.flatMap((one) => {
        const found = known.get(keyOf(id, ablation, layer, one));
        return found === undefined ? [] : [found];
      });
      const name = JSON.stringify([layer, head]);
      places.set(name, { layer, head });
      const controls = { random: [random], ...(sameLayer.length > 0 ? { same_layer: sameLayer } : {}) };
      const own = owns.get(id) ?? likeliestChoice(before);
      conditions.set(name, [...(conditions.get(name) ?? []), { string: stringOf(id), own, before, after, controls }]);
    }
    return [...writtenEffects(conditions, settings)].map(([name, effect]) => {
      return { ...(places.get(name) as { layer: number; head: number }), ablation, ...effect };
    });
  });
}

/**
 * By how much the answer that a donor gives by itself gains on the others where something of the donor's state is written.
 * @param rows arms `none`, `donor` (what the donor's own prompt says), and at a place { site } `subspace` and its controls, draws of one
 * numbered behind a `_`
 * @returns by site; and prompts that say the same as their donor, of which nothing can be told
 */
export function subspaceEffects(
  rows: readonly WrittenChoices[],
  { stringOf = (id) => id, ...settings }: EffectSettings = SETTINGS,
): { readonly effects: ReadonlyMap<string, WrittenEffect>; readonly alike: readonly string[] } {
  const keyOf = (id: string, arm: string, site: unknown = "") => JSON.stringify([id, arm, site]);
  const known = new Map(rows.map(({ id, arm, place, choices }) => [keyOf(id, arm, place?.site), choices]));
  const alike: string[] = [];
  const told = [...new Set(rows.map(({ id }) => id))].flatMap((id) => {
    const [before, donor] = [known.get(keyOf(id, "none")), known.get(keyOf(id, "donor"))];
    if (before === undefined || donor === undefined) return [];
    const own = likeliestChoice(donor);
    if (own !== likeliestChoice(before)) return [{ id, before, own }];
    alike.push(id);
    return [];
  });
  const sites = [...new Set(rows.flatMap(({ place }) => (place === undefined ? [] : [String(place.site)])))];
  const arms = [...new Set(rows.map(({ arm }) => arm))].filter((arm) => !["none", "donor", "subspace"].includes(arm));
  const controlOf = (arm: string) => arm.replace(/_\d+$/, "");
  const conditions = new Map(
    sites.map((site): [string, WrittenRow[]] => [
      site,
      told.flatMap(({ id, before, own }) => {
        const after = known.get(keyOf(id, "subspace", site));
        if (after === undefined) return [];
        const controls: Record<string, (readonly number[])[]> = {};
        for (const arm of arms) {
          const found = known.get(keyOf(id, arm, site));
          if (found !== undefined) controls[controlOf(arm)] = [...(controls[controlOf(arm)] ?? []), found];
        }
        return [{ string: stringOf(id), own, before, after, controls }];
      }),
    ]),
  );
  return { effects: writtenEffects(conditions, settings), alike };
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
