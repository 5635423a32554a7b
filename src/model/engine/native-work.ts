/** A group as the addon takes it: flat arrays, no object for each token. */
import type { NativeWork } from "../../../native/index.js";
import type { TokenizedScoreRequest } from "./chat-tokens.js";
import type { TokenizedRequest } from "./tokenized-request.js";
import { uniformDraw } from "./uniform-draw.js";

const GREEDY = -1;

export function askingWork(requests: readonly TokenizedRequest[]): NativeWork {
  const lengths = requests.map(({ promptIds }) => promptIds.length);
  return {
    ...concatenated(requests.map(({ promptIds }) => promptIds)),
    scoreFrom: Int32Array.from(lengths),
    maxTokens: Int32Array.from(requests, ({ maxTokens }) => maxTokens),
    draws: drawsOf(requests),
    topTokens: requests.reduce((most, { topTokens }) => Math.max(most, topTokens), 0),
    readIds: new Int32Array(0),
  };
}

/** One item for each continuation, request after request: prompt, continuation, end of turn; all after the prompt is scored. */
export function scoringWork(requests: readonly TokenizedScoreRequest[]): NativeWork {
  const items = requests.flatMap(({ promptIds, continuations, endOfTurnId }) =>
    continuations.map((ids) => ({ ids: [...promptIds, ...ids, endOfTurnId], from: promptIds.length })),
  );
  return {
    ...concatenated(items.map(({ ids }) => ids)),
    scoreFrom: Int32Array.from(items, ({ from }) => from),
    maxTokens: new Int32Array(items.length),
    draws: new Float64Array(0),
    topTokens: 0,
    readIds: new Int32Array(0),
  };
}

/**
 * One item for each path: the prompt and what was generated so far, read where it ends. The prompt stays evaluated for the next
 * paths of the same one: which paths those are is decided by the numbers that came before, and so is what they come out as.
 */
export function nextTokensWork(
  promptIds: readonly number[],
  paths: readonly (readonly number[])[],
  topTokens: number,
): NativeWork {
  const prompts = paths.map((path) => [...promptIds, ...path]);
  return {
    ...concatenated(prompts),
    scoreFrom: Int32Array.from(prompts, ({ length }) => length),
    maxTokens: new Int32Array(paths.length),
    draws: new Float64Array(0),
    topTokens,
    readIds: new Int32Array(0),
    keep: promptIds.length,
  };
}

function concatenated(prompts: readonly (readonly number[])[]): Pick<NativeWork, "tokenIds" | "starts"> {
  const starts = new Int32Array(prompts.length + 1);
  prompts.forEach(({ length }, item) => {
    starts[item + 1] = (starts[item] as number) + length;
  });
  const tokenIds = new Int32Array(starts[prompts.length] as number);
  prompts.forEach((ids, item) => {
    tokenIds.set(ids, starts[item]);
  });
  return { tokenIds, starts };
}

/** [items × greatest maxTokens] a draw is a function of the item's seed and the position alone. */
function drawsOf(requests: readonly TokenizedRequest[]): Float64Array {
  if (requests.every(({ temperature }) => temperature === 0)) return new Float64Array(0);
  const columns = requests.reduce((most, { maxTokens }) => Math.max(most, maxTokens), 0);
  const draws = new Float64Array(requests.length * columns).fill(GREEDY);
  requests.forEach(({ temperature, maxTokens, seed = "" }, item) => {
    if (temperature === 0) return;
    for (let at = 0; at < maxTokens; at++) draws[item * columns + at] = uniformDraw(seed, at);
  });
  return draws;
}
