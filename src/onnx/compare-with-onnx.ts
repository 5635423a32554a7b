/**
 * A model held against a second implementation, item by item: our own forward pass against onnxruntime on a graph that is written from
 * the same GGUF, and our tokens, prompts and answers against transformers.js'.
 */

import {
  compareEngines,
  type EngineComparison,
  type EngineTolerance,
  type VerificationQuestion,
  verificationQuestions,
} from "../ask/verify-engine.js";
import { InwardError } from "../errors.js";
import { readGguf } from "../gguf/read-gguf.js";
import { type ChatFormat, withSystem } from "../model/chat/format.js";
import { sameTokens } from "../model/chat/vocabulary.js";
import { settleEngine } from "../model/engines/settings.js";
import { openTokenizer, startEngine, type Tokenizer } from "../model/engines/start-engine.js";
import type { LanguageModel, ModelCheck, RenderedPrompt } from "../model/language-model.js";
import { verificationTexts } from "../model/verify-model.js";
import { DEFAULT_ENGINE } from "../study/load-study.js";
import type { Reply } from "../tasks/answer.js";
import { compareHiddenStates } from "./compare-hidden-states.js";
import { openOnnx, openTransformersJs, type OpenTransformersJs } from "./onnx-engine.js";
import { findOnnxPackage, ONNX_PACKAGES, type OnnxPackage } from "./onnx-packages.js";
import type { OnnxAnswer } from "./onnx-session.js";
import { type WrittenOnnx, writeOnnx } from "./write-onnx.js";

export interface CompareWithOnnxOptions {
  readonly chat: ChatFormat;
  /** For the written folder; whole files of weights where the GGUF's are not F32. */
  readonly folder: string;
  readonly threads: number;
  /** Only so many of the fixed questions. */
  readonly questions?: number;
  /** What the graph is written from, in the place of the model itself: tests plant faults with it. */
  readonly graphFrom?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: {
    readonly stage: string;
    readonly done: number;
    readonly total: number;
    readonly unit: "questions";
  }) => void;
}

export interface OnnxVerification {
  readonly agrees: boolean;
  readonly tolerance: EngineTolerance;
  readonly packages: typeof ONNX_PACKAGES;
  readonly graph: Pick<WrittenOnnx, "bytes" | "copiedBytes" | "matrices">;
  readonly checks: readonly ModelCheck[];
  /** Greedy answers, each token after the other with keys and values kept. */
  readonly answers: EngineComparison;
}

/**
 * Both compute in single precision, with sums in other orders: 2.4e-5 nats at most were seen on SmolLM2-135M, over 367 tokens of 60
 * answers, and this is twice as much. A token may be another one where the two leads together are no greater than two such errors.
 */
const TOLERANCE: EngineTolerance = { logprob: 5e-5, margin: 1e-4 };
/** Questions whose whole distribution is compared: every token of the vocabulary, the unlikely ones too. */
const DISTRIBUTIONS = 4;
/** Prompts of unlike lengths in one batch of theirs, so that padding is part of what is tried. */
const BATCH = 4;
const MOST_EXAMPLES = 5;
const MOST_CONTROLS = 40;

/**
 * @param path a GGUF of llama, qwen2 or qwen3
 * @throws ONNX_PACKAGES before anything else · ONNX_MODEL, ONNX_RUN · MODEL_*, ENGINE_*, CHAT_* · INTERRUPTED
 */
