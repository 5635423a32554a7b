/** What taking a study's answers apart wrote down, line by line (07-inside.jsonl), and what it comes to (08-inside.json). */

import { z } from "zod";
import type { FamilyTest } from "../score/comparison/family-tests.js";
import type { Estimate } from "../score/interval.js";
import type { ResamplingSettings } from "../score/resampling.js";
import { INSIDE_LABELS, INSIDE_READINGS, type InsideLabel, type InsideReading } from "../study/inside-schema.js";
import { type SetAsideReason, setAsideSchema, type StopReason } from "../tasks/answer.js";
import { type AttentionShares, type AttentionToSpan, sharesOverStrings } from "./attention-spans.js";
import { PROBE_SETTINGS } from "./linear-probe-score.js";
import type { LogitPart } from "./logit-attribution.js";
import { type PartEffect, partEffects } from "./part-effects.js";
import { type PatchscopeEffect, scopeEffects, type ScopeArm } from "./patchscope-effects.js";
import { type HeadEffect, headEffects, subspaceEffects, type WrittenEffect } from "./written-effects.js";

export type InsidePrompt = "hypothetical" | "object_level";

/** Whose answer to what, and what was done. */
export interface InsidePlace {
  /** `<reading>/<state>/<task>/<item>/<prompt>[/<property>]/<arm>[/<place>]` */
  readonly key: string;
  readonly reading: InsideReading;
  readonly state: string;
  readonly task: string;
  readonly item: string;
  readonly prompt: InsidePrompt;
  /** What a hypothetical question asks for; absent of object-level questions, which are the same whatever is asked of them. */
  readonly property?: string;
  /**
   * `none`: nothing is written. Attribution: `behavior`, `property`, whose values' first tokens are looked at. Heads: `zero`, `mean`, and of
   * each a random change as large. Subspace: `subspace` and its controls, draws numbered behind a `_`. Patchscope: `state`, `random`.
   */
  readonly arm: string;
  /** Heads { layer, head }; subspace { of, site }; patchscope { from, into }. */
  readonly place?: Readonly<Record<string, string | number>>;
  /** Of lines without a place: what the state does with the string, by label the value that is its own. */
  readonly own?: Readonly<Partial<Record<InsideLabel, string>>>;
  /** Of the subspace: whose state was taken. */
  readonly donor?: string;
  /** What `choices`, and the logits of parts, are of. */
  readonly values?: readonly string[];
  /** Of the subspace: how far the state is displaced, by its patch and by the donor's whole state; how many directions it has. */
  readonly displacement?: number;
  readonly wholeDisplacement?: number;
  readonly directions?: number;
  /** Of the heads' line with nothing written: what each attends to, from the prompt's last token. */
  readonly attention?: AttentionShares;
}

export interface InsideRow extends InsidePlace {
  /** ln P that an answer begins so, in the order of `values`. */
  readonly choices?: readonly number[];
  /** By component, logits of the values' first tokens. `parts` sum to the logits, `heads` to attention's parts. */
  readonly parts?: Readonly<Record<string, readonly number[]>>;
  readonly heads?: Readonly<Record<string, readonly number[]>>;
  /** As the model has them; others than the sum of the parts only where it caps them. */
  readonly logits?: readonly number[];
  readonly uncapped?: readonly number[];
  /** Of a patchscope's reply. */
  readonly text?: string;
  readonly stop?: StopReason;
  /** Why there is nothing of this string, or at this place. */
  readonly missing?: string;
  readonly setAside?: SetAsideReason;
}

const numbers = z.array(z.number());

export const insideRowSchema = z
  .looseObject({
    ...{ key: z.string(), state: z.string(), task: z.string(), item: z.string(), arm: z.string() },
    reading: z.enum(INSIDE_READINGS),
    prompt: z.enum(["hypothetical", "object_level"]),
    property: z.string().optional(),
    place: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
    own: z.partialRecord(z.enum(INSIDE_LABELS), z.string()).optional(),
    donor: z.string().optional(),
    values: z.array(z.string()).optional(),
    choices: numbers.optional(),
    parts: z.record(z.string(), numbers).optional(),
    heads: z.record(z.string(), numbers).optional(),
    attention: z.record(z.string(), z.record(z.string(), numbers)).optional(),
    text: z.string().optional(),
    missing: z.string().optional(),
    setAside: setAsideSchema.optional(),
  })
  .refine(
    ({ choices, parts, text, missing, setAside }) =>
      [choices, parts, text, missing, setAside].filter((one) => one !== undefined).length === 1,
    "is not one of: scored, taken apart, replied, missing, set aside",
  );

