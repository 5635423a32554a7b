/** From the addon's flat arrays to the records that every engine gives. */
import type { NativeAnswers } from "../../../native/index.js";
import type { Reply } from "../../records/answer.js";
import type { ContinuationScore } from "../language-model.js";
import type { NextTokens } from "../next-tokens.js";
import type { ChatTokens, TokenizedScoreRequest } from "./chat-tokens.js";
import { hashTokens } from "./hash-tokens.js";
import type { TokenizedRequest } from "./tokenized-request.js";

/** @param requests the whole group; the answers are of those items that have finished since the last call */
export function readReplies(
  answers: NativeAnswers,
  requests: readonly TokenizedRequest[],
  chat: ChatTokens,
  vocabularySize: number,
): { readonly index: number; readonly reply: Reply }[] {
  const { items, counts } = answers;
  const columns = items.length === 0 ? 0 : answers.topIds.length / items.length;
  let begin = 0;
  return Array.from(items, (index, row) => {
    const request = requests[index] as TokenizedRequest;
    const end = begin + (counts[row] as number);
    const tokenIds = Array.from(answers.tokenIds.subarray(begin, end));
    const ended = answers.ended[row] === 1;
    const listed = row * columns + Math.min(request.topTokens, columns);
    const top = Array.from(answers.topIds.subarray(row * columns, listed));
    const reply: Reply = {
      text: chat.text(ended ? tokenIds.slice(0, -1) : tokenIds),
      tokenIds,
      logprobs: Array.from(answers.logprobs.subarray(begin, end)),
      margins: request.temperature === 0 ? Array.from(answers.margins.subarray(begin, end)) : [],
      stop: ended ? "end_of_generation" : "max_tokens",
      first: {
        tokenIds: top,
        texts: top.map((id) => chat.tokenText(id)),
        logprobs: Array.from(answers.topLogprobs.subarray(row * columns, listed)),
        logSumExp: answers.logSumExps[row] as number,
        vocabularySize,
      },
      promptTokens: request.promptIds.length,
      promptSha256: hashTokens(request.promptIds),
    };
    begin = end;
    return { index, reply };
  });
}

/**
 * @param paths of the whole group, what was generated before
 * @param listed [paths] how many next tokens of each
 */
export function readNextTokens(
  answers: NativeAnswers,
  paths: readonly (readonly number[])[],
  listed: readonly number[],
  chat: ChatTokens,
): { readonly index: number; readonly step: NextTokens }[] {
  const columns = answers.items.length === 0 ? 0 : answers.topIds.length / answers.items.length;
  return Array.from(answers.items, (index, row) => {
    const path = paths[index] as readonly number[];
    const begin = row * columns;
    const end = begin + Math.min(listed[index] as number, columns);
    const ids = answers.topIds.slice(begin, end);
    const ends = Uint8Array.from(ids, (id) => (chat.isEndOfGeneration(id) ? 1 : 0));
    const whole = chat.text(path);
    const step = {
      ids,
      logprobs: answers.topLogprobs.slice(begin, end),
      ends,
      texts: Array.from(ids, (id, at) => (ends[at] === 1 ? whole : chat.text([...path, id]))),
    };
    return { index, step };
  });
}

/** @returns the scored tokens of each item that has finished: its continuation's, and the end of turn's last */
export function readScores(answers: NativeAnswers): { readonly index: number; readonly logprobs: number[] }[] {
  let begin = 0;
  return Array.from(answers.items, (index, row) => {
    const end = begin + (answers.scoreCounts[row] as number);
    const logprobs = Array.from(answers.scores.subarray(begin, end));
    begin = end;
    return { index, logprobs };
  });
}

/** @param logprobs of every item of scoringWork, in its order */
export function continuationScores(
  requests: readonly TokenizedScoreRequest[],
  logprobs: readonly (readonly number[])[],
): ContinuationScore[][] {
  let item = 0;
  return requests.map(({ continuations }) =>
    continuations.map((tokenIds) => {
      const scored = logprobs[item++] as readonly number[];
      return { tokenIds, logprobs: scored.slice(0, -1), endOfTurnLogprob: scored[scored.length - 1] as number };
    }),
  );
}
