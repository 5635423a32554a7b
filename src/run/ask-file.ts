/** A model's answers to a file of prompts: every token with its text, its logprob and what else could have stood there. */

import { z } from "zod";
import type { AskingHooks, QuestionKind } from "../ask/groups.js";
import { askPlainly } from "../ask/plain-question.js";
import { InwardError } from "../errors.js";
import type { AskRequest, LanguageModel } from "../model/language-model.js";
import { propertyNamed } from "../properties/all-properties.js";
import type { OwnProperties } from "../properties/own-property.js";
import { type BehaviorProperty, type Extraction, extractionSchema } from "../properties/property.js";
import { readReply, replyText } from "../properties/reading.js";
import { type Reply, type SetAsideReason, setAsideSchema, type StopReason } from "../tasks/answer.js";
import { listedToken, type MarkedToken } from "../tasks/answer-tokens.js";
import { type AnswerFileOptions, type AnswersFile, writeAnswers } from "./answers-file.js";
import type { PromptLine } from "./prompt-lines.js";

export interface AskingSettings {
  /** Longest answer in tokens. Default 64. */
  readonly maxTokens?: number;
  /** 0: the most likely token. Above: drawn from softmax(logits / temperature). Default 0. */
  readonly temperature?: number;
  /** Answers to each prompt, each a draw of its own; above 1 only above temperature 0. Default 1. */
  readonly samples?: number;
  /** What a draw is a function of, with the prompt's id and the number of the sample. Default "0". */
  readonly seed?: string;
  /** Most likely tokens listed at the first position of an answer. Default 10. */
  readonly top?: number;
  /** They are listed at every position. Default false. */
  readonly allPositions?: boolean;
}

export interface AskFileOptions extends AnswerFileOptions, AskingSettings {
  /** A property that the prompts ask for: each reply is read as a prediction of it. */
  readonly property?: string;
  /** Definitions of own properties, `property` or what it reads among them. */
  readonly ownProperties?: OwnProperties;
}

/** A token of an answer. Logprobs are natural logs at temperature 1 over the full vocabulary, whatever was drawn at. */
export interface AnsweredToken {
  readonly id: number;
  /** A control token by its name. Bytes that are no whole character stand as U+FFFD, and in `bytes`. */
  readonly text: string;
  /** Hex; only where the token's bytes alone are not UTF-8. */
  readonly bytes?: string;
  /** Where it is a token that no text of a message becomes. */
  readonly control?: true;
  readonly logprob: number;
  /** Logit of the most likely token minus that of the second, nats, at this position. */
  readonly margin: number;
  /** log Σ exp(logit) over the vocabulary, nats: a logprob plus this is the token's logit. */
  readonly logSumExp: number;
  /** The most likely tokens here, most likely first; at the first position, or at every one. */
  readonly alternatives?: readonly (MarkedToken & { readonly id: number; readonly logprob: number })[];
}

interface AnsweredPlace {
  /** The prompt's id; `#<sample>` is appended where several were drawn. */
  readonly key: string;
  /** The model that answered, as it was named. */
  readonly state: string;
  /** As the line has it, or its number. */
  readonly id: string;
  readonly sample: number;
  readonly meta?: Readonly<Record<string, unknown>>;
}

/** A line of the file that askFile writes. */
export type AnsweredLine = AnsweredPlace &
  (
    | {
        readonly text: string;
        readonly stop: StopReason;
        /** As a Reply has it. */
        readonly opened?: string;
        readonly tokens: readonly AnsweredToken[];
        readonly promptTokens: number;
        readonly promptSha256: string;
        /** Where the prompts ask for a property: what the reply says it is, or why it says none. */
        readonly property?: string;
        readonly reading?: Extraction;
        readonly setAside?: undefined;
      }
    | { readonly setAside: SetAsideReason; readonly text?: undefined; readonly tokens?: undefined }
  );