// What the lines come to.

export const INSIDE_VERSION = 1;

/** One question of one state, looked at in one way. */
export interface InsideQuestion extends Pick<InsidePlace, "state" | "task" | "prompt" | "property"> {
  readonly strings: number;
  /** Reason -> strings. */
  readonly leftOut: Readonly<Record<string, number>>;
}

export interface InsideAttribution extends InsideQuestion {
  readonly label: InsideLabel;
  readonly values: readonly string[];
  /** Logits are capped by this model: parts sum to what they are before. */
  readonly hasCap: boolean;
  readonly effects: readonly PartEffect[];
}

export interface InsideHeads extends InsideQuestion {
  readonly values: readonly string[];
  readonly effects: readonly HeadEffect[];
  readonly attention: readonly AttentionToSpan[];
}

export type InsideSubspaceSite =
  | ({
      readonly ok: true;
      readonly site: string;
      readonly directions: number;
      /** Means over the strings. */
      readonly displacement: number;
      readonly wholeDisplacement: number;
    } & WrittenEffect)
  | { readonly ok: false; readonly site: string; readonly reason: string };

export interface InsideSubspace extends InsideQuestion {
  readonly of: InsideLabel;
  readonly values: readonly string[];
  /** Strings that are answered as their donor's: nothing of them can be told. */
  readonly alike: number;
  readonly sites: readonly InsideSubspaceSite[];
}

export interface InsidePatchscope extends InsideQuestion {
  /** Which words of the string a reply is searched for. */
  readonly expected: InsideLabel;
  readonly pairs: readonly PatchscopeEffect[];
}

export interface InsideResults {
  readonly insideVersion: typeof INSIDE_VERSION;
  readonly settings: ResamplingSettings;
  readonly attribution: readonly InsideAttribution[];
  readonly heads: readonly InsideHeads[];
  readonly subspace: readonly InsideSubspace[];
  readonly patchscope: readonly InsidePatchscope[];
}

/** @param clusterOf strings of one cluster are drawn together */
export function insideResults(
  rows: readonly InsideRow[],
  clusterOf: (task: string, item: string) => string | undefined,
  settings: ResamplingSettings,
): InsideResults {
  const questions = new Map<string, InsideRow[]>();
  for (const row of rows) {
    const key = JSON.stringify([row.reading, row.state, row.task, row.prompt, row.property]);
    questions.set(key, [...(questions.get(key) ?? []), row]);
  }
  const all = [...questions.values()].map((own) => new QuestionRows(own, clusterOf, settings));
  return {
    insideVersion: INSIDE_VERSION,
    settings,
    attribution: all.flatMap((question) => question.attribution()),
    heads: all.flatMap((question) => question.heads()),
    subspace: all.flatMap((question) => question.subspaces()),
    patchscope: all.flatMap((question) => question.patchscopes()),
  };
}

const SET_ASIDE = "the engine crashed on it each time";

/** The lines of one reading of one question. */
class QuestionRows {
  private readonly first: InsideRow;
  private readonly stringOf: (id: string) => string;

  constructor(
    private readonly rows: readonly InsideRow[],
    clusterOf: (task: string, item: string) => string | undefined,
    private readonly settings: ResamplingSettings,
  ) {
    this.first = rows[0] as InsideRow;
    const { task } = this.first;
    this.stringOf = (item) => clusterOf(task, item) ?? item;
  }

  private is(reading: InsideReading): boolean {
    return this.first.reading === reading;
  }

