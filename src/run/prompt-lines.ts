/** A file of prompts, one a line, as people bring them to be asked or scored. Strict: what would be passed over is refused. */

import { z } from "zod";
import { nearestName } from "../base/nearest-name.js";
import { mostTelling } from "../base/schema-issue.js";
import {
  decodeUtf8,
  didYouMean,
  linesOf,
  parseStrictJson,
  readPlainFile,
  shown,
  type TextPlace,
  UNSAFE_CHARACTER,
} from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import type { ChatMessage } from "../tasks/answer.js";
import { turns } from "./open-model.js";

/** One prompt of a file. */
export interface PromptLine {
  /** The line's own `id`, or its number, from 1. No two are the same. */
  readonly id: string;
  /** A system message that is empty where the line has none: the model's chat format says what stands there. */
  readonly messages: readonly ChatMessage[];
  /** Keys that mean nothing here, carried to the answer as they are. */
  readonly meta?: Readonly<Record<string, unknown>>;
}

/** A line that is a text alone: a string of a task, or a prompt that is asked about. */
export interface TextPrompt extends Pick<PromptLine, "id" | "meta"> {
  readonly text: string;
}

/** A prompt and what may follow it. */
export interface ScoredLine extends PromptLine {
  readonly continuations: readonly string[];
}

const message = z.strictObject({ role: z.enum(["system", "user", "assistant"]), content: z.string("must be text") });
const lineSchema = z.looseObject({
  id: z.union([z.string().min(1, "is empty"), z.int()], "must be text or a whole number").optional(),
  prompt: z.string("must be text").optional(),
  system: z.string("must be text").optional(),
  messages: z.array(message, "must be a list of messages").min(1, "is empty").optional(),
  continuations: z.array(z.string("must be text"), "must be a list of texts").min(1, "is empty").optional(),
});

/** Keys that other tools take with each prompt. Here they hold for the whole file, or are not done. */
const NOT_IN_A_LINE: Readonly<Record<string, string>> = {
  temperature: "it holds for the whole file: --temperature",
  seed: "it holds for the whole file: --seed",
  n: "it holds for the whole file: --samples",
  samples: "it holds for the whole file: --samples",
  num_samples: "it holds for the whole file: --samples",
  max_tokens: "it holds for the whole file: --max-tokens",
  max_new_tokens: "it holds for the whole file: --max-tokens",
  max_completion_tokens: "it holds for the whole file: --max-tokens",
  model: "it holds for the whole file: --model",
  logprobs: "they are always there",
  top_logprobs: "it holds for the whole file: --top",
  top_p: "nothing is cut off before a token is drawn",
  top_k: "nothing is cut off before a token is drawn",
  min_p: "nothing is cut off before a token is drawn",
  stop: "an answer ends with the model's own token, or at --max-tokens",
  tools: "tool calls are not asked",
  functions: "function calls are not asked",
  response_format: "an answer's form is the model's own",
  system_prompt: "give it as system",
  do_sample: "it holds for the whole file: --temperature",
  stop_sequences: "an answer ends with the model's own token, or at --max-tokens",
  frequency_penalty: "every token is taken as likely as the model says",
  presence_penalty: "every token is taken as likely as the model says",
  repetition_penalty: "every token is taken as likely as the model says",
  logit_bias: "every token is taken as likely as the model says",
};

/** However a person writes it: `Max-Tokens`, `maxTokens` and `max_tokens` are one name. */
const plainKey = (key: string) => key.toLowerCase().replace(/[\s_-]+/g, "");
const NOT_IN_A_LINE_PLAIN = new Map(Object.entries(NOT_IN_A_LINE).map(([key, why]) => [plainKey(key), why]));

const OWN = Object.keys(lineSchema.shape);
/** Strings longer than this cannot be made in one piece. */
const MOST_BYTES = 256 * 1024 * 1024;

