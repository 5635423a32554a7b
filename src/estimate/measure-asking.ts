/** How fast a model answers here: some of the plan's own questions, asked once and timed. What they say is thrown away. */
import { toAnswer, toRequest } from "../ask/to-request.js";
import type { Question } from "../ask/question.js";
import type { LanguageModel } from "../model/language-model.js";
import { askedSize } from "./asked-size.js";
import type { AskingRate } from "./plan-estimate.js";
import type { TokenCounter } from "./token-counter.js";

/** Questions of one probe, at most. */
const MOST_QUESTIONS = 16;
/** A probe that would take longer asks fewer. */
const MOST_SECONDS = 4;

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
  // The first question also makes the context, and tells how many more there is time for; where there is none, it is all there is.
  const alone = questions.slice(0, 1);
  const first = await ask(alone);
  const affordable = Math.min(MOST_QUESTIONS, Math.floor(MOST_SECONDS / Math.max(first.seconds, 1e-3)));
  const sample = affordable < 2 ? alone : spread(questions, affordable);
  const { replies, seconds } = affordable < 2 ? first : await ask(sample);
  const { distinctTokens, generatedTokensAtMost } = await askedSize([sample], counter, shares);
  const generated = replies.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
  const bytes = replies.reduce((sum, reply, index) => {
    return sum + Buffer.byteLength(JSON.stringify(toAnswer(sample[index] as Question, reply))) + 1;
  }, 0);
  return {
    basis: "measured",
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
