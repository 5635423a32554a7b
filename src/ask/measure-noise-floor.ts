/** Asks some questions again in another order and batch composition: what differs is noise of the machine, not behavior. */
import { createHash } from "node:crypto";
import type { LanguageModel } from "../model/language-model.js";
import type { Answer, Reply } from "../records/answer.js";
import type { NoiseFloor } from "../records/noise-floor.js";
import type { Question } from "./question.js";
import { toRequest } from "./to-request.js";

/** A seeded sample of the questions of one state, spread over both kinds. */
export function noiseFloorSample(questions: readonly Question[], count: number, seed: number): Question[] {
  return questions
    .filter((question) => question.temperature === 0)
    .map((question) => ({ question, rank: createHash("sha256").update(`noise/${seed}/${question.key}`).digest("hex") }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, count)
    .map(({ question }) => question);
}

/**
 * @param sample questions in an order unlike the stage's (a hash order is)
 * @param answered what each of them was answered in the stage, by `key`
 */
export async function measureNoiseFloor(
  state: string,
  sample: readonly Question[],
  answered: ReadonlyMap<string, Answer>,
  model: LanguageModel,
  options: { readonly topTokens: number; readonly sequences: number; readonly signal?: AbortSignal },
): Promise<NoiseFloor> {
  const replies = await model.ask(
    sample.map((question) => toRequest(question, options.topTokens)),
    { sequences: options.sequences, ...(options.signal ? { signal: options.signal } : {}) },
  );
  const pairs = sample.map((question, index) => ({
    before: (answered.get(question.key) as Answer).reply,
    again: replies[index] as Reply,
  }));
  return compareReplies(state, pairs);
}

export function compareReplies(state: string, pairs: readonly { before: Reply; again: Reply }[]): NoiseFloor {
  let sameTokens = 0;
  let positions = 0;
  let sum = 0;
  let maxLogprobDifference = 0;
  let maxMarginDifference = 0;
  for (const { before, again } of pairs) {
    const shorter = Math.min(before.tokenIds.length, again.tokenIds.length);
    let at = 0;
    while (at < shorter && before.tokenIds[at] === again.tokenIds[at]) {
      const difference = Math.abs((before.logprobs[at] as number) - (again.logprobs[at] as number));
      sum += difference;
      positions++;
      maxLogprobDifference = Math.max(maxLogprobDifference, difference);
      maxMarginDifference = Math.max(
        maxMarginDifference,
        Math.abs((before.margins[at] as number) - (again.margins[at] as number)),
      );
      at++;
    }
    if (at === before.tokenIds.length && at === again.tokenIds.length) {
      sameTokens++;
    } else if (at < shorter) {
      // The best token lost its lead: its margin moved through zero, by at least both leads together.
      positions++;
      maxMarginDifference = Math.max(
        maxMarginDifference,
        (before.margins[at] as number) + (again.margins[at] as number),
      );
    }
  }
  return {
    state,
    questions: pairs.length,
    sameTokens,
    positions,
    meanLogprobDifference: positions === 0 ? 0 : sum / positions,
    maxLogprobDifference,
    maxMarginDifference,
  };
}
