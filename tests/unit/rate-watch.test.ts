import { expect, test } from "vitest";
import { RateWatch } from "../../src/ask/groups.js";

const took = (evaluatedTokens: number, decodeSeconds: number) => ({
  evaluatedTokens,
  decodeSeconds,
  distinctTokens: evaluatedTokens,
  mostSequences: 1,
  cells: 256,
  wantedCells: 256,
  waited: 0,
  readSeconds: 0,
});

test("a group at less than a third of the median rate of those before it is told of, whatever its size", () => {
  const watch = new RateWatch();
  expect([watch.add(took(100, 1)), watch.add(took(50, 1)), watch.add(took(240, 2))]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(watch.add(took(340, 10))).toBeUndefined();
  // Rates so far: 34, 50, 100, 120.
  expect(watch.add(took(240, 10))).toEqual({ tokensPerSecond: 24, usualTokensPerSecond: 75 });
});

test("no verdict from fewer than three groups, nor on a group without tokens", () => {
  const watch = new RateWatch();
  watch.add(took(1000, 1));
  watch.add(took(1000, 1));
  expect(watch.add(took(1, 1))).toBeUndefined();
  expect(watch.add(took(0, 0))).toBeUndefined();
});
