/** Rates of a benchmark from what its rounds took; a model that writes nothing has none. */
import { expect, test } from "vitest";
import { scoreSpeed, type SpeedRound } from "../../src/quantize/measure-speed.js";
import { spreadCell } from "../../src/quantize/quantize-cells.js";

const round = (number: number, generatedTokens: number, generatingSeconds: number): SpeedRound => ({
  ...{ variant: "a", round: number, promptTokens: 256, readSeconds: 0.04, peakBytes: 1e6 },
  ...{ generatedTokens, generatingSeconds },
});

test("the middle of the rounds, the least and the most, in tokens a second", () => {
  const { reading, writing } = scoreSpeed([round(0, 48, 2), round(1, 48, 1), round(2, 48, 4)], "a");
  expect(reading).toEqual({ median: 6400, least: 6400, most: 6400 });
  expect(writing).toEqual({ median: 24, least: 12, most: 48 });
  expect(spreadCell(reading)).toMatchObject({ text: "6400" });
});

test("a round without a token leaves a reason, and no NaN", () => {
  const { writing } = scoreSpeed([round(0, 0, 0), round(1, 48, 1)], "a");
  const missing = "in 1 of 2 rounds it ended each answer before a token was written";
  expect(writing).toEqual({ missing });
  expect(JSON.stringify(spreadCell(writing))).toContain(missing);
});
