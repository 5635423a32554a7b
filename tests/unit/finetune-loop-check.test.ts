/** Settings from the command line, the hash of a set, and what a training tells on its way. */
import type { TrainingSettings } from "../../src/study/study.js";
import { describe, expect, test } from "vitest";
import { progressLine } from "../../src/cli/progress.js";
import { readTrainingSettings } from "../../src/cli/options.js";
import { trainingProgress } from "../../src/run/train-from-file.js";
import { requireSettings } from "../../src/finetune/train-adapter.js";
import { DEFAULT_TRAINING_SETTINGS } from "../helpers/training-settings.js";
import { hashExamples } from "../../src/finetune/set.js";
import { TrainingRate } from "../../src/finetune/loop.js";
import type { EncodedExample } from "../../src/model/language-model.js";

const settings: TrainingSettings = readTrainingSettings({}, undefined);
const example = (prompt: readonly number[], answer: readonly number[]): EncodedExample => ({
  tokenIds: [...prompt, ...answer],
  answerStart: prompt.length,
});

describe("settings from the command line", () => {
  test("the defaults are settings that the trainer accepts, and those of a study", () => {
    requireSettings(settings);
    expect(settings).toEqual(DEFAULT_TRAINING_SETTINGS);
  });

  test("flat options become settings", () => {
    const read = readTrainingSettings(
      { rank: "4", alpha: "8", targets: "q, v", learningRate: "1e-3", treePacking: false, maxSteps: "3", seed: "7" },
      undefined,
    );
    expect(read).toEqual({
      ...settings,
      lora: { ...settings.lora, rank: 4, alpha: 8, targets: ["q", "v"] },
      learningRate: 1e-3,
      treePacking: false,
      maxSteps: 3,
      seed: 7,
    });
  });

  test("an initial adapter's settings are the defaults, and what is written wins", () => {
    const initial = { rank: 3, alpha: 5, targets: ["k" as const] };
    expect(readTrainingSettings({}, initial).lora).toEqual({ ...initial, dropout: settings.lora.dropout });
    expect(readTrainingSettings({ alpha: "6" }, initial).lora.alpha).toBe(6);
  });

  test.each([
    ["learning-rate", { learningRate: "fast" }],
    ["learning-rate", { learningRate: "-1" }],
    ["rank", { rank: "" }],
    ["rank", { rank: "2.5" }],
    ["targets", { targets: "q,w" }],
    ["schedule", { schedule: "stepwise" }],
    ["beta1", { beta1: "1" }],
  ])("--%s %j is TRAIN_SETTINGS and named", (name, options) => {
    const attempt = () => readTrainingSettings(options, undefined);
    expect(attempt).toThrow(expect.objectContaining({ code: "TRAIN_SETTINGS" }));
    expect(attempt).toThrow(`--${name} `);
  });
});

describe("the hash of examples", () => {
  test("tells order, ids and where the answer begins apart", () => {
    const [a, b] = [example([1, 2], [3]), example([1], [2, 3])];
    const hashes = [[a], [b], [a, b], [b, a], [example([1, 2], [4])]].map(hashExamples);
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(hashExamples([example([1, 2], [3])])).toBe(hashExamples([a]));
  });
});

describe("progress", () => {
  test("the rate is that of the last 20 steps", () => {
    const rate = new TrainingRate();
    rate.add({ seconds: 100, exampleTokens: 1, evaluatedTokens: 1 });
    let last = rate.add({ seconds: 2, exampleTokens: 80, evaluatedTokens: 50 });
    for (let step = 0; step < 19; step++) last = rate.add({ seconds: 2, exampleTokens: 80, evaluatedTokens: 50 });
    expect(last).toEqual({ exampleTokensPerSecond: 40, evaluatedTokensPerSecond: 25, secondsPerStep: 2 });
  });

  test("the line tells steps, loss, both rates and the time left", () => {
    const report = {
      step: 3,
      totalSteps: 60,
      lossNatsPerToken: 1.23456,
      exampleTokensPerSecond: 318.4,
      evaluatedTokensPerSecond: 9.87,
      secondsLeft: 130.2,
    };
    expect(progressLine(trainingProgress(report))).toBe(
      "training: step 3/60 · loss 1.2346 · 318 example tokens/s (9.9 evaluated) · 2 min 11 s left",
    );
    expect(progressLine(trainingProgress({ ...report, step: 60 }))).not.toContain("left");
  });
});