export async function compareWithOnnx(path: string, options: CompareWithOnnxOptions): Promise<OnnxVerification> {
  for (const name of Object.keys(ONNX_PACKAGES) as OnnxPackage[]) findOnnxPackage(name);
  const { chat, folder, threads, questions: most, graphFrom = path, signal, onProgress } = options;
  const questions = await verificationQuestions(chat.kind, most);
  const tokenizer = await openTokenizer(path, chat);
  try {
    const endIds = await tokenizer.endIds();
    const written = await writeOnnx(graphFrom, folder, {
      tokenizer: { template: chat.template, endIds },
      statesBeside: true,
    });
    const asked = await askOwn(path, options, questions);
    const graph = await openOnnx(written, { threads });
    const checks: ModelCheck[] = [];
    let answers: EngineComparison;
    try {
      let done = 0;
      const said = await graph.generate(
        asked.replies.map((_, at) => ({
          promptIds: (asked.prompts[at] as RenderedPrompt).tokenIds,
          maxTokens: asked.maxTokens[at] as number,
          topTokens: (asked.replies[at] as Reply).first.tokenIds.length,
          endIds: asked.endIds,
        })),
        {
          signal,
          onAnswer: () =>
            onProgress?.({ stage: "onnxruntime", done: ++done, total: questions.length, unit: "questions" }),
        },
      );
      const keys = questions.map(({ key }) => key);
      answers = compareEngines(keys, asked.replies, said, TOLERANCE);
      checks.push(answersCheck(answers));
      const whole = await graph.score(
        asked.replies.map(({ tokenIds }, at) => ({
          promptIds: (asked.prompts[at] as RenderedPrompt).tokenIds,
          answerIds: tokenIds,
        })),
        "whole",
      );
      checks.push(wholeCheck(keys, asked.replies, whole));
      const distributions: number[] = [];
      for (const [at, own] of asked.distributions.entries()) {
        distributions.push(farthest(own, await graph.distribution((asked.prompts[at] as RenderedPrompt).tokenIds)));
      }
      checks.push(distributionsCheck(distributions, asked.distributions[0]?.length ?? 0));
    } finally {
      await graph.dispose();
    }
    checks.push(await statesCheck(path, written, asked, questions, options));
    if (written.withoutTokenizer !== undefined) {
      checks.push({ check: "transformers.js", verdict: "note", found: `not compared: ${written.withoutTokenizer}` });
    } else {
      const there = await openTransformersJs(folder, { threads }, endIds[0] ?? 0);
      try {
        checks.push(...(await tokenizerChecks(path, tokenizer, there)));
        if (chat.template !== undefined) checks.push(...(await templateChecks(chat, questions, asked.prompts, there)));
        checks.push(await generationCheck(asked, there, questions, options));
      } finally {
        await there.dispose();
      }
    }
    return {
      agrees: checks.every(({ verdict }) => verdict !== "mismatch"),
      tolerance: TOLERANCE,
      packages: ONNX_PACKAGES,
      graph: { bytes: written.bytes, copiedBytes: written.copiedBytes, matrices: written.matrices },
      checks,
      answers,
    };
  } finally {
    await tokenizer.dispose();
  }
}

interface AskedHere {
  readonly replies: readonly Reply[];
  readonly prompts: readonly RenderedPrompt[];
  readonly maxTokens: readonly number[];
  /** Of the first questions, by token. */
  readonly distributions: readonly Float64Array[];
  /** Tokens at which our answers end; of a base model, those that end a line too. */
  readonly endIds: readonly number[];
}

function ownSettings(threads: number) {
  return { ...DEFAULT_ENGINE, engine: "native", forward: "own", device: "cpu", threads } as const;
}

async function askOwn(
  path: string,
  { chat, threads, signal, onProgress }: CompareWithOnnxOptions,
  questions: readonly VerificationQuestion[],
): Promise<AskedHere> {
  const model = await startEngine(path, ownSettings(threads), { cacheType: "f32", chat });
  try {
    const requests = questions.map(({ request }) => request);
    let done = 0;
    const replies = await model.ask(requests, {
      signal,
      onReply: () =>
        onProgress?.({ stage: "own forward pass", done: ++done, total: questions.length, unit: "questions" }),
    });
    const prompts: RenderedPrompt[] = [];
    for (const { messages } of requests) prompts.push(await model.render(messages));
    const distributions: Float64Array[] = [];
    let endIds: number[] = [];
    for (const { messages } of requests.slice(0, DISTRIBUTIONS)) {
      const { byToken, ends } = await distributionOf(model, messages);
      distributions.push(byToken);
      endIds = ends;
    }
    return { replies, prompts, maxTokens: requests.map(({ maxTokens }) => maxTokens), distributions, endIds };
  } finally {
    await model.dispose();
  }
}

