/** Prompts answered with a direction added to a model's states on the way, and without; random directions of the same length beside it. */

import { createHash } from "node:crypto";
import { z } from "zod";
import type { QuestionKind } from "../ask/groups.js";
import { hashOf, readJsonLines } from "../base/files.js";
import { lengthOfVector, randomVector } from "../base/vectors.js";
import { InwardError } from "../errors.js";
import { readGguf } from "../gguf/read-gguf.js";
import { openTokenizer } from "../model/engines/start-engine.js";
import type { Intervention } from "../model/interventions.js";
import type { AskRequest, ContinuationScore, LanguageModel } from "../model/language-model.js";
import { siteName, stateShapeOf } from "../model/sites.js";
import { tokensByName } from "../probe/chosen-turns.js";
import { directionsAt, readDirections, type SiteDirection } from "../probe/direction-file.js";
import type { SpanMark } from "../probe/spans.js";
import { type SteeredRow, type SteeringArm, type SteeringEffect, steeringEffects } from "../probe/steering.js";
import { leadOverOthers } from "../probe/written-effects.js";
import type { Extraction } from "../properties/property.js";
import { extractionSchema } from "../properties/property.js";
import { type Reply, type SetAsideReason, setAsideSchema, type StopReason } from "../tasks/answer.js";
import { type AnswerFileOptions, type AnswersFile, writeAnswers } from "./answers-file.js";
import { repliesTo, REQUESTED_LINES } from "./ask-file.js";
import { findModel, type OpenModelOptions } from "./open-model.js";
import type { PromptLine } from "./prompt-lines.js";

/** A prompt to steer on. */
export interface SteerPrompt extends PromptLine {
  /** Spans of its words, where a task put it together. */
  readonly marks?: readonly SpanMark[];
}

export interface SteerSettings {
  /** A safetensors of directions, as makeContrast writes it, or a control vector's GGUF. */
  readonly vector: string;
  /**
   * Which of its sites: one, several comma-separated whose directions are added together, each at its own, or `all`. When absent all of a control
   * vector's, as llama.cpp has it; of another file with several sites it is needed.
   */
  readonly site?: string;
  /** Take directions that another file's states gave. */
  readonly forceVector?: boolean;
  /** Times the direction, or with `unit: states` times the usual length of a state there. Negative ones steer away. */
  readonly strengths: readonly number[];
  /** Default `vector`. */
  readonly unit?: "vector" | "states";
  /** Where it is added: TURN_SPANS, turn_<n>, numbers of tokens, or a span of the task's. Default `onward`. */
  readonly span?: string;
  /** Random directions of the same length. Default 3. */
  readonly randomSeeds?: number;
  /** Longest reply. Default 48. */
  readonly maxTokens?: number;
  /** Answers whose probabilities are told: the lead of the first over the others. Two or more, or none. */
  readonly choices?: readonly string[];
}

export interface SteerOptions extends AnswerFileOptions, SteerSettings {
  /** Behaviors of a reply by property, such as a task's. @param prompt its number, from 0 */
  readonly behaviorsOf?: (reply: Reply, prompt: number) => Readonly<Record<string, Extraction>>;
  /** What they are a function of beside the reply, for the manifest. */
  readonly behaviorsAre?: unknown;
}

/** A line of the file that steer writes. */
export interface SteeredLine {
  readonly key: string;
  readonly state: string;
  /** Of the prompt. */
  readonly id: string;
  readonly arm: SteeringArm;
  /** As it was asked for; 0 with `none`. */
  readonly strength: number;
  readonly text?: string;
  readonly stop?: StopReason;
  readonly tokenIds?: readonly number[];
  readonly logprobs?: readonly number[];
  /** ln P that an answer begins so, in the order of the choices. */
  readonly choices?: readonly number[];
  readonly behaviors?: Readonly<Record<string, Extraction>>;
  readonly promptTokens?: number;
  readonly promptSha256?: string;
  readonly meta?: Readonly<Record<string, unknown>>;
  readonly setAside?: SetAsideReason;
}

/** One of the sites at which something is added, all of them at once. */
export interface SteeredSite {
  readonly site: string;
  /** Length of what is added at strength 1. */
  readonly normAtOne: number;
  /** Usual length of a state there, where the file of directions tells it. */
  readonly stateNorm?: number;
}

export interface Steered extends AnswersFile {
  readonly sites: readonly SteeredSite[];
  readonly span: string;
  readonly effects: readonly SteeringEffect[];
}

const lineSchema = z
  .looseObject({
    key: z.string(),
    state: z.string(),
    id: z.string(),
    arm: z.string(),
    strength: z.number(),
    text: z.string().optional(),
    choices: z.array(z.number()).optional(),
    behaviors: z.record(z.string(), extractionSchema).optional(),
    setAside: setAsideSchema.optional(),
  })
  .refine(({ text, setAside }) => (text === undefined) !== (setAside === undefined), "neither a reply nor set aside");

