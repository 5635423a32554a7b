/**
 * States that are read out by a model itself: what a layer leaves of one prompt is written into another layer of another prompt, and the
 * reply tells what the model makes of it (patchscope); or into an earlier layer of the same prompt, which then has more layers to work
 * with (back-patching).
 */

import { resolve } from "node:path";
import { z } from "zod";
import type { QuestionKind } from "../ask/groups.js";
import { hashOf, readJsonLines } from "../base/files.js";
import { InwardError } from "../errors.js";
import { readGguf } from "../gguf/read-gguf.js";
import { openTokenizer } from "../model/engines/start-engine.js";
import { parseSites, type Site, siteName, siteNumbers, type StateShape, stateShapeOf } from "../model/sites.js";
import type { AskRequest } from "../model/language-model.js";
import { tokensByName } from "../probe/chosen-turns.js";
import { lengthOfVector, randomVector } from "../base/vectors.js";
import { type PatchscopeEffect, type ScopeArm, scopeEffects, type ScopeRow } from "../probe/patchscope-effects.js";
import { type ChatMessage, type Reply, type SetAsideReason, setAsideSchema, type StopReason } from "../tasks/answer.js";
import { type AnswerFileOptions, type AnswersFile, writeAnswers } from "./answers-file.js";
import { repliesTo, REQUESTED_LINES } from "./ask-file.js";
import { captureBeside, type StatesBySite } from "./captured-states.js";
import { findModel, type FoundModel } from "./open-model.js";
import type { SteerPrompt } from "./steer-prompts.js";

export interface PatchscopeOptions extends AnswerFileOptions {
  /** Where states are taken, such as `residual_after.4-12`. */
  readonly sites: string;
  /** Where they are written; of a patchscope, default each where it was taken. Back-patching needs them: those of earlier layers are taken. */
  readonly into?: string;
  /** The token whose state is taken, of several the last: tokensByName. Default `last`. */
  readonly from?: string;
  /** The prompt that is written into; the same prompt when absent, which is back-patching. */
  readonly target?: readonly ChatMessage[];
  /** Its token; with back-patching always that of `from`. Default `last`. */
  readonly at?: string;
  /** Longest reply. Default 12. */
  readonly maxTokens?: number;
  /** Key of each line with the words that its own reply is to contain. */
  readonly expectKey?: string;
}

export interface PatchscopeLine extends ScopeRow {
  readonly key: string;
  readonly state: string;
  readonly stop?: StopReason;
  readonly tokenIds?: readonly number[];
  readonly logprobs?: readonly number[];
  readonly setAside?: SetAsideReason;
}

export interface Patchscope extends AnswersFile {
  readonly what: "patchscope" | "back-patching";
  readonly effects: readonly PatchscopeEffect[];
}

/**
 * A line for every prompt, pair of sites and arm. The same call goes on where an earlier one ended.
 * @throws InwardError USAGE · PROBE_SITE, PROBE_INVALID · as askFile and captureStates
 */
export async function patchscope(
  prompts: readonly SteerPrompt[],
  source: string,
  options: PatchscopeOptions,
): Promise<Patchscope> {
  const {
    sites,
    into,
    from = "last",
    target,
    at = "last",
    maxTokens = 12,
    expectKey,
    onFound,
    onCrash,
    ...common
  } = options;
  if (!Number.isInteger(maxTokens) || maxTokens < 1)
    throw new InwardError("USAGE", `maxTokens is ${maxTokens}; it must be a whole number from 1 on.`);
  const what = target === undefined ? "back-patching" : "patchscope";
  const found = await findModel(source, common);
  onFound?.(found);
  const shape = stateShapeOf(await readGguf(found.file.path), found.file.path);
  const pairs = pairsOfSites(shape, { sites, into, what });
  const expected = expectKey === undefined ? undefined : prompts.map((prompt) => expectedWords(prompt, expectKey));
  const places = await placesOf(prompts, found, { from, at, target });
  const out = resolve(options.out);
  const captured = await captureBeside(
    prompts.map(({ id, messages }, place) => ({ id, messages, tokens: [(places[place] as Places).from] })),
    source,
    {
      ...common,
      out,
      lengths: places.map(({ length }) => length),
      sites: [...new Set(pairs.map((pair) => siteName(pair.from)))].join(","),
    },
  );
  const questions = (state: string) =>
    prompts.flatMap((prompt, place): ScopeQuestion[] => {
      const messages = target ?? prompt.messages;
      const token = (places[place] as Places).at;
      const ask = (arm: ScopeArm, pair?: SitePair, values?: Float32Array): ScopeQuestion => ({
        key: JSON.stringify([prompt.id, arm, ...(pair ? [siteName(pair.from), siteName(pair.into)] : [])]),
        ...{ state, id: prompt.id, arm },
        ...(pair ? { from: siteName(pair.from), into: siteName(pair.into) } : {}),
        request: {
          ...{ messages, maxTokens, temperature: 0, topTokens: 0 },
          ...(pair && values
            ? { interventions: [{ site: pair.into, tokens: [token], operation: "replace", values }] }
            : {}),
        },
      });
      const written = pairs.flatMap((pair) => {
        const values = stateOf(captured.states, siteName(pair.from), prompt.id);
        const name = `patchscope/${prompt.id}/${siteName(pair.from)}`;
        return [
          ask("state", pair, values),
          ask("random", pair, randomVector(values.length, lengthOfVector(values), name)),
        ];
      });
      return [ask("none"), ...written];
    });
  const done = await writeAnswers(
    source,
    {
      what: `replies of a ${what}`,
      kind: scopeQuestions(),
      settings: {
        sites,
        into: into ?? null,
        from,
        at,
        target: target ?? null,
        maxTokens,
        placesSha256: hashOf(places.map((one) => ({ from: one.from, at: one.at }))),
      },
      lines: prompts.map(({ id, messages }) => ({ id, messages })),
      questions,
    },
    { ...common, onCrash, engine: { forward: "auto", ...common.engine } },
  );
  const { rows } = await readJsonLines<PatchscopeLine>(done.out, lineSchema);
  await captured.drop();
  const asked = prompts.map(({ id }, place) => ({ id, ...(expected ? { expected: expected[place] } : {}) }));
  const names = pairs.map((pair) => ({ from: siteName(pair.from), into: siteName(pair.into) }));
  return { ...done, what, effects: scopeEffects(rows, asked, names) };
}

