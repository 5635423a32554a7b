/** Pairs of prompts: what a donor's state has within a subspace is written into the other prompt, beside controls that are displaced as far. */

import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { hashOf, readJsonLines } from "../base/files.js";
import { InwardError } from "../errors.js";
import { readGguf } from "../gguf/read-gguf.js";
import { openTokenizer } from "../model/engines/start-engine.js";
import type { Intervention } from "../model/interventions.js";
import { siteName, siteNumbers, stateShapeOf } from "../model/sites.js";
import { tokensByName } from "../probe/chosen-turns.js";
import { lengthOfVector } from "../base/vectors.js";
import { ModelReading, type RowSpan } from "../probe/read-space.js";
import { byReading, readSubspaces, type Subspace, type SubspaceByReading, subspacePatch } from "../probe/subspace.js";
import { subspaceEffects, type WrittenEffect } from "../probe/written-effects.js";
import type { ChatMessage } from "../tasks/answer.js";
import { type AnswerFileOptions, type AnswersFile, writeAnswers } from "./answers-file.js";
import { captureBeside } from "./captured-states.js";
import {
  type ChoiceLine,
  choiceLineSchema,
  type ChoiceQuestion,
  choiceQuestions,
  choiceTokens,
  requireTwoChoices,
} from "./given-choices.js";
import { findModel, type FoundModel } from "./open-model.js";
import { parsePromptPairs } from "./prompt-pairs.js";

/** A prompt that is written into, and one whose state is. */
export interface PatchPair {
  readonly id: string;
  readonly prompt: readonly ChatMessage[];
  readonly donor: readonly ChatMessage[];
}

export interface SubspaceOptions extends AnswerFileOptions {
  /** Files of directions, together what spans the subspace at each of their sites. */
  readonly subspace: readonly string[];
  /** Answers whose probabilities are told, two or more. */
  readonly choices: readonly string[];
  /** One token of each prompt, of several the last: tokensByName. Default `last`. */
  readonly at?: string;
  /** Of the donor; default that of `at`. */
  readonly from?: string;
  /** Subspaces by chance. Default 3. */
  readonly randomSeeds?: number;
}

/** At one site: by how much the answer that the donor gives by itself gains on the others. */
export interface SubspaceEffect extends WrittenEffect {
  readonly site: string;
  readonly directions: number;
  /** Of the pairs' displacements, the mean, beside that of whole states. */
  readonly displacement: number;
  readonly wholeDisplacement: number;
  readonly unread: UnreadPart;
}

/**
 * What nothing behind the site reads: how many directions of a state's numbers, and how much of what is written, as a share of its length. Where
 * something of it is written, the controls `read` and `unread` are there.
 */
export type UnreadPart =
  | { readonly ok: true; readonly ofState: number; readonly ofPatch: number }
  | { readonly ok: false; readonly reason: string };

export interface PatchedSubspaces extends AnswersFile {
  readonly at: string;
  readonly effects: readonly SubspaceEffect[];
  /** Pairs whose two prompts get the same answer by themselves: nothing of them can be told. */
  readonly alike: readonly string[];
}

/** @param bytes JSONL: `prompt` and `donor`, each a text or its messages; `id` where wanted @throws PROMPTS_INVALID with the line */
export function parsePatchPairs(bytes: Uint8Array, path: string): PatchPair[] {
  return parsePromptPairs(bytes, path, ["prompt", "donor"], { same: true });
}

/**
 * Asks every prompt of a pair without, and the first with the donor's component in the place of its own, with the controls, and with the
 * donor's whole state; a line for each. The same call goes on where an earlier one ended.
 * @throws InwardError USAGE · PROBE_SITE, PROBE_INVALID the subspace or a token does not fit · as askFile and captureStates
 */