interface SteeredQuestion {
  readonly key: string;
  readonly state: string;
  readonly id: string;
  readonly prompt: number;
  readonly arm: SteeringArm;
  readonly strength: number;
  readonly meta?: Readonly<Record<string, unknown>>;
  readonly request: AskRequest;
}

/** @throws USAGE */
function settled(
  options: SteerSettings,
): Required<Omit<SteerSettings, "site" | "choices">> & Pick<SteerSettings, "site" | "choices"> {
  const { vector, site, forceVector = false, strengths, unit = "vector", span = "onward", choices } = options;
  const { randomSeeds = 3, maxTokens = 48 } = options;
  const refuse = (why: string): never => {
    throw new InwardError("USAGE", why);
  };
  if (strengths.length === 0 || strengths.some((one) => !Number.isFinite(one)))
    refuse("Strengths are finite numbers, one at least.");
  if (new Set(strengths).size < strengths.length) refuse(`A strength stands twice: ${strengths.join(", ")}.`);
  if (!Number.isInteger(randomSeeds) || randomSeeds < 1 || randomSeeds > 1000) {
    refuse(
      `${randomSeeds} random directions; there is 1 at least, and 1000 at most: without them nobody knows what any direction does.`,
    );
  }
  if (!Number.isInteger(maxTokens) || maxTokens < 1)
    refuse(`maxTokens is ${maxTokens}; it must be a whole number from 1 on.`);
  if (choices !== undefined && (choices.length < 2 || new Set(choices).size < choices.length)) {
    refuse("Choices are two or more answers, each once.");
  }
  return { vector, site, forceVector, strengths, unit, span, randomSeeds, maxTokens, choices };
}

/**
 * Asks every prompt without, and with the direction at each strength, and with random ones; a line for each. The same call goes on where
 * an earlier one ended.
 * @param source registry name, `hf:` URI, or path of a GGUF
 * @throws InwardError PROBE_INVALID, PROBE_SITE the direction or the span does not fit · as askFile
 */
export async function steer(prompts: readonly SteerPrompt[], source: string, options: SteerOptions): Promise<Steered> {
  const settings = settled(options);
  const { choices, maxTokens, strengths, span, randomSeeds } = settings;
  const { behaviorsOf, behaviorsAre, ...common } = options;
  const added = await whatIsAdded(source, settings, common);
  const { sites } = added;
  const places = await placesOf(prompts, span, added);
  // A random direction at each of the sites, as long as the one that it stands beside.
  const random = Array.from({ length: randomSeeds }, (_, seed) =>
    sites.map(({ site, values, norm }) =>
      randomVector(values.length, norm, `random direction/steer/${siteName(site)}/${seed + 1}`),
    ),
  );
  const own = sites.map(({ values }) => values);
  const arms = [
    { arm: "none" as const, strength: 0, values: undefined },
    ...strengths.flatMap((strength) => [
      { arm: "vector" as const, strength, values: own },
      ...random.map((one, at) => ({ arm: `random_${at + 1}` as const, strength, values: one })),
    ]),
  ];
  const questions = (state: string) =>
    prompts.flatMap(({ id, messages, meta }, prompt) =>
      arms.map(({ arm, strength, values: what }): SteeredQuestion => {
        const tokens = places[prompt] as Intervention["tokens"];
        const interventions = what?.map(
          (one, at): Intervention => ({
            ...{ site: (sites[at] as AddedDirection).site, tokens, operation: "add", values: one },
            factor: strength * (sites[at] as AddedDirection).scale,
          }),
        );
        return {
          key: JSON.stringify([id, arm, strength]),
          state,
          id,
          prompt,
          arm,
          strength,
          ...(meta === undefined ? {} : { meta }),
          request: {
            messages,
            maxTokens,
            temperature: 0,
            topTokens: 0,
            shares: id,
            ...(interventions ? { interventions } : {}),
          },
        };
      }),
    );
  const facts = {
    ...{ site: sites.map(({ site }) => siteName(site)).join(","), span, strengths, unit: settings.unit },
    ...{ randomSeeds, maxTokens },
    vectorSha256: own
      .reduce(
        (hash, { buffer, byteOffset, byteLength }) => hash.update(new Uint8Array(buffer, byteOffset, byteLength)),
        createHash("sha256"),
      )
      .digest("hex"),
    placesSha256: hashOf(places),
    ...(choices === undefined ? {} : { choices }),
    ...(behaviorsAre === undefined ? {} : { behaviors: behaviorsAre }),
  };
  const done = await writeAnswers(
    source,
    {
      what: "steered answers",
      kind: steeredQuestions(choices, behaviorsOf),
      settings: facts,
      lines: prompts.map(({ id, messages }) => ({ id, messages })),
      questions,
    },
    // Ours wherever it can: its numbers depend on the prompt alone, so that what differs is what was added.
    { ...common, engine: { forward: "auto", ...common.engine } },
  );
  const { rows } = await readJsonLines<SteeredLine>(done.out, lineSchema);
  return {
    ...done,
    sites: sites.map(({ site, norm, scale, stateNorm }) => ({
      site: siteName(site),
      normAtOne: norm * scale,
      ...(stateNorm === undefined ? {} : { stateNorm }),
    })),
    span,
    effects: steeringEffects(rows.flatMap(counted), { confidence: 0.95, bootstrapReplicates: 2000, bootstrapSeed: 0 }),
  };
}