async function distributionOf(model: LanguageModel, messages: VerificationQuestion["request"]["messages"]) {
  const { vocabularySize } = model.facts;
  const { steps } = await model.nextTokens(messages, [[]], vocabularySize);
  const [next] = steps;
  if (!next || next.ids.length !== vocabularySize)
    throw new InwardError("INTERNAL", "The engine did not list every token.");
  const byToken = new Float64Array(vocabularySize);
  const ends: number[] = [];
  for (let at = 0; at < vocabularySize; at++) {
    byToken[next.ids[at] as number] = next.logprobs[at] as number;
    if (next.ends[at] === 1) ends.push(next.ids[at] as number);
  }
  return { byToken, ends };
}

// The graph.

function answersCheck(answers: EngineComparison): ModelCheck {
  const { questions, sameTokens: same, positions, meanLogprobDifference, maxLogprobDifference, differences } = answers;
  const beyond = differences.filter(({ allowed }) => !allowed);
  return {
    check: "answers, token by token",
    verdict: answers.agrees ? "ok" : "mismatch",
    found:
      `${same} of ${questions} greedy answers have the same tokens; logprobs of ${positions} tokens differ by ` +
      `${nats(meanLogprobDifference)} nats on average, ${nats(maxLogprobDifference)} at most`,
    ...examplesOf(
      beyond.map(
        ({ key, kind, position, apart }) =>
          `${key}, ${kind}, token ${position}: ${apart === undefined ? "" : nats(apart)}`,
      ),
    ),
  };
}

/** The same answers in one pass each, without a cache: what does not depend on how a text is evaluated must come out again. */
function wholeCheck(keys: readonly string[], replies: readonly Reply[], whole: readonly OnnxAnswer[]): ModelCheck {
  const { wrong, most, tokens, likeliest } = differencesOf(keys, replies, whole);
  return {
    check: "answers, each text whole",
    verdict: wrong.length > 0 ? "mismatch" : "ok",
    found: `${likeliest} of ${tokens} tokens are the likeliest there too; logprobs differ by ${nats(most)} nats at most`,
    ...examplesOf(wrong),
  };
}

function differencesOf(keys: readonly string[], replies: readonly Reply[], others: readonly OnnxAnswer[]) {
  const wrong: string[] = [];
  let [most, tokens, likeliest] = [0, 0, 0];
  for (const [question, { tokenIds, logprobs, margins }] of replies.entries()) {
    const other = others[question] as OnnxAnswer;
    for (const [at, id] of tokenIds.entries()) {
      const apart = Math.abs((logprobs[at] as number) - (other.logprobs[at] as number));
      tokens++;
      most = Math.max(most, apart);
      const isLikeliest = other.likeliest[at] === id;
      if (isLikeliest) likeliest++;
      const isTie = (margins[at] as number) + (other.margins[at] as number) <= TOLERANCE.margin;
      // NaN is within no tolerance.
      if (!(apart <= TOLERANCE.logprob) || !(isLikeliest || isTie))
        wrong.push(`${keys[question]}, token ${at + 1}: ${nats(apart)}`);
    }
  }
  return { wrong, most, tokens, likeliest };
}

function distributionsCheck(apart: readonly number[], vocabulary: number): ModelCheck {
  const most = Math.max(0, ...apart);
  const isClose = apart.length > 0 && apart.every((one) => one <= TOLERANCE.margin);
  return {
    check: "every token of the vocabulary",
    verdict: isClose ? "ok" : "mismatch",
    found:
      `logprobs of all ${vocabulary} tokens after ${apart.length} prompts differ by ${nats(most)} nats at most (allowed ` +
      `${nats(TOLERANCE.margin)})`,
  };
}