export async function patchSubspace(
  pairs: readonly PatchPair[],
  source: string,
  options: SubspaceOptions,
): Promise<PatchedSubspaces> {
  const { choices, subspace, at = "last", from = at, randomSeeds = 3, onFound, onCrash, ...common } = options;
  requireTwoChoices(choices);
  if (!Number.isInteger(randomSeeds) || randomSeeds < 1 || randomSeeds > 1000)
    throw new InwardError("USAGE", `${randomSeeds} subspaces by chance; there is 1 at least, and 1000 at most.`);
  const found = await findModel(source, common);
  onFound?.(found);
  const shape = stateShapeOf(await readGguf(found.file.path), found.file.path);
  const subspaces = await readSubspaces(subspace, (site) =>
    site.layer < shape.layers ? siteNumbers(site, shape, 1) : 0,
  );
  if (subspaces.size === 0) throw new InwardError("PROBE_INVALID", "The files hold no directions.");
  const places = await tokensOf(pairs, choices, found, { at, from });
  const readings = await readingsOf([...subspaces.values()], found);
  const sides = pairs.flatMap(({ id, prompt, donor }, pair) => {
    const { own, donor: theirs } = places[pair] as PairPlaces;
    return [
      { id: `${id}/prompt`, messages: prompt, tokens: [own] },
      { id: `${id}/donor`, messages: donor, tokens: [theirs] },
    ];
  });
  const out = resolve(options.out);
  const lengths = places.flatMap(({ lengths: own }) => own);
  const captured = await captureBeside(sides, source, {
    ...common,
    out,
    lengths,
    sites: [...subspaces.keys()].join(","),
  });
  const stateOf = (site: string, id: string) => {
    const values = captured.states.get(site)?.get(id)?.values;
    if (!values) throw new InwardError("INTERNAL", `No states of ${site} were taken.`);
    return values;
  };
  const partsOf = (site: string): SubspaceByReading => readings.get(site)?.parts ?? {};
  const patchOf = (one: Subspace, { id }: PatchPair, pair: number) =>
    subspacePatch(one, {
      token: (places[pair] as PairPlaces).own,
      own: stateOf(siteName(one.site), `${id}/prompt`),
      donor: stateOf(siteName(one.site), `${id}/donor`),
      name: `${id}/${siteName(one.site)}`,
    });
  const questions = (state: string) =>
    pairs.flatMap((pair, number): ChoiceQuestion[] => {
      const ask = (
        arm: string,
        messages: readonly ChatMessage[],
        site?: string,
        interventions?: readonly Intervention[],
      ): ChoiceQuestion => ({
        key: JSON.stringify([pair.id, arm, ...(site === undefined ? [] : [site])]),
        ...{ state, id: pair.id, arm, messages },
        ...(site === undefined ? {} : { place: { site } }),
        ...(interventions === undefined ? {} : { interventions }),
      });
      const written = [...subspaces].flatMap(([site, one]) => {
        const made = patchOf(one, pair, number);
        return [
          ask("subspace", pair.prompt, site, made.patch),
          ...(made.outside === undefined ? [] : [ask("outside", pair.prompt, site, [made.outside])]),
          ...Array.from({ length: randomSeeds }, (_, draw) =>
            ask(`random_${draw + 1}`, pair.prompt, site, [made.random(draw + 1)]),
          ),
          ...Object.entries(partsOf(site)).map(([arm, part]) =>
            ask(arm, pair.prompt, site, patchOf(part, pair, number).patch),
          ),
          ask("whole", pair.prompt, site, [made.whole]),
        ];
      });
      return [ask("none", pair.prompt), ask("donor", pair.donor), ...written];
    });
  const done = await writeAnswers(
    source,
    {
      what: "answers with a part of a state patched",
      kind: choiceQuestions(choices),
      settings: {
        ...{ choices, at, from, randomSeeds, sites: [...subspaces.keys()], ...hashes(subspaces, places) },
        byReading: Object.fromEntries([...subspaces.keys()].map((site) => [site, Object.keys(partsOf(site))])),
      },
      lines: pairs,
      questions,
    },
    { ...common, onCrash, engine: { forward: "auto", ...common.engine } },
  );
  const { rows } = await readJsonLines<ChoiceLine>(done.out, choiceLineSchema);
  const displacements = new Map(
    [...subspaces].map(([site, one]) => {
      const made = pairs.map((pair, number) => patchOf(one, pair, number));
      const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
      const whole = mean(made.map(({ wholeDisplacement }) => wholeDisplacement));
      return [
        site,
        {
          displacement: mean(made.map((each) => each.displacement)),
          wholeDisplacement: whole,
          unread: unreadOf(
            readings.get(site) as SiteReading,
            made.map(({ moved }) => moved),
          ),
        },
      ] as const;
    }),
  );
  await captured.drop();
  const { effects, alike } = subspaceEffects(rows);
  return {
    ...done,
    at,
    alike,
    effects: [...effects].map(([site, effect]) => ({
      site,
      directions: (subspaces.get(site) as Subspace).basis.length,
      ...(displacements.get(site) as Pick<SubspaceEffect, "displacement" | "wholeDisplacement" | "unread">),
      ...effect,
    })),
  };
}

