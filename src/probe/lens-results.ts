/** What lenses of a study read: the lines of 07-lens.jsonl, and the content of 08-lens.json. */

import { z } from "zod";
import type { TokenText } from "../tasks/answer-tokens.js";
import type { AdjustedP } from "../score/comparison/tests.js";
import type { Estimate } from "../score/interval.js";
import type { LensTargets } from "./lens-readings.js";
import type { LensScore, LensSettings } from "./lens-scores.js";
import type { TunedSummary } from "./lens-process.js";
import type { LensHeldOut } from "./lens-tuned.js";
import type { PlannedLens } from "../study/probe-schema.js";
import type { ProbedQuestion } from "./probe-results.js";

export const LENS_VERSION = 2;

/** What is read of one prompt at one span, by group of values: `<task>` its answers' first words, `<task>/<property>` its property. */
export interface PromptReading {
  readonly prompt: string;
  readonly span: string;
  readonly entropyNats: number;
  readonly topToken: number;
  readonly groups: Readonly<Record<string, ValueReadings>>;
}

/** [values] in the order of the group's targets. Nats and places, as LensReading has them; logprobs to six digits after the point. */
export interface ValueReadings {
  readonly logprobs: readonly number[];
  readonly ranks: readonly number[];
  readonly tied: readonly number[];
}

/** Of a state: what is looked for, and whether the end of the model says what the model said. */
export interface LensedState {
  readonly what: "state";
  readonly state: string;
  readonly groups: Readonly<Record<string, LensTargets>>;
  /** First tokens of replies that were asked for, beside the logit lens after the last layer; why not, where there is nothing. */
  readonly end:
    | {
        readonly ok: true;
        readonly prompts: number;
        /** ln P of the first token said, by the lens and as it was recorded: the greatest difference. */
        readonly greatestNats: number;
        /** Prompts where the lens finds another token likeliest than greedy asking said. */
        readonly otherToken: number;
      }
    | { readonly ok: false; readonly reason: string };
}

/** Of a state whose model's end is not known here. */
export interface UnreadState {
  readonly what: "unread";
  readonly state: string;
  readonly reason: string;
}

/** One lens at one site of one state: all held-out prompts. */
export interface LensedSite {
  readonly what: "site";
  readonly state: string;
  readonly site: string;
  readonly lens: string;
  /** How the map was found; absent of lenses that the study does not find itself. */
  readonly tuned?: TunedSummary | { readonly ok: false; readonly reason: string };
  /** Of a lens of a file: the layer whose map it is, as the format counts them, and how far what it says is from what the model says. */
  readonly given?: GivenMap | { readonly ok: false; readonly reason: string };
  readonly readings: readonly PromptReading[];
}

export interface GivenMap {
  readonly layer: number;
  readonly heldOut: LensHeldOut;
}

export type LensLine = LensedState | UnreadState | LensedSite;

const numbers = z.array(z.number());
const readings = z.object({ logprobs: numbers, ranks: numbers, tied: numbers });
export const lensLineSchema = z.discriminatedUnion("what", [
  z.looseObject({
    what: z.literal("state"),
    state: z.string(),
    groups: z.record(z.string(), z.looseObject({ targets: z.array(z.looseObject({ name: z.string() })) })),
    end: z.looseObject({ ok: z.boolean() }),
  }),
  z.looseObject({ what: z.literal("unread"), state: z.string(), reason: z.string() }),
  z.looseObject({
    what: z.literal("site"),
    state: z.string(),
    site: z.string(),
    lens: z.string(),
    readings: z.array(
      z.looseObject({
        prompt: z.string(),
        span: z.string(),
        entropyNats: z.number(),
        groups: z.record(z.string(), readings),
      }),
    ),
  }),
]);

// 07-lens-tokens.jsonl: some prompts at every token, of each first what its tokens are, then a line a lens and site.

export interface LensToken extends TokenText {
  readonly id: number;
}

/** A value of a property, that was done on the string or said about it, and that has tokens of its own. */
export interface SoughtValue {
  readonly property: string;
  readonly value: string;
}

export interface LensedPrompt {
  readonly what: "prompt";
  readonly state: string;
  readonly prompt: string;
  readonly tokens: readonly LensToken[];
  /** Tokens that the model knows: the last of all ranks, and what an entropy is at most the logarithm of. */
  readonly vocabulary: number;
  readonly values: readonly SoughtValue[];
}