export interface SitePair {
  readonly from: Site;
  readonly into: Site;
}

/** @throws PROBE_SITE, USAGE */
export function pairsOfSites(
  shape: StateShape,
  { sites, into, what }: { readonly sites: string; readonly into?: string; readonly what: Patchscope["what"] },
): SitePair[] {
  const [taken, written] = [parseSites(sites, shape), into === undefined ? undefined : parseSites(into, shape)];
  const stray = [...taken, ...(written ?? [])].find(({ part }) => part === "attention_weights");
  if (stray) throw new InwardError("PROBE_SITE", `${siteName(stray)}: attention weights are no state of a token.`);
  if (what === "back-patching" && written === undefined)
    throw new InwardError("USAGE", "Back-patching writes into earlier layers: say which, or give a target.");
  const pairs = taken.flatMap((from) =>
    (written ?? [from]).flatMap((one): SitePair[] => {
      if (what === "back-patching" && one.layer >= from.layer) return [];
      const [width, wanted] = [siteNumbers(from, shape, 1), siteNumbers(one, shape, 1)];
      if (width !== wanted)
        throw new InwardError(
          "PROBE_SITE",
          `${siteName(from)} has ${width} numbers and ${siteName(one)} ${wanted}: one cannot stand in the other's place.`,
        );
      return [{ from, into: one }];
    }),
  );
  if (pairs.length > 0) return pairs;
  throw new InwardError(
    "PROBE_SITE",
    `No site of ${into} is of a layer before those of ${sites}: there is nothing to write back.`,
  );
}

interface Places {
  readonly from: number;
  readonly at: number;
  /** Tokens of the prompt whose state is taken. */
  readonly length: number;
}

async function placesOf(
  prompts: readonly SteerPrompt[],
  { file, chat }: FoundModel,
  { from, at, target }: { readonly from: string; readonly at: string; readonly target?: readonly ChatMessage[] },
): Promise<Places[]> {
  const tokenizer = await openTokenizer(file.path, chat);
  try {
    const located = await tokenizer.locate([...prompts.map(({ messages }) => messages), ...(target ? [target] : [])]);
    const lastOf = (
      name: string,
      place: number,
      { messages, marks = [] }: Pick<SteerPrompt, "messages" | "marks">,
      which: string,
    ) => {
      const tokens = tokensByName(name, located[place] as (typeof located)[number], messages, { marks, which });
      if ("from" in tokens)
        throw new InwardError("PROBE_INVALID", `${which}: the span ${JSON.stringify(name)} reaches into the reply.`);
      return tokens.at(-1) as number;
    };
    const written = target && lastOf(at, prompts.length, { messages: target }, "The target");
    return prompts.map((prompt, place) => {
      const taken = lastOf(from, place, prompt, `Line ${JSON.stringify(prompt.id)}`);
      const { length } = (located[place] as (typeof located)[number]).tokenIds;
      return { from: taken, at: written ?? taken, length };
    });
  } finally {
    await tokenizer.dispose();
  }
}

function expectedWords({ id, meta }: SteerPrompt, key: string): string {
  const given = meta?.[key];
  if (typeof given === "string" && given.trim() !== "") return given.trim();
  throw new InwardError(
    "PROBE_INVALID",
    `Prompt ${JSON.stringify(id)} has no text at ${key}, which its reply is to contain.`,
  );
}

function stateOf(states: StatesBySite, site: string, id: string): Float32Array {
  const values = states.get(site)?.get(id)?.values;
  if (!values) throw new InwardError("INTERNAL", `No states of ${site} were taken.`);
  return values;
}

interface ScopeQuestion extends Pick<PatchscopeLine, "key" | "state" | "id" | "arm" | "from" | "into"> {
  readonly request: AskRequest;
}

const lineSchema = z
  .looseObject({
    ...{ key: z.string(), state: z.string(), id: z.string(), arm: z.enum(["none", "state", "random"]) },
    from: z.string().optional(),
    into: z.string().optional(),
    text: z.string().optional(),
    setAside: setAsideSchema.optional(),
  })
  .refine(({ text, setAside }) => (text === undefined) !== (setAside === undefined), "neither a reply nor set aside");

function scopeQuestions(): QuestionKind<ScopeQuestion, PatchscopeLine> {
  return {
    rowSchema: lineSchema,
    ...REQUESTED_LINES,
    ask: async (model, group, hooks) => {
      const replies = await repliesTo(model, group, hooks);
      return group.map(({ request: _, ...place }, number): PatchscopeLine => {
        const { text, stop, tokenIds, logprobs } = replies[number] as Reply;
        return { ...place, text, stop, tokenIds, logprobs };
      });
    },
    setAside: ({ request: _, ...place }, setAside) => ({ ...place, setAside }),
  };
}