/** What is read behind one site, and the subspace's parts where anything of it is not. */
type SiteReading =
  | { readonly ok: true; readonly span: RowSpan; readonly parts: SubspaceByReading }
  | { readonly ok: false; readonly reason: string; readonly parts?: undefined };

async function readingsOf(
  subspaces: readonly Subspace[],
  { file, adapter }: FoundModel,
): Promise<Map<string, SiteReading>> {
  const readings = new Map<string, SiteReading>();
  const choice = adapter && { path: adapter.path, scale: adapter.scale };
  const reading = await ModelReading.open(file.path, choice).catch((error: unknown) => {
    // An architecture of which it is not known: the other controls stand.
    if (error instanceof InwardError && error.code === "PROBE_INVALID") return error.message;
    throw error;
  });
  if (typeof reading === "string") {
    for (const { site } of subspaces) readings.set(siteName(site), { ok: false, reason: reading });
    return readings;
  }
  try {
    // What is read behind a later site is read behind an earlier one too.
    for (const one of subspaces.toSorted((a, b) => b.site.layer - a.site.layer)) {
      const span = await reading.spanAt(one.site);
      const { read, unread } = byReading(one, span);
      // Where all of it is read, or nothing, there is no second patch.
      const parts = unread === undefined ? {} : { ...(read ? { read } : {}), unread };
      readings.set(siteName(one.site), { ok: true, span, parts });
    }
  } finally {
    await reading.close();
  }
  return readings;
}

function unreadOf(reading: SiteReading, moved: readonly Float64Array[]): UnreadPart {
  if (!reading.ok) return { ok: false, reason: reading.reason };
  const { span } = reading;
  const shares = moved.flatMap((vector) => {
    const length = lengthOfVector(vector);
    if (length === 0) return [];
    const read = span.within(vector);
    return [lengthOfVector(vector.map((one, at) => one - (read[at] as number))) / length];
  });
  const ofPatch = shares.length === 0 ? 0 : shares.reduce((sum, one) => sum + one, 0) / shares.length;
  return { ok: true, ofState: span.width - span.basis.length, ofPatch };
}

interface PairPlaces {
  readonly own: number;
  readonly donor: number;
  /** Tokens of both prompts. */
  readonly lengths: readonly [number, number];
}

async function tokensOf(
  pairs: readonly PatchPair[],
  choices: readonly string[],
  { file, chat }: FoundModel,
  { at, from }: { readonly at: string; readonly from: string },
): Promise<PairPlaces[]> {
  const tokenizer = await openTokenizer(file.path, chat);
  try {
    await choiceTokens(
      pairs.map(({ id, prompt }) => ({ id, messages: prompt })),
      choices,
      tokenizer,
    );
    const [own, theirs] = [
      await tokenizer.locate(pairs.map(({ prompt }) => prompt)),
      await tokenizer.locate(pairs.map(({ donor }) => donor)),
    ];
    const lastOf = (name: string, located: (typeof own)[number], messages: readonly ChatMessage[], which: string) => {
      const tokens = tokensByName(name, located, messages, { which });
      if ("from" in tokens)
        throw new InwardError("PROBE_INVALID", `${which}: the span ${JSON.stringify(name)} reaches into the reply.`);
      return tokens.at(-1) as number;
    };
    const lengthOf = (located: typeof own, pair: number) => (located[pair] as (typeof own)[number]).tokenIds.length;
    return pairs.map(({ id, prompt, donor }, pair) => ({
      lengths: [lengthOf(own, pair), lengthOf(theirs, pair)],
      own: lastOf(at, own[pair] as (typeof own)[number], prompt, `The prompt of ${JSON.stringify(id)}`),
      donor: lastOf(from, theirs[pair] as (typeof own)[number], donor, `The donor of ${JSON.stringify(id)}`),
    }));
  } finally {
    await tokenizer.dispose();
  }
}

function hashes(subspaces: ReadonlyMap<string, Subspace>, places: readonly PairPlaces[]) {
  const hash = createHash("sha256");
  for (const [site, { basis }] of subspaces) {
    hash.update(site);
    for (const { buffer, byteOffset, byteLength } of basis) hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return { subspaceSha256: hash.digest("hex"), placesSha256: hashOf(places.map(({ own, donor }) => ({ own, donor }))) };
}