/** Numbers to six digits after the point. */
export interface LensedTokens {
  readonly what: "cells";
  readonly state: string;
  readonly site: string;
  readonly lens: string;
  readonly prompt: string;
  /** [tokens] */
  readonly entropyNats: readonly number[];
  /** The likeliest of all tokens: each once, [tokens] which of these, and its ln P. */
  readonly likeliest: readonly LensToken[];
  readonly likeliestAt: readonly number[];
  readonly likeliestLogprobs: readonly number[];
  /** [values][tokens] in the order of the prompt's values. */
  readonly logprobs: readonly (readonly number[])[];
  readonly ranks: readonly (readonly number[])[];
  readonly tied: readonly (readonly number[])[];
  /** The readings of 07-lens.jsonl that are of one of these tokens: of their ln P and entropies the greatest difference, nats. Absent where there are none. */
  readonly besideSpans?: { readonly readings: number; readonly greatestNats: number };
}

/** Why there is nothing of a prompt, or of one lens at one site of it. */
export interface UnlensedPrompt {
  readonly what: "missing";
  readonly state: string;
  readonly prompt: string;
  readonly site?: string;
  readonly lens?: string;
  readonly reason: string;
}

export type LensTokenLine = LensedPrompt | LensedTokens | UnlensedPrompt;

const token = z.looseObject({ id: z.int(), text: z.string(), bytes: z.string().optional() });
const ofCell = { state: z.string(), site: z.string(), lens: z.string(), prompt: z.string() };

export const lensTokenLineSchema = z.discriminatedUnion("what", [
  z.looseObject({
    what: z.literal("prompt"),
    state: z.string(),
    prompt: z.string(),
    tokens: z.array(token).min(1),
    vocabulary: z.int().min(1),
    values: z.array(z.looseObject({ property: z.string(), value: z.string() })),
  }),
  z.looseObject({
    what: z.literal("cells"),
    ...ofCell,
    entropyNats: numbers,
    likeliest: z.array(token),
    likeliestAt: z.array(z.int().min(0)),
    likeliestLogprobs: numbers,
    logprobs: z.array(numbers),
    ranks: z.array(numbers),
    tied: z.array(numbers),
    besideSpans: z.looseObject({ readings: z.int(), greatestNats: z.number() }).optional(),
  }),
  z.looseObject({
    what: z.literal("missing"),
    state: z.string(),
    prompt: z.string(),
    site: z.string().optional(),
    lens: z.string().optional(),
    reason: z.string(),
  }),
]);

// 08-lens.json

/** A score without its strings one by one. */
export type LensSummary =
  | Omit<Extract<LensScore, { readonly ok: true }>, "gains">
  | { readonly ok: false; readonly reason: string };

/** A lens at a site and a span, and what stands beside it. */
export interface LensReadSite {
  readonly site: string;
  readonly part: string;
  readonly layer: number;
  readonly span: string;
  /** The embedding, and the model's end where it was not asked for, are in no family of tests. */
  readonly isDeclared: boolean;
  readonly score: LensSummary;
  /** Adjusted over the declared sites of one question and one lens. */
  readonly holm: AdjustedP;
  /** The same model without its adapter about the same answers: its gain in nats, and the gain beyond that. */
  readonly withoutAdapter: Estimate;
  readonly beyondWithoutAdapter: Estimate;
  /** Another model about the same answers, at about the same depth. */
  readonly otherModel: BesideModel;
  readonly beyondOtherModel: Estimate;
}

export type BesideModel =
  | { readonly ok: true; readonly state: string; readonly site: string; readonly gainNats: Estimate }
  | { readonly ok: false; readonly reason: string };

export interface LensQuestion
  extends Pick<ProbedQuestion, "predictor" | "target" | "task" | "prompt" | "property" | "variant" | "label"> {
  readonly lens: string;
  readonly heldOutStrings: number;
  /** Reason -> held-out strings that were not read. */
  readonly leftOut: Readonly<Record<string, number>>;
  readonly values: number;
  readonly sites: readonly LensReadSite[];
}

export interface LensResults {
  readonly lensVersion: typeof LENS_VERSION;
  readonly settings: LensSettings;
  readonly spanTokens: "last" | "mean";
  /** Of each state that was read: the end, and the maps by site: those that the study found, and those of files. */
  readonly states: readonly (Pick<LensedState, "state" | "end"> & {
    readonly tuned: readonly ({ readonly site: string } & (
      | TunedSummary
      | { readonly ok: false; readonly reason: string }
    ))[];
    /** Absent where no file has maps for it. */
    readonly given?: readonly ({ readonly lens: string; readonly site: string } & NonNullable<LensedSite["given"]>)[];
  })[];
  /** Lenses of files, as the plan has them: what each says of the model it was made for. Absent where there are none. */
  readonly files?: readonly PlannedLens[];
  readonly unread: readonly Pick<UnreadState, "state" | "reason">[];
  readonly questions: readonly LensQuestion[];
}

export function lensSummary(score: LensScore): LensSummary {
  if (!score.ok) return score;
  const { gains: _, ...summary } = score;
  return summary;
}

export function lensGain(score: LensSummary): Estimate {
  return score.ok ? score.gainNats : score;
}
