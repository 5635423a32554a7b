/** What lenses read at every token of a trial's prompts: lines of 07-lens-tokens.jsonl, which are found once and read when they are looked at. */

import {
  type LensedPrompt,
  type LensedTokens,
  type LensTokenLine,
  lensTokenLineSchema,
} from "../../probe/lens-results.js";
import type { TrialRow } from "../../score/trial-rows.js";
import { RUN_FILES, type RunFile } from "../folder.js";
import { orWhy, trialPrompts } from "./inside-trial.js";
import type { LookedAt } from "./plain-files.js";
import { LineIndex, readViewLines } from "./read-lines.js";
import type { Shown, TokenLens } from "./trial-shapes.js";

const absent = (reason: string) => ({ ok: false, reason }) as const;
const keyOf = (...parts: readonly string[]) => JSON.stringify(parts);

interface Found {
  readonly lines: LineIndex;
  /** By state and prompt: lenses and sites in the order of the file, why one of these reads nothing. */
  readonly places: ReadonlyMap<
    string,
    readonly { readonly lens: string; readonly site: string; readonly why?: string }[]
  >;
  /** By state and prompt, why nothing is read of it. */
  readonly missing: ReadonlyMap<string, string>;
}

export class TokenLenses {
  #found?: Promise<Shown<Found>>;

  /** @param isWritten whether a run of this plan has a file */
  constructor(
    private readonly run: LookedAt,
    private readonly isWritten: (file: RunFile) => boolean,
  ) {}

  /** Of a trial's two prompts those that are read whole. */
  async prompts(row: TrialRow): Promise<Shown<readonly TokenLens["prompt"][]>> {
    const found = await this.#read();
    if (!found.ok) return found;
    const { places, missing } = found.value;
    const own = trialPrompts(row);
    const there = own.filter(({ state, id }) => places.has(keyOf(state, id)));
    if (there.length > 0) return { ok: true, value: there.map(({ prompt }) => prompt) };
    const why = own.flatMap(({ state, id }) => missing.get(keyOf(state, id)) ?? [])[0];
    return absent(
      why ??
        "its prompts were not read whole: probe.wholePrompts takes the first held-out strings of each task, in the first wording",
    );
  }

  /** @throws STORE_CORRUPT where the file was changed since it was looked through */
  async of(row: TrialRow): Promise<Shown<readonly TokenLens[]>> {
    const there = await this.prompts(row);
    const found = await this.#read();
    if (!there.ok) return there;
    if (!found.ok) return found;
    const maps: TokenLens[] = [];
    for (const { prompt, state, id } of trialPrompts(row)) {
      const { lines, places } = found.value;
      const about = await lines.read<LensedPrompt>(keyOf(state, id), lensTokenLineSchema);
      const own = places.get(keyOf(state, id)) ?? [];
      if (about?.what !== "prompt") continue;
      for (const lens of new Set(own.map((one) => one.lens))) {
        const cells: [string, LensedTokens | undefined, string | undefined][] = [];
        for (const { site, why } of own.filter((one) => one.lens === lens))
          cells.push([site, await lines.read<LensedTokens>(keyOf(state, id, lens, site), lensTokenLineSchema), why]);
        maps.push(mapOf(row, { prompt, state, lens }, about, cells));
      }
    }
    return { ok: true, value: maps };
  }

  #read(): Promise<Shown<Found>> {
    if (!this.isWritten("lensTokens"))
      return Promise.resolve(absent("the study has no prompt read at every token (probe.wholePrompts)"));
    this.#found ??= orWhy(async () => {
      const lines = new LineIndex(this.run, RUN_FILES.lensTokens);
      const places = new Map<string, { lens: string; site: string; why?: string }[]>();
      const missing = new Map<string, string>();
      // The first line says what the file was made from.
      await readViewLines<LensTokenLine>(this.run, RUN_FILES.lensTokens, lensTokenLineSchema, (line, place) => {
        const { state, prompt } = line;
        const key = keyOf(state, prompt);
        if (line.what === "prompt") lines.add(key, place);
        else if (line.lens === undefined || line.site === undefined)
          missing.set(key, (line as { reason: string }).reason);
        else {
          const { lens, site } = line;
          if (line.what === "cells") lines.add(keyOf(state, prompt, lens, site), place);
          const own = places.get(key) ?? [];
          if (own.length === 0) places.set(key, own);
          own.push({ lens, site, ...(line.what === "missing" ? { why: line.reason } : {}) });
        }
      });
      return { lines, places, missing };
    });
    return this.#found;
  }
}

/** @param cells by site; nothing of one, with the reason */
function mapOf(
  { behavior, prediction, property }: TrialRow,
  place: Pick<TokenLens, "prompt" | "state" | "lens">,
  { tokens, vocabulary, values }: LensedPrompt,
  cells: readonly (readonly [string, LensedTokens | undefined, string | undefined])[],
): TokenLens {
  const wanted = [...new Set([behavior, prediction].flatMap((one) => (one.ok ? [one.value] : [])))];
  const sought = wanted.flatMap((value) => {
    const at = values.findIndex((one) => one.property === property && one.value === value);
    return at < 0 ? [] : [{ value, at }];
  });
  const beside = cells.flatMap(([, line]) => line?.besideSpans ?? []);
  return {
    ...place,
    tokens,
    vocabulary,
    values: sought.map(({ value }) => value),
    untold: wanted.filter((value) => !sought.some((one) => one.value === value)),
    sites: cells.map(([site, line, why]) => {
      // A line that does not fit its prompt is not ours.
      if (line === undefined || line.entropyNats.length !== tokens.length)
        return { site, ok: false, reason: why ?? `${RUN_FILES.lensTokens} has no such line` };
      const { entropyNats, likeliest, likeliestAt, likeliestLogprobs, logprobs, ranks } = line;
      const own = (all: readonly (readonly number[])[]) => sought.map(({ at }) => all[at] ?? []);
      return {
        ...{ site, ok: true, entropyNats, likeliest, likeliestAt, likeliestLogprobs },
        logprobs: own(logprobs),
        ranks: own(ranks),
      };
    }),
    besideSpans: {
      readings: beside.reduce((sum, { readings }) => sum + readings, 0),
      greatestNats: beside.reduce((most, { greatestNats }) => Math.max(most, greatestNats), 0),
    },
  };
}