function counted({ id, arm, strength, text, choices, behaviors, setAside }: SteeredLine): SteeredRow[] {
  if (setAside !== undefined || text === undefined) return [];
  return [
    {
      id,
      arm,
      strength,
      text,
      ...(choices === undefined ? {} : { lead: leadOverOthers(choices, 0) }),
      ...(behaviors === undefined
        ? {}
        : {
            behaviors: Object.fromEntries(
              Object.entries(behaviors).map(([name, read]) => [name, read.ok ? read.value : undefined]),
            ),
          }),
    },
  ];
}

/** What is added at one site. */
interface AddedDirection extends SiteDirection {
  readonly norm: number;
  /** What a strength of 1 multiplies it by. */
  readonly scale: number;
  readonly stateNorm?: number;
}

async function whatIsAdded(
  source: string,
  { vector, site: wanted, forceVector, unit }: ReturnType<typeof settled>,
  options: OpenModelOptions,
) {
  const directions = await readDirections(vector);
  const { file, chat } = await findModel(source, options);
  const shape = stateShapeOf(await readGguf(file.path), file.path);
  const chosen = directionsAt(directions, {
    ...(wanted === undefined ? {} : { wanted }),
    shape,
    sha256: file.sha256,
    adopt: forceVector,
  });
  const sites = chosen.map(({ site, values }): AddedDirection => {
    const norm = lengthOfVector(values);
    const stateNorm = directions.card?.sites[siteName(site)]?.stateNorm;
    if (unit === "states" && stateNorm === undefined) {
      throw new InwardError(
        "PROBE_INVALID",
        `${vector} does not say how long states are at ${siteName(site)}: give strengths in units of the vector.`,
      );
    }
    return { site, values, norm, stateNorm, scale: unit === "states" && norm > 0 ? (stateNorm as number) / norm : 1 };
  });
  const none = sites.find(({ norm }) => norm === 0);
  // A layer of a control vector may be left out with zeros.
  if (none && (sites.length === 1 || sites.every(({ norm }) => norm === 0)))
    throw new InwardError("PROBE_INVALID", `The direction at ${siteName(none.site)} is 0: nothing would be added.`);
  return { sites: sites.filter(({ norm }) => norm > 0), path: file.path, chat };
}

async function placesOf(
  prompts: readonly SteerPrompt[],
  span: string,
  { path, chat }: Pick<Awaited<ReturnType<typeof whatIsAdded>>, "path" | "chat">,
): Promise<Intervention["tokens"][]> {
  const tokenizer = await openTokenizer(path, chat);
  try {
    const located = await tokenizer.locate(prompts.map(({ messages }) => messages));
    return prompts.map(({ id, messages, marks }, at) =>
      tokensByName(span, located[at] as (typeof located)[number], messages, {
        marks,
        which: `Line ${JSON.stringify(id)}`,
      }),
    );
  } finally {
    await tokenizer.dispose();
  }
}

function steeredQuestions(
  choices: readonly string[] | undefined,
  behaviorsOf: SteerOptions["behaviorsOf"],
): QuestionKind<SteeredQuestion, SteeredLine> {
  return {
    rowSchema: lineSchema,
    ...REQUESTED_LINES,
    ask: async (model, group, hooks) => {
      const replies = await repliesTo(model, group, hooks);
      const scores = choices ? await scored(model, group, choices, hooks) : undefined;
      return group.map(({ request: _, prompt, ...place }, at): SteeredLine => {
        const reply = replies[at] as Reply;
        const { text, stop, tokenIds, logprobs, promptTokens, promptSha256 } = reply;
        return {
          ...place,
          ...{ text, stop, tokenIds, logprobs },
          ...(scores === undefined
            ? {}
            : {
                choices: (scores[at] as readonly ContinuationScore[]).map((one) =>
                  one.logprobs.reduce((sum, p) => sum + p, 0),
                ),
              }),
          ...(behaviorsOf === undefined ? {} : { behaviors: behaviorsOf(reply, prompt) }),
          ...{ promptTokens, promptSha256 },
        };
      });
    },
    setAside: ({ request: _, prompt: __, ...place }, setAside) => ({ ...place, setAside }),
  };
}

function scored(
  model: LanguageModel,
  group: readonly SteeredQuestion[],
  choices: readonly string[],
  { heard, signal }: { readonly heard: () => void; readonly signal?: AbortSignal },
): Promise<ContinuationScore[][]> {
  const continuations = choices.map((written) => ({ written }));
  return model.score(
    group.map(({ request: { messages, interventions } }) => ({
      messages,
      continuations,
      ...(interventions === undefined ? {} : { interventions }),
    })),
    { onScored: heard, signal },
  );
}