const lineSchema = z
  .looseObject({
    key: z.string(),
    state: z.string(),
    id: z.string(),
    sample: z.number(),
    text: z.string().optional(),
    tokens: z.array(z.looseObject({ id: z.number(), text: z.string(), logprob: z.number() })).optional(),
    reading: extractionSchema.optional(),
    setAside: setAsideSchema.optional(),
  })
  .refine(
    ({ text, tokens, setAside }) =>
      setAside === undefined ? text !== undefined && tokens !== undefined : text === undefined,
    "neither an answer nor set aside",
  );

/** Defaults filled in. @throws USAGE */
export function settledAsking(settings: AskingSettings): Required<AskingSettings> {
  const { maxTokens = 64, temperature = 0, samples = 1, seed = "0", top = 10, allPositions = false } = settings;
  for (const [name, value, least] of [
    ["maxTokens", maxTokens, 1],
    ["samples", samples, 1],
    ["top", top, 0],
  ] as const) {
    if (Number.isInteger(value) && value >= least) continue;
    throw new InwardError("USAGE", `${name} is ${value}; it must be a whole number from ${least} on.`);
  }
  if (!(temperature >= 0 && Number.isFinite(temperature)))
    throw new InwardError("USAGE", `temperature is ${temperature}; it must be a finite number from 0 on.`);
  if (samples > 1 && temperature === 0) {
    throw new InwardError(
      "USAGE",
      `${samples} samples at temperature 0 would be one answer ${samples} times; draw them above 0: --temperature 1`,
    );
  }
  return { maxTokens, temperature, samples, seed, top, allPositions };
}

/** The requests for one prompt, one a sample. */
export function askingRequests(
  { id, messages }: Pick<PromptLine, "id" | "messages">,
  { maxTokens, temperature, samples, seed, top, allPositions }: Required<AskingSettings>,
): AskRequest[] {
  return Array.from({ length: samples }, (_, sample) => ({
    messages,
    maxTokens,
    temperature,
    topTokens: top,
    // The two best tell the margin where a token is drawn.
    positions: allPositions ? Math.max(top, 2) : temperature > 0 ? 2 : 0,
    ...(temperature > 0 ? { seed: `${seed}/${id}/${sample}` } : {}),
    ...(samples > 1 ? { shares: id } : {}),
  }));
}

/** @param reply to a request of askingRequests */
export function answeredTokens(
  { tokenIds, logprobs, margins, positions = [], first }: Reply,
  { top, allPositions }: Pick<Required<AskingSettings>, "top" | "allPositions">,
): AnsweredToken[] {
  return tokenIds.map((id, at) => {
    const position = positions[at];
    if (!position) throw new InwardError("INTERNAL", "A reply lacks the positions that it was asked with.");
    const listed = at === 0 ? first : position;
    const alternatives = listed.tokenIds.slice(0, top).map((one, rank) => ({
      id: one,
      ...listedToken(listed, rank),
      logprob: listed.logprobs[rank] as number,
    }));
    const { text, bytes, control, logSumExp } = position;
    return {
      id,
      text,
      ...(bytes === undefined ? {} : { bytes }),
      ...(control ? { control } : {}),
      logprob: logprobs[at] as number,
      margin: margins[at] ?? marginOf(position.logprobs),
      logSumExp,
      ...(top > 0 && (allPositions || at === 0) ? { alternatives } : {}),
    };
  });
}

/** A vocabulary of one token has no second best: its margin is as large as a number can be. */
function marginOf([best, second]: readonly number[]): number {
  return best === undefined || second === undefined ? Number.MAX_VALUE : best - second;
}

interface AskedSample extends AnsweredPlace {
  readonly request: AskRequest;
}

/**
 * Asks every prompt and writes a line for each answer, in the order of the prompts. The same call goes on where an earlier one ended.
 * @param prompts such as those of a file: parsePrompts
 * @param source registry name, `hf:` URI, or path of a GGUF
 * @throws InwardError USAGE · ANSWERS_OTHER the file holds other answers · STORE_* · MODEL_*, ADAPTER_*, ENGINE_*, CHAT_*: one that
 * is about a prompt names it, before any is asked · INTERRUPTED
 */
