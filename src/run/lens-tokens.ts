/** Prompts that lenses read at every token (07-lens-tokens.jsonl): which, what is looked for in them, and their states, which are gone when they are read. */

import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readJson } from "../base/files.js";
import { InwardError } from "../errors.js";
import { readGguf } from "../gguf/read-gguf.js";
import type { Tokenizer } from "../model/engines/start-engine.js";
import { parseSites, stateShapeOf } from "../model/sites.js";
import type { LensReading, LensTarget, TargetReading } from "../probe/lens-readings.js";
import {
  type LensedPrompt,
  type LensedTokens,
  type LensToken,
  type LensTokenLine,
  lensTokenLineSchema,
  type PromptReading,
  type SoughtValue,
} from "../probe/lens-results.js";
import type { Capture } from "../probe/states-shard.js";
import type { Plan, PlannedProbe } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import { readBehaviors, toPrediction } from "./behaviors.js";
import { capturedRows, type StatesBySite } from "./captured-states.js";
import { FinishedLines } from "./finished-lines.js";
import { RunFolder } from "./folder.js";
import type { StageContext } from "./open-models.js";
import { type LocatedStatesPrompt, type ProbedPrompt, promptsToLocate } from "./probe-prompts.js";
import { captureIntoRun, modelToCapture, statesJobOf } from "./probe-states-stage.js";
import type { CapturedPrompt } from "./probe-states.js";
import { readLines } from "./records.js";
import { type StatesManifest, statesManifestSchema } from "./states-file.js";

// What is looked for.

const placeOf = (...parts: readonly string[]) => JSON.stringify(parts);

/** What was done on a string and what was said about it, in any wording: few of all values that a property has. */
export class SaidValues {
  private constructor(
    private readonly plan: Plan,
    private readonly done: ReadonlyMap<string, ReadonlySet<string>>,
    private readonly said: ReadonlyMap<string, ReadonlySet<string>>,
  ) {}

  static async read(run: RunFolder): Promise<SaidValues> {
    const { plan } = run;
    const [done, said] = [new Map<string, Set<string>>(), new Map<string, Set<string>>()];
    const add = (to: Map<string, Set<string>>, place: string, value: string) =>
      to.set(place, (to.get(place) ?? new Set()).add(value));
    for (const { state, task, item, property, extraction } of await readBehaviors(run))
      if (extraction.ok) add(done, placeOf(state, task, item, property), extraction.value);
    for (const answer of await readLines(run, "hypothetical")) {
      if (answer.property === undefined) continue;
      const { predictor, task, item, property, prediction } = toPrediction(plan, answer);
      if (prediction.ok) add(said, placeOf(predictor, task, item, property), prediction.value);
    }
    return new SaidValues(plan, done, said);
  }

  /** By property: of a hypothetical question what its targets did and it was answered, of an object-level one what it was answered and what others said about it. */
  of(state: string, { kind, task, item, property }: Pick<ProbedPrompt, "kind" | "task" | "item" | "property">) {
    const { predictions, tasks } = this.plan;
    const properties =
      property === undefined
        ? (tasks.find(({ definition }) => definition.name === task)?.properties ?? [])
        : [property];
    const pairs = predictions.filter(({ predictor, target }) =>
      kind === "hypothetical" ? predictor === state : target === state,
    );
    return properties.flatMap((one): SoughtValue[] => {
      const values = pairs.flatMap(({ predictor, target }) => [
        ...(this.done.get(placeOf(target, task, item, one)) ?? []),
        ...(this.said.get(placeOf(predictor, task, item, one)) ?? []),
      ]);
      return [...new Set(values)].sort().map((value) => ({ property: one, value }));
    });
  }
}

// Their states.

/** @param sites names of residuals @param prompts that are read whole @returns [tokens × width] by site and prompt; of prompts that crash the engine none */
export async function captureWhole(
  context: StageContext,
  stage: string,
  state: string,
  sites: readonly string[],
  prompts: readonly CapturedPrompt[],
): Promise<StatesBySite> {
  const { run, modelPath } = context;
  const { plan } = run;
  const { dtype, wholePrompts: most } = plan.probe as PlannedProbe;
  const { model } = statesOf(plan).of(state);
  const path = modelPath(model);
  const shape = stateShapeOf(await readGguf(path), path);
  const capture: Capture = { sites: parseSites(sites.join(","), shape), shape, dtype };
  const asked = new Map(promptsToLocate(plan, state).map(({ id, marked }) => [id, marked.messages]));
  const whole = prompts.map(({ id, promptSha256: _, setAside: __, ...meta }): LocatedStatesPrompt => {
    const messages = asked.get(id);
    if (messages === undefined) throw new InwardError("INTERNAL", `The plan has no prompt ${id} of ${state}.`);
    return { id, kind: meta.kind, messages, meta, captured: [...meta.tokenIds.keys()] };
  });
  const about = { wholePrompts: most, positions: "all" };
  const job = statesJobOf(plan, model, modelToCapture(context, state), capture, whole, about);
  const folder = join(statesFolder(run), state);
  await captureIntoRun(context, stage, state, folder, job, whole);
  const manifest = await readJson<StatesManifest>(join(folder, "states.json"), statesManifestSchema);
  return capturedRows(folder, manifest);
}

/** Beside the file of readings, in a unit too. */
function statesFolder(run: RunFolder): string {
  return join(dirname(run.file("lensTokens")), dirname(dirname(RunFolder.nameOf("lensStates/any"))));
}

/** When all is read. */
export async function dropWhole(run: RunFolder): Promise<void> {
  await rm(statesFolder(run), { recursive: true, force: true });
}