/** Of the prompts whose distributions are compared. */
async function statesCheck(
  path: string,
  { statesPath, ...written }: WrittenOnnx,
  { prompts }: AskedHere,
  questions: readonly VerificationQuestion[],
  { chat, folder, threads, signal }: CompareWithOnnxOptions,
): Promise<ModelCheck> {
  if (statesPath === undefined) throw new InwardError("INTERNAL", "No graph of hidden states was written.");
  const graph = await openOnnx({ ...written, path: statesPath }, { threads });
  try {
    return await compareHiddenStates(path, {
      chat,
      settings: await settleEngine(ownSettings(threads), [path]),
      requests: questions.slice(0, DISTRIBUTIONS).map(({ request }) => request),
      prompts: prompts.slice(0, DISTRIBUTIONS),
      folder,
      graph,
      signal,
    });
  } finally {
    await graph.dispose();
  }
}

function farthest(own: Float64Array, theirs: Float64Array): number {
  if (own.length !== theirs.length) return Number.POSITIVE_INFINITY;
  let most = 0;
  for (let id = 0; id < own.length; id++) {
    const apart = Math.abs((own[id] as number) - (theirs[id] as number));
    if (!(apart <= most)) most = Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart;
  }
  return most;
}

// transformers.js.

/** Text in which control tokens are spelled out is text with us and control tokens with them: said, and no fault of either. */
async function tokenizerChecks(path: string, tokenizer: Tokenizer, there: OpenTransformersJs): Promise<ModelCheck[]> {
  const controls = await controlTexts(path);
  const plain = verificationTexts().filter((text) => !controls.some((control) => text.includes(control)));
  const lookAlikes = controls.slice(0, MOST_CONTROLS).map((control) => `say ${control} twice`);
  const [ours, theirs] = [await idsOf(tokenizer, plain), await there.tokenize(plain)];
  const wrong = plain.flatMap((text, at) => {
    const own = ours[at];
    if (own === undefined || sameTokens(own, theirs[at] as number[])) return [];
    return [`${JSON.stringify(text)}: ${own.join(" ")} here, ${(theirs[at] as number[]).join(" ")} there`];
  });
  const refused = ours.filter((ids) => ids === undefined).length;
  const [own, other] = [await idsOf(tokenizer, lookAlikes), await there.tokenize(lookAlikes)];
  const kept = lookAlikes.filter(
    (_, at) => own[at] !== undefined && !sameTokens(own[at], other[at] as number[]),
  ).length;
  return [
    {
      check: "tokens, transformers.js",
      verdict: wrong.length > 0 ? "mismatch" : "ok",
      found:
        `${plain.length - wrong.length - refused} of ${plain.length} texts have the same tokens` +
        (refused > 0 ? `; ${refused} cannot be written here` : ""),
      ...examplesOf(wrong),
    },
    {
      check: "control tokens in text",
      verdict: "note",
      found: `${kept} of ${lookAlikes.length} texts that spell a control token out stay text here and hold that token in transformers.js`,
    },
  ];
}

async function controlTexts(path: string): Promise<string[]> {
  const { metadata } = await readGguf(path);
  const [tokens, types] = [metadata.get("tokenizer.ggml.tokens"), metadata.get("tokenizer.ggml.token_type")];
  if (tokens?.type !== "array" || types?.type !== "array") return [];
  return tokens.value.flatMap((text, id) =>
    types.value[id] === 3 && typeof text === "string" && text !== "" ? [text] : [],
  );
}

/** @returns undefined for a text that the vocabulary cannot write */
async function idsOf(tokenizer: Tokenizer, texts: readonly string[]): Promise<(readonly number[] | undefined)[]> {
  const one = async (text: string) => {
    try {
      return (await tokenizer.plainIds([text]))[0];
    } catch (error) {
      if (error instanceof InwardError && error.code.startsWith("CHAT_")) return undefined;
      throw error;
    }
  };
  const ids: (readonly number[] | undefined)[] = [];
  for (const text of texts) ids.push(await one(text));
  return ids;
}