  /** @param some lines that show something @param lines all of which a string is left out if it is not in `some` */
  private about(some: readonly InsideRow[], lines: readonly InsideRow[] = this.rows): InsideQuestion {
    const { state, task, prompt, property } = this.first;
    const shown = new Set(some.map(({ item }) => item));
    const whyNot = new Map<string, string>();
    for (const { item, missing, setAside } of lines) {
      if (shown.has(item) || whyNot.has(item)) continue;
      whyNot.set(item, missing ?? (setAside === undefined ? "a line that it stands beside is missing" : SET_ASIDE));
    }
    const leftOut: Record<string, number> = {};
    for (const reason of whyNot.values()) leftOut[reason] = (leftOut[reason] ?? 0) + 1;
    const asked = property === undefined ? { state, task, prompt } : { state, task, prompt, property };
    return { ...asked, strings: shown.size, leftOut };
  }

  attribution(): InsideAttribution[] {
    if (!this.is("attribution")) return [];
    return INSIDE_LABELS.flatMap((label): InsideAttribution[] => {
      const lines = this.rows.filter(({ arm }) => arm === label);
      if (lines.length === 0) return [];
      const shown = lines.filter(({ parts }) => parts !== undefined);
      const values = shown[0]?.values ?? [];
      const names = [
        ...new Set(shown.flatMap(({ parts = {} }) => Object.keys(parts))),
        ...new Set(shown.flatMap(({ heads = {} }) => Object.keys(heads))),
      ];
      const prompts = shown.map(({ item, own, parts, heads }) => {
        const found: Readonly<Record<string, readonly number[]>> = { ...parts, ...heads };
        // A bias of no value's token is no part there.
        const partOf = (component: string): LogitPart => {
          return { component, logits: found[component] ?? values.map(() => 0) };
        };
        return { string: this.stringOf(item), own: values.indexOf(own?.[label] ?? ""), parts: names.map(partOf) };
      });
      const { permutations } = PROBE_SETTINGS;
      return [
        {
          ...this.about(shown, lines),
          ...{ label, values },
          hasCap: shown.some(({ logits, uncapped }) => String(logits) !== String(uncapped)),
          effects: partEffects(prompts, values.length, { ...this.settings, permutations }),
        },
      ];
    });
  }

  heads(): InsideHeads[] {
    if (!this.is("heads")) return [];
    const plain = this.rows.filter(({ arm, choices }) => arm === "none" && choices !== undefined);
    const shown = new Set(plain.map(({ item }) => item));
    const looked = plain.flatMap(({ item, attention }) => {
      return attention === undefined ? [] : [{ string: this.stringOf(item), shares: attention }];
    });
    return [
      {
        ...this.about(plain),
        values: plain[0]?.values ?? [],
        effects: headEffects(this.rows.filter(({ item }) => shown.has(item)).map(byItem), new Map(), {
          ...this.settings,
          stringOf: this.stringOf,
        }),
        attention: sharesOverStrings(looked, this.settings),
      },
    ];
  }

  subspaces(): InsideSubspace[] {
    if (!this.is("subspace")) return [];
    const plain = new Map(
      this.rows.flatMap(({ item, arm, choices }) => (arm === "none" && choices ? [[item, choices] as const] : [])),
    );
    const values = this.rows.find(({ arm }) => arm === "none")?.values ?? [];
    return INSIDE_LABELS.flatMap((of): InsideSubspace[] => {
      const placed = this.rows.filter(({ place }) => place?.of === of);
      const common = this.rows.filter(({ place }) => place === undefined);
      if (placed.length === 0) return [];
      const written = placed.filter(({ choices }) => choices !== undefined);
      const told = written.filter(({ arm }) => arm === "subspace");
      const nothing = [...plain].map(([item, choices]) => ({ id: item, arm: "none", choices }));
      const donors = told.flatMap(({ item, donor }) => {
        const choices = donor === undefined ? undefined : plain.get(donor);
        return choices === undefined ? [] : [{ id: item, arm: "donor", choices }];
      });
      const { effects, alike } = subspaceEffects([...nothing, ...donors, ...written.map(byItem)], {
        ...this.settings,
        stringOf: this.stringOf,
      });
      const sites = [...new Set(placed.map(({ place }) => String(place?.site)))];
      const mean = (numbers: readonly number[]) => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
      return [
        {
          ...this.about(
            told.filter(({ item }) => !alike.includes(item)),
            [...common, ...placed].filter(({ item }) => !alike.includes(item)),
          ),
          ...{ of, values, alike: alike.length },
          sites: sites.map((site): InsideSubspaceSite => {
            const own = told.filter(({ place }) => place?.site === site);
            const effect = effects.get(site);
            const [one] = own;
            if (!effect || effect.prompts === 0 || !one) {
              const why = placed.find(({ place, missing }) => place?.site === site && missing !== undefined)?.missing;
              return { ok: false, site, reason: why ?? "no string has a donor that is answered otherwise" };
            }
            return {
              ok: true,
              site,
              directions: one.directions as number,
              displacement: mean(own.map(({ displacement }) => displacement as number)),
              wholeDisplacement: mean(own.map(({ wholeDisplacement }) => wholeDisplacement as number)),
              ...effect,
            };
          }),
        },
      ];
    });
  }

