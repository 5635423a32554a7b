/**
 * States that are read out by a model itself: what a layer leaves of one prompt is written into another layer of another prompt, and the
 * reply tells what the model makes of it (patchscope); or into an earlier layer of the same prompt, which then has more layers to work
 * with (back-patching).
 */

import { resolve } from "node:path";
import { z } from "zod";
import { plainMessages, type QuestionKind } from "../ask/groups.js";
import { hashOf, readJsonLines } from "../base/files.js";
import { InwardError } from "../errors.js";
import { readGguf } from "../gguf/read-gguf.js";
import { openTokenizer } from "../model/engines/start-engine.js";
import { parseSites, type Site, siteName, siteNumbers, type StateShape, stateShapeOf } from "../model/sites.js";
import type { AskRequest } from "../model/language-model.js";
import { tokensByName } from "../probe/chosen-turns.js";
import { lengthOfVector, randomVector } from "../probe/donors.js";
import { shareOfRows } from "../probe/string-estimates.js";
import { type FamilyTest, permutedFamily } from "../score/comparison/family-tests.js";
import type { Estimate } from "../score/interval.js";
import { type ChatMessage, type Reply, type SetAsideReason, setAsideSchema, type StopReason } from "../tasks/answer.js";
import { type AnswerFileOptions, type AnswersFile, writeAnswers } from "./answers-file.js";
import { namingTheLine } from "./ask-file.js";
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

export interface PatchscopeLine {
  readonly key: string;
  readonly state: string;
  readonly id: string;
  /** `none`: nothing is written. `state`. `random`: a vector by chance, as long as the state. */
  readonly arm: "none" | "state" | "random";
  readonly from?: string;
  readonly into?: string;
  readonly text?: string;
  readonly stop?: StopReason;
  readonly tokenIds?: readonly number[];
  readonly logprobs?: readonly number[];
  readonly setAside?: SetAsideReason;
}

/** Of one pair of sites, over the prompts. */
export interface PatchscopeEffect {
  readonly from: string;
  readonly into: string;
  readonly prompts: number;
  /** Share of replies that are others than without; and of those with a vector by chance. */
  readonly changed: Estimate;
  readonly randomChanged: Estimate;
  /** Where words are expected: shares of replies that contain their own, and other prompts' words; and those without anything written. */
  readonly told?: {
    readonly own: number;
    readonly others: number;
    readonly none: number;
    readonly random: number;
    readonly share: Estimate;
  } & FamilyTest;
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
    { ...common, out, sites: [...new Set(pairs.map((pair) => siteName(pair.from)))].join(",") },
  );
  const questions = (state: string) =>
    prompts.flatMap((prompt, place): ScopeQuestion[] => {
      const messages = target ?? prompt.messages;
      const token = (places[place] as Places).at;
      const ask = (arm: PatchscopeLine["arm"], pair?: SitePair, values?: Float32Array): ScopeQuestion => ({
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
        placesSha256: hashOf(places),
      },
      lines: prompts.map(({ id, messages }) => ({ id, messages })),
      questions,
    },
    { ...common, onCrash, engine: { forward: "auto", ...common.engine } },
  );
  const { rows } = await readJsonLines<PatchscopeLine>(done.out, lineSchema);
  await captured.drop();
  return { ...done, what, effects: scopeEffects(rows, prompts, pairs, expected) };
}

interface SitePair {
  readonly from: Site;
  readonly into: Site;
}

function pairsOfSites(
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
      return { from: taken, at: written ?? taken };
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
    check: (model, group) => namingTheLine(group, (part) => model.check(part.map(({ request }) => request))),
    ask: async (model, group, { heard, onAnswered, onCost, signal }) => {
      const onReply = () => {
        heard();
        onAnswered();
      };
      const replies = await model.ask(
        group.map(({ request }) => request),
        { onReply, onCost, signal },
      );
      return group.map(({ request: _, ...place }, number): PatchscopeLine => {
        const { text, stop, tokenIds, logprobs } = replies[number] as Reply;
        return { ...place, text, stop, tokenIds, logprobs };
      });
    },
    setAside: ({ request: _, ...place }, setAside) => ({ ...place, setAside }),
    askPlain: (model, { request: { messages } }, { heard, signal }) =>
      model.ask([{ messages: plainMessages(messages), maxTokens: 1, temperature: 0, topTokens: 0 }], {
        onReply: heard,
        signal,
      }),
  };
}

const SCOPE_SETTINGS = { confidence: 0.95, bootstrapReplicates: 2000, bootstrapSeed: 0 };
const PERMUTATIONS = 999;

function scopeEffects(
  rows: readonly PatchscopeLine[],
  prompts: readonly SteerPrompt[],
  pairs: readonly SitePair[],
  expected: readonly string[] | undefined,
): PatchscopeEffect[] {
  const at = new Map(rows.map((row) => [JSON.stringify([row.id, row.arm, row.from, row.into]), row.text]));
  const textOf = (id: string, arm: PatchscopeLine["arm"], pair?: SitePair) =>
    at.get(JSON.stringify([id, arm, pair && siteName(pair.from), pair && siteName(pair.into)]));
  // Prompts of which a line was set aside are in no effect, so that all are of the same.
  const whole = prompts.flatMap(({ id }, place) => {
    const has =
      textOf(id, "none") !== undefined &&
      pairs.every((pair) => ["state", "random"].every((arm) => textOf(id, arm as "state", pair) !== undefined));
    return has ? [{ id, place }] : [];
  });
  const words = [...new Set(expected ?? [])];
  const labels = whole.map(({ place }) => words.indexOf(expected?.[place] ?? ""));
  const contains = (text: string | undefined, word: string) =>
    Number((text ?? "").toLowerCase().includes(word.toLowerCase()));
  const tests =
    expected === undefined
      ? []
      : permutedFamily(
          pairs.map((pair) => whole.map(({ id }) => words.map((word) => contains(textOf(id, "state", pair), word)))),
          labels,
          { draws: PERMUTATIONS, seed: 0 },
        );
  const shareOf = (hits: readonly number[]) => hits.reduce((sum, one) => sum + one, 0) / Math.max(1, hits.length);
  return pairs.map((pair, number) => {
    const changed = (arm: "state" | "random") =>
      shareOfRows(
        whole.map(({ id }) => ({ string: id, isSo: textOf(id, arm, pair) !== textOf(id, "none") })),
        SCOPE_SETTINGS,
      );
    const own = (arm: PatchscopeLine["arm"]) =>
      whole.map(({ id, place }) =>
        contains(textOf(id, arm, arm === "none" ? undefined : pair), expected?.[place] ?? ""),
      );
    const others = whole.flatMap(({ id, place }) =>
      words.flatMap((word) => (word === expected?.[place] ? [] : [contains(textOf(id, "state", pair), word)])),
    );
    return {
      from: siteName(pair.from),
      into: siteName(pair.into),
      prompts: whole.length,
      changed: changed("state"),
      randomChanged: changed("random"),
      ...(expected === undefined
        ? {}
        : {
            told: {
              own: shareOf(own("state")),
              others: shareOf(others),
              none: shareOf(own("none")),
              random: shareOf(own("random")),
              share: shareOfRows(
                whole.map(({ id }, place) => ({ string: id, isSo: own("state")[place] === 1 })),
                SCOPE_SETTINGS,
              ),
              ...(tests[number] as FamilyTest),
            },
          }),
    };
  });
}