export async function askFile(
  prompts: readonly PromptLine[],
  source: string,
  options: AskFileOptions,
): Promise<AnswersFile> {
  const settings = settledAsking(options);
  const { maxTokens, temperature, samples, seed, top, allPositions } = settings;
  const { property: name, ownProperties: own = {}, ...common } = options;
  const property = name === undefined ? undefined : propertyNamed(name, own);
  // A rule of another definition reads other values.
  const read = property && {
    property: property.name,
    ...(Object.hasOwn(own, property.name) ? { ownProperties: own } : {}),
  };
  return writeAnswers(
    source,
    {
      what: "answers",
      kind: askedSamples(settings, property),
      settings: { maxTokens, temperature, samples, ...(temperature > 0 ? { seed } : {}), top, allPositions, ...read },
      lines: prompts,
      questions: (state) =>
        prompts.flatMap((prompt) =>
          askingRequests(prompt, settings).map(
            (request, sample): AskedSample => ({
              key: samples > 1 ? `${prompt.id}#${sample}` : prompt.id,
              state,
              id: prompt.id,
              sample,
              ...(prompt.meta === undefined ? {} : { meta: prompt.meta }),
              request,
            }),
          ),
        ),
    },
    common,
  );
}

function askedSamples(
  settings: Required<AskingSettings>,
  property: BehaviorProperty | undefined,
): QuestionKind<AskedSample, AnsweredLine> {
  const ask: QuestionKind<AskedSample, AnsweredLine>["ask"] = async (model, group, hooks) => {
    const replies = await repliesTo(model, group, hooks);
    return group.map(({ request: _, ...place }, index): AnsweredLine => {
      const reply = replies[index] as Reply;
      const { text, stop, opened, promptTokens, promptSha256 } = reply;
      return {
        ...place,
        text,
        stop,
        ...(opened === undefined ? {} : { opened }),
        tokens: answeredTokens(reply, settings),
        promptTokens,
        promptSha256,
        ...(property ? { property: property.name, reading: readReply(property, replyText(reply), stop) } : {}),
      };
    });
  };
  return {
    rowSchema: lineSchema,
    ...REQUESTED_LINES,
    isReplies: true,
    ask,
    setAside: ({ request: _, ...place }, setAside) => ({ ...place, setAside }),
  };
}

interface RequestedLine {
  readonly id: string;
  readonly request: AskRequest;
}

/** How questions are checked that are requests about lines of a file, and what is asked where one of them crashes the engine. */
export const REQUESTED_LINES = {
  check: (model: LanguageModel, group: readonly RequestedLine[]) =>
    namingTheLine(group, (part) => model.check(part.map(({ request }) => request))),
  askPlain: (model: LanguageModel, { request: { messages } }: RequestedLine, hooks: AskingHooks) =>
    askPlainly(model, messages, hooks, 1),
};

export function repliesTo(
  model: LanguageModel,
  group: readonly RequestedLine[],
  { heard, onAnswered, onCost, signal }: AskingHooks,
): Promise<Reply[]> {
  const onReply = () => {
    heard();
    onAnswered();
  };
  return model.ask(
    group.map(({ request }) => request),
    { onReply, onCost, signal },
  );
}

/** An engine calls a question by its number in the group: who brought a file wants its id. */
export async function namingTheLine<Line extends { readonly id: string }>(
  group: readonly Line[],
  check: (part: readonly Line[]) => Promise<unknown>,
): Promise<void> {
  try {
    await check(group);
  } catch (error) {
    if (!(error instanceof InwardError) || error.code === "ENGINE_CRASHED" || error.code === "INTERRUPTED") throw error;
    for (const line of group) {
      await check([line]).catch((own) => {
        if (!(own instanceof InwardError) || own.code !== error.code) throw own;
        throw new InwardError(own.code, `Line ${JSON.stringify(line.id)}: ${own.message}`, { cause: own });
      });
    }
    throw error;
  }
}