  patchscopes(): InsidePatchscope[] {
    if (!this.is("patchscope")) return [];
    const lines = this.rows.map(({ item, arm, place, text }) => {
      const pair = place === undefined ? {} : { from: String(place.from), into: String(place.into) };
      return { id: item, arm: arm as ScopeArm, ...pair, ...(text === undefined ? {} : { text }) };
    });
    const pairs = new Map(
      lines.flatMap(({ from, into }) =>
        from === undefined || into === undefined ? [] : [[`${from}/${into}`, { from, into }] as const],
      ),
    );
    const labels = INSIDE_LABELS.filter((label) => this.rows.some(({ own }) => own?.[label] !== undefined));
    return labels.map((expected): InsidePatchscope => {
      const own = new Map(this.rows.flatMap((row) => (row.own ? [[row.item, row.own[expected]] as const] : [])));
      const shown = this.rows.filter(({ item, text }) => text !== undefined && own.get(item) !== undefined);
      const prompts = [...new Set(shown.map(({ item }) => item))].map((id) => ({
        id,
        expected: own.get(id) as string,
      }));
      const settings = { ...this.settings, stringOf: this.stringOf };
      return { ...this.about(shown), expected, pairs: scopeEffects(lines, prompts, [...pairs.values()], settings) };
    });
  }
}

function byItem({ item, arm, place, choices }: InsideRow) {
  return { id: item, arm, ...(place === undefined ? {} : { place }), ...(choices === undefined ? {} : { choices }) };
}

// What counts as found: beyond every control, adjusted over all that stands beside it in one reading of one question.

/** Logits, or nats: what units that are off leak is far below, and always on one side. */
export const LEAST_INSIDE = 0.01;
/** Where all strings show the same there is no interval, and the mean is what each shows. */
const isAbove = (estimate: Estimate, mean: number) => (estimate.ok ? estimate.low : mean) > LEAST_INSIDE;
const isBelow = (estimate: Estimate, mean: number) => (estimate.ok ? estimate.high : mean) < -LEAST_INSIDE;
const isShown = ({ adjusted }: FamilyTest, { confidence }: ResamplingSettings) =>
  adjusted.ok && adjusted.p <= 1 - confidence + 1e-9;

/** It writes more of a string's own value than of other strings'. */
export function isWriter(effect: PartEffect, settings: ResamplingSettings): boolean {
  return isShown(effect, settings) && isAbove(effect.gain, effect.meanGain ?? 0);
}

/** Without it the answer loses, more than by a random change as large and more than without the layer's other heads. */
export function isCarrier({ lead, meanLead, controls }: HeadEffect, settings: ResamplingSettings): boolean {
  return (
    isBelow(lead, meanLead) &&
    Object.values(controls).every((one) => isShown(one, settings) && isBelow(one.beyond, one.meanBeyond))
  );
}

/** The donor's answer gains, more than under every control but the donor's whole state, of which the subspace is a part. */
export function isFollowed({ lead, meanLead, controls }: WrittenEffect, settings: ResamplingSettings): boolean {
  const held = Object.entries(controls).filter(([name]) => name !== "whole");
  return (
    isAbove(lead, meanLead) &&
    held.length > 0 &&
    held.every(([, one]) => isShown(one, settings) && isAbove(one.beyond, one.meanBeyond))
  );
}

/** Replies hold the string's own words, more often than other strings'. */
export function isTold({ told }: PatchscopeEffect, settings: ResamplingSettings): boolean {
  return told !== undefined && isShown(told, settings) && told.own > Math.max(told.others, told.random);
}
