/** How fast a model answers here: some of the plan's own questions, asked once and timed. What they say is thrown away. */
import { toAnswer, toRequest } from "../ask/to-request.js";
import type { Question } from "../ask/question.js";
import type { LanguageModel } from "../model/language-model.js";
import { askedSize } from "./asked-size.js";
import type { AskingRate } from "./plan-estimate.js";
import type { TokenCounter } from "./token-counter.js";

/** Questions that are answered, at most; fewer where reading their prompts alone would take longer than this. */
const MOST_QUESTIONS = 16;
const SAMPLE_SECONDS = 3;
/** As many are read to tell how fast reading is, and answered at least: beside each other they take little longer than one. */
const FEWEST_QUESTIONS = 4;

export interface ProbeOptions {
  readonly counter: TokenCounter;
  /** Whether the engine evaluates a shared beginning once. */
  readonly shares: boolean;
  readonly topTokens: number;
  /** Whose rate it is, in words. */
  readonly of: string;
  readonly signal?: AbortSignal;
}

/** @param questions at least one, all for one kind of stage */
export async function measureAsking(
  model: LanguageModel,
  questions: readonly Question[],
  { counter, shares, topTokens, of, signal }: ProbeOptions,
): Promise<AskingRate> {
  const ask = async (group: readonly Question[]) => {
    const begun = performance.now();
    const replies = await model.ask(
      group.map((question) => toRequest(question, topTokens)),
      signal ? { signal } : {},
    );
    return { replies, seconds: (performance.now() - begun) / 1000 };
  };
  const read = (group: readonly Question[]) => ask(group.map((question) => ({ ...question, maxTokens: 1 })));
  const few = spread(questions, FEWEST_QUESTIONS);
  // Makes the context, which is not to be timed.
  await read(few.slice(0, 1));
  const reading = await read(few);
  const toRead = await askedSize([few], counter, shares);
  const affordable = Math.floor((SAMPLE_SECONDS * few.length) / Math.max(reading.seconds, 1e-3));
  const sample = spread(questions, Math.min(MOST_QUESTIONS, Math.max(FEWEST_QUESTIONS, affordable)));
  const { replies, seconds } = await ask(sample);
  const { distinctTokens, generatedTokensAtMost } = await askedSize([sample], counter, shares);
  const generated = replies.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
  const bytes = replies.reduce((sum, reply, index) => {
    return sum + Buffer.byteLength(JSON.stringify(toAnswer(sample[index] as Question, reply))) + 1;
  }, 0);
  return {
    basis: "measured",
    readTokensPerSecond: toRead.distinctTokens / Math.max(reading.seconds, 1e-6),
    tokensPerSecond: (distinctTokens + generated) / Math.max(seconds, 1e-6),
    generatedShare: generated / generatedTokensAtMost,
    bytesPerAnswer: bytes / sample.length,
    of: `${sample.length} ${sample.length === 1 ? "question" : "questions"} to ${of} in ${seconds.toFixed(1)} s`,
  };
}

/** Runs of neighbours, which share their string, out of the whole list. */
export function spread<Item>(items: readonly Item[], count: number): Item[] {
  const wanted = Math.min(count, items.length);
  const run = Math.max(1, Math.ceil(wanted / 4));
  const runs = Math.ceil(wanted / run);
  const stride = items.length / runs;
  return Array.from({ length: runs }, (_, at) => items.slice(Math.floor(at * stride), Math.floor(at * stride) + run))
    .flat()
    .slice(0, wanted);
}
