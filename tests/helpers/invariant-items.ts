/** Items of one group, and the question whether what becomes of one depends on the others. */
import type { Engine } from "../../native/index.js";
import { uniformDraw } from "../../src/model/engines/engine.js";
import { type Answered, answer, type Item, workOf } from "./native-engine.js";

const MAX_TOKENS = 5;

/** Over a tree: shared beginnings of several lengths, some drawn, some scored, a few so long that they want a larger cache. */
export const items: readonly Item[] = Array.from({ length: 18 }, (_, index) => ({
  ids: [
    ...Array.from({ length: index % 3 === 2 ? 70 : 24 }, (_, at) => 70 + (at % 40)),
    ...[70 + Math.floor(index / 12), 71, 72],
    ...Array.from({ length: index === 13 ? 260 : index % 12 }, (_, at) => 60 + ((index * 7 + at * (index % 4)) % 9)),
  ],
  maxTokens: MAX_TOKENS,
  ...(index % 5 === 0 ? { scoreFrom: 20 } : {}),
  ...(index % 3 === 0 ? { draws: Array.from({ length: MAX_TOKENS }, (_, at) => uniformDraw(`7/${index}`, at)) } : {}),
}));

export function ask(engine: Engine, which: readonly number[], sequences = 0): Map<number, Answered> {
  const group = which.map((index) => items[index] as Item);
  const { answers } = answer(engine, workOf(group, { topTokens: 6, readIds: Int32Array.of(3, 80), sequences }));
  return new Map(which.map((index, at) => [index, answers[at] as Answered]));
}

/** @returns items of which any number differs between two ways of asking */
export function different(one: ReadonlyMap<number, Answered>, other: ReadonlyMap<number, Answered>): number[] {
  return [...other].flatMap(([index, answered]) =>
    JSON.stringify(answered) === JSON.stringify(one.get(index)) ? [] : [index],
  );
}

/** The greatest difference of a most likely token's logprob, nats. */
export function furthest(one: ReadonlyMap<number, Answered>, other: ReadonlyMap<number, Answered>): number {
  return Math.max(
    ...[...other].flatMap(([index, { topIds, topLogprobs }]) => {
      const before = one.get(index) as Answered;
      const known = new Map(before.topIds.map((id, at) => [id, before.topLogprobs[at] as number]));
      return topIds.map((id, at) =>
        Math.abs((known.get(id) ?? (topLogprobs[at] as number)) - (topLogprobs[at] as number)),
      );
    }),
  );
}