async function templateChecks(
  chat: ChatFormat,
  questions: readonly VerificationQuestion[],
  prompts: readonly RenderedPrompt[],
  there: OpenTransformersJs,
): Promise<ModelCheck[]> {
  const conversations = questions.map(({ request }) => withSystem(chat, request.messages));
  const theirs = await there.template(conversations, chat.variables);
  const texts: string[] = [];
  const ids: string[] = [];
  let withoutBos = 0;
  for (const [at, { key }] of questions.entries()) {
    const [ours, other] = [prompts[at] as RenderedPrompt, theirs[at]];
    if (other === undefined) continue;
    if (ours.text !== other.text)
      texts.push(
        `${key}: ${JSON.stringify(ours.text.slice(-120))} here, ${JSON.stringify(other.text.slice(-120))} there`,
      );
    if (sameTokens(ours.tokenIds, other.tokenIds)) continue;
    // Where a template writes no BOS and the vocabulary wants one, transformers.js leaves it out of a rendered chat.
    if (sameTokens(ours.tokenIds.slice(1), other.tokenIds)) withoutBos++;
    else ids.push(`${key}: ${ours.tokenIds.length} tokens here, ${other.tokenIds.length} there`);
  }
  const same = questions.length - ids.length - withoutBos;
  return [
    {
      check: "prompts, transformers.js' template",
      verdict: texts.length > 0 ? "mismatch" : "ok",
      found: `${questions.length - texts.length} of ${questions.length} prompts are the same text`,
      ...examplesOf(texts),
    },
    {
      check: "prompts, as tokens",
      verdict: ids.length > 0 ? "mismatch" : withoutBos > 0 ? "note" : "ok",
      found:
        `${same} of ${questions.length} prompts have the same tokens` +
        (withoutBos > 0 ? `; ${withoutBos} are the same but for the BOS that only we set before them` : ""),
      ...examplesOf(ids),
    },
  ];
}

async function generationCheck(
  { replies, prompts, maxTokens, endIds }: AskedHere,
  there: OpenTransformersJs,
  questions: readonly VerificationQuestion[],
  { signal, onProgress }: CompareWithOnnxOptions,
): Promise<ModelCheck> {
  const wrong: string[] = [];
  let [same, ties, tokens] = [0, 0, 0];
  for (let from = 0; from < questions.length; from += BATCH) {
    if (signal?.aborted) throw new InwardError("INTERRUPTED", "Comparing was interrupted.");
    const batch = questions.slice(from, from + BATCH);
    const ids = batch.map((_, at) => (prompts[from + at] as RenderedPrompt).tokenIds);
    const said = await there.generate(ids, Math.max(...maxTokens.slice(from, from + BATCH)), endIds);
    for (const [at, { key }] of batch.entries()) {
      const { tokenIds, margins } = replies[from + at] as Reply;
      const theirs = said[at] as number[];
      const first = tokenIds.findIndex((id, place) => id !== theirs[place]);
      tokens += first < 0 ? tokenIds.length : first;
      if (first < 0) same++;
      // What comes after a tie is another answer.
      else if ((margins[first] as number) <= TOLERANCE.margin) ties++;
      else wrong.push(`${key}: token ${first + 1} is ${tokenIds[first]} here, ${theirs[first] ?? "the end"} there`);
    }
    onProgress?.({ stage: "transformers.js", done: from + batch.length, total: questions.length, unit: "questions" });
  }
  return {
    check: "answers, transformers.js",
    verdict: wrong.length > 0 ? "mismatch" : "ok",
    found:
      `${same} of ${questions.length} greedy answers have the same ${tokens} tokens, in batches of ${BATCH} padded on the left` +
      (ties > 0 ? `; ${ties} part at a tie` : ""),
    ...examplesOf(wrong),
  };
}

function examplesOf(lines: readonly string[]): Pick<ModelCheck, "examples"> {
  return lines.length > 0 ? { examples: lines.slice(0, MOST_EXAMPLES) } : {};
}

function nats(value: number): string {
  return value === 0 ? "0" : value.toPrecision(2);
}