/** @param path `-` for the standard input @throws PROMPTS_INVALID it cannot be read */
export async function readPromptFile(path: string, input: AsyncIterable<Uint8Array> = process.stdin): Promise<Buffer> {
  if (path !== "-") {
    return readPlainFile(
      path,
      MOST_BYTES,
      (why) => new InwardError("PROMPTS_INVALID", `${path} cannot be read (${why}).`),
    );
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of input) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES)
      throw new InwardError("PROMPTS_INVALID", `The standard input has more than ${MOST_BYTES} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/**
 * @param bytes JSONL; or, where the path ends with .txt, one prompt a line as it stands
 * @param path for messages
 * @throws PROMPTS_INVALID with the line
 */
export function parsePrompts(bytes: Uint8Array, path: string): PromptLine[] {
  return parseLines(bytes, path, ({ continuations, text: _, ...rest }, place) => {
    if (continuations === undefined) return rest;
    throw invalid(place, "continuations: they are scored, not asked: npx inward score-text");
  });
}

/**
 * The same, where each line is put into words of its own: `prompt` and no messages, no system message.
 * @throws PROMPTS_INVALID with the line
 */
export function parseTexts(bytes: Uint8Array, path: string): TextPrompt[] {
  return parseLines(bytes, path, ({ id, text, meta, continuations }, place) => {
    if (continuations !== undefined)
      throw invalid(place, "continuations: they are scored, not asked: npx inward score-text");
    if (text !== undefined) return { id, text, ...(meta === undefined ? {} : { meta }) };
    throw invalid(
      place,
      "with --task or --property a line is a prompt alone, which is quoted or put into the task's question: give it as prompt, without messages or system",
    );
  });
}

/** The same with continuations in every line. @throws PROMPTS_INVALID with the line */
export function parseScoredLines(bytes: Uint8Array, path: string): ScoredLine[] {
  return parseLines(bytes, path, ({ continuations, text: _, ...rest }, place) => {
    if (continuations !== undefined) return { ...rest, continuations };
    throw invalid(place, "continuations: is missing: the texts that may follow, as a list");
  });
}

/** With its text where it is nothing else. */
type ReadLine = PromptLine & Partial<ScoredLine> & { readonly text?: string };

function parseLines<Line extends Pick<PromptLine, "id">>(
  bytes: Uint8Array,
  path: string,
  finish: (line: ReadLine, place: string) => Line,
): Line[] {
  const name = path === "-" ? "standard input" : path;
  const text = decodeUtf8(bytes, { code: "PROMPTS_INVALID", place: name });
  const isText = path.toLowerCase().endsWith(".txt");
  const places = new Map<string, string>();
  const lines = linesOf(text, name).map((line) => {
    const number = line.place.slice(line.place.lastIndexOf(" ") + 1);
    if (isText && UNSAFE_CHARACTER.test(line.text)) throw invalid(line.place, "it holds a NUL, which no model reads");
    const read = isText
      ? { id: number, messages: turns("", line.text), text: line.text }
      : parseLine(line.text, line.place, number);
    const before = places.get(read.id);
    if (before !== undefined) throw invalid(line.place, `the id ${shown(read.id)} is that of ${before} too`);
    places.set(read.id, line.place);
    return finish(read, line.place);
  });
  if (lines.length === 0) throw new InwardError("PROMPTS_INVALID", `${name} holds no prompts.`);
  return lines;
}

function parseLine(text: string, place: string, number: string): ReadLine {
  const at: TextPlace = { code: "PROMPTS_INVALID", place };
  const parsed = lineSchema.safeParse(parseStrictJson(text, at), { reportInput: true });
  if (!parsed.success) {
    const issue = mostTelling(parsed.error);
    throw invalid(place, `${issue.path.join(".") || "the line"}: ${issue.message}`);
  }
  const { id = number, prompt, system, messages, continuations, ...meta } = parsed.data;
  for (const key of Object.keys(meta)) {
    const why = NOT_IN_A_LINE_PLAIN.get(plainKey(key));
    if (why !== undefined) throw invalid(place, `${key}: ${why}`);
    const own = OWN.find((one) => plainKey(one) === plainKey(key));
    if (own !== undefined) throw invalid(place, `${key}: is written ${own}`);
  }
  if ((prompt === undefined) === (messages === undefined)) {
    const has = prompt === undefined ? "neither prompt nor messages" : "both prompt and messages";
    const near =
      prompt === undefined
        ? Object.keys(meta)
            .map((key) => didYouMean(key, OWN))
            .join("")
        : "";
    throw invalid(place, `it has ${has}; one of the two is asked.${near}`);
  }
  if (messages !== undefined && system !== undefined)
    throw invalid(place, "system: it stands beside messages; make it their first");
  return {
    id: String(id),
    messages: messages === undefined ? turns(system ?? "", prompt as string) : withFirst(messages, place),
    ...(prompt === undefined || system !== undefined ? {} : { text: prompt }),
    ...(continuations === undefined ? {} : { continuations }),
    ...(Object.keys(meta).length === 0 ? {} : { meta }),
  };
}

/** Two letters are near to anything. */
const SHORTEST_SLIP = 4;

/** Keys that are kept with their prompts, and that may be a slip of a setting: one sentence each. */
export function doubtfulKeys(lines: readonly Pick<PromptLine, "id" | "meta">[]): string[] {
  const known = [...OWN, ...Object.keys(NOT_IN_A_LINE)].filter(({ length }) => length >= SHORTEST_SLIP);
  const seen = new Map<string, { readonly first: string; count: number }>();
  for (const { id, meta = {} } of lines) {
    for (const key of Object.keys(meta)) {
      const before = seen.get(key);
      if (before) before.count++;
      else seen.set(key, { first: id, count: 1 });
    }
  }
  return [...seen].flatMap(([key, { first, count }]) => {
    const near = key.length < SHORTEST_SLIP ? undefined : nearestName(key, known);
    if (near === undefined) return [];
    const why = NOT_IN_A_LINE[near];
    const meant = why === undefined ? `${near}, write it so` : `${near}: ${why}`;
    const lines = count === 1 ? "There is 1 line" : `There are ${count} lines`;
    return [
      `${lines} with the key ${shown(key)} (the first: ${shown(first)}), which is kept beside the answer and changes nothing; if you meant ${meant}.`,
    ];
  });
}

function withFirst(messages: readonly ChatMessage[], place: string): ChatMessage[] {
  const stray = messages.findIndex(({ role }, at) => role === "system" && at > 0);
  if (stray > 0) throw invalid(place, `messages.${stray} is a system message; only the first may be`);
  const last = messages.at(-1);
  if (last?.role !== "user") {
    throw invalid(place, `the last message is the ${last?.role}'s; the user's is what is answered`);
  }
  return messages[0]?.role === "system" ? [...messages] : [{ role: "system", content: "" }, ...messages];
}

function invalid(place: string, what: string): InwardError {
  return new InwardError("PROMPTS_INVALID", `${place}: ${what}${/[.?]$/.test(what) ? "" : "."}`);
}