// The lines.

/** What a line is of. */
export interface TokensPlace {
  readonly state: string;
  readonly prompt: string;
  /** Of readings; absent where it says what the prompt's tokens are. */
  readonly site?: string;
  readonly lens?: string;
}

/** The file, whose lines follow from the pieces of the stage's work: of each piece a line a prompt. */
export class TokenLines {
  private next = 0;

  private constructor(
    private readonly path: string,
    private readonly file: FinishedLines<LensTokenLine>,
  ) {}

  static async open(run: RunFolder, madeFrom: unknown): Promise<TokenLines> {
    const path = run.file("lensTokens");
    return new TokenLines(path, await FinishedLines.open<LensTokenLine>(path, madeFrom, lensTokenLineSchema));
  }

  /** Of these lines, which are the next, those that an earlier process has not written. @throws STORE_CORRUPT a line is of another place */
  left(places: readonly TokensPlace[]): readonly TokensPlace[] {
    const first = this.next;
    this.next += places.length;
    const before = this.file.before.slice(first, this.next);
    for (const [at, line] of before.entries()) {
      const { state, prompt, site, lens } = places[at] as TokensPlace;
      const own: TokensPlace = line.what === "prompt" ? { state: line.state, prompt: line.prompt } : line;
      if (own.state === state && own.prompt === prompt && own.site === site && own.lens === lens) continue;
      throw new InwardError("STORE_CORRUPT", `${this.path}, line ${first + at + 2}: it is of ${own.prompt}.`);
    }
    return places.slice(before.length);
  }

  append(line: LensTokenLine): Promise<void> {
    return this.file.append(line);
  }

  close(): Promise<void> {
    return this.file.close();
  }
}

const digits = (value: number) => Number(value.toFixed(6));

export async function promptLine(
  { state, prompt }: TokensPlace,
  { tokenIds }: Pick<CapturedPrompt, "tokenIds">,
  { values, vocabulary }: Pick<LensedPrompt, "values" | "vocabulary">,
  tokenizer: Pick<Tokenizer, "tokenTexts">,
): Promise<LensedPrompt> {
  return { what: "prompt", state, prompt, tokens: await textsOf(tokenIds, tokenizer), vocabulary, values };
}

async function textsOf(ids: readonly number[], tokenizer: Pick<Tokenizer, "tokenTexts">): Promise<LensToken[]> {
  const { texts } = await tokenizer.tokenTexts(ids);
  return ids.map((id, at) => ({ id, ...(texts[at] as (typeof texts)[number]) }));
}

/** What is looked for in one prompt, and where its values stand among all that are read at spans. */
export interface SoughtTargets {
  readonly values: readonly SoughtValue[];
  /** [values] */
  readonly targets: readonly LensTarget[];
  /** [values] the group of readings that each is of, and its place there. */
  readonly places: readonly { readonly group: string; readonly at: number }[];
}

/**
 * @param read [tokens] in the order of the targets
 * @param atSpans what was read of the same prompt by the same lens at the same site
 */
export async function cellsLine(
  { state, site = "", lens = "", prompt }: TokensPlace,
  read: readonly LensReading[],
  sought: SoughtTargets,
  atSpans: Pick<LensedTokens, "besideSpans">,
  tokenizer: Pick<Tokenizer, "tokenTexts">,
): Promise<LensedTokens> {
  const ids = [...new Set(read.map(({ topToken }) => topToken))];
  const places = new Map(ids.map((id, at) => [id, at]));
  const ofValues = (of: (target: TargetReading) => number) =>
    sought.targets.map((_, at) => read.map(({ targets }) => of(targets[at] as TargetReading)));
  return {
    what: "cells",
    ...{ state, site, lens, prompt },
    entropyNats: read.map(({ entropyNats }) => digits(entropyNats)),
    likeliest: await textsOf(ids, tokenizer),
    likeliestAt: read.map(({ topToken }) => places.get(topToken) as number),
    likeliestLogprobs: read.map(({ topLogprob }) => digits(topLogprob)),
    logprobs: ofValues(({ logprob }) => digits(logprob)),
    ranks: ofValues(({ rank }) => rank),
    tied: ofValues(({ tied }) => tied),
    ...atSpans,
  };
}

/** The same numbers twice: of whole prompts, and of the states that the study keeps of some of their tokens. */
export function besideSpans(
  spans: CapturedPrompt["spans"],
  read: readonly LensReading[],
  { places }: SoughtTargets,
  atSpans: readonly PromptReading[],
): Pick<LensedTokens, "besideSpans"> {
  let [readings, greatestNats] = [0, 0];
  for (const reading of atSpans) {
    const { span, entropyNats } = reading;
    const [token, ...others] = spans[span] ?? [];
    const own = token === undefined ? undefined : read[token];
    // Of several tokens the mean state was read, which is of none of them.
    if (own === undefined || others.length > 0) continue;
    const pairs = places.map((place, value): [number, number] => [
      logprobAt(reading, place),
      digits((own.targets[value] as TargetReading).logprob),
    ]);
    readings++;
    for (const [one, other] of [[entropyNats, own.entropyNats] as const, ...pairs])
      greatestNats = Math.max(greatestNats, Math.abs(one - other));
  }
  return readings === 0 ? {} : { besideSpans: { readings, greatestNats } };
}

function logprobAt({ prompt, span, groups }: PromptReading, { group, at }: SoughtTargets["places"][number]): number {
  const logprob = groups[group]?.logprobs[at];
  if (logprob !== undefined) return logprob;
  throw new InwardError("INTERNAL", `${prompt} was read at ${span} without value ${at + 1} of ${group}.`);
}
