/** The loss figure: what it draws of a training's losses. */
import { describe, expect, test } from "vitest";
import type { LossPoint } from "../../src/finetune/adapter/card.js";
import { lossFigure, lossSpec } from "../../src/report/figures/training-figure.js";

const losses = (count: number): LossPoint[] =>
  Array.from({ length: count }, (_, at) => ({
    step: at + 1,
    epoch: 1,
    lossNatsPerToken: 4 / (at + 1),
    answerTokens: at + 1,
    learningRate: 1e-3,
    gradientNorm: 1,
  }));
const validation = [{ step: 40, lossNatsPerToken: 0.2, answersRight: 1, answers: 2 }];
type Row = { step: number; series: string; loss: number };
const rowsOf = (spec: unknown) => (spec as { data: { values: Row[] } }).data.values;

describe("the loss figure", () => {
  test("is the same SVG twice, names its axes and its series, and holds no NaN", async () => {
    const svg = await lossFigure("Loss of <this> training", { losses: losses(40), validation });
    expect(await lossFigure("Loss of <this> training", { losses: losses(40), validation })).toBe(svg);
    for (const text of ["nats per answer token", "optimizer step", "validation examples", "&lt;this&gt;"]) {
      expect(svg).toContain(text);
    }
    expect(svg).not.toContain("NaN");
  });

  test("without validation, or with few steps, draws what there is and names nothing else", async () => {
    const few = await lossFigure("few", { losses: losses(3), validation: [] });
    expect(few).toContain("before its update");
    expect(few).not.toContain("validation examples");
    expect(few).not.toContain("running mean");
  });

  test("means weigh by answer tokens: with loss 4 / n over n tokens each step has 4 nats", () => {
    const rows = rowsOf(lossSpec({ losses: losses(40), validation: [] }));
    const means = rows.filter(({ series }) => series.includes("mean"));
    expect(means).toHaveLength(40);
    // Steps 8 to 12 around step 10: 5 × 4 nats over 8 + 9 + 10 + 11 + 12 tokens.
    expect(means[9]?.loss).toBeCloseTo(20 / 50, 12);
    // Only steps 1 to 3 at the first.
    expect(means[0]?.loss).toBeCloseTo(12 / 6, 12);
  });
});
