/** What is refused before anything is loaded, with the number, the name and the value. */
import type { TrainingSettings } from "../../src/study/study.js";
import { describe, expect, test } from "vitest";
import { requireExamples } from "../../src/finetune/chat-jsonl.js";
import { requireSettings } from "../../src/finetune/train-adapter.js";
import { DEFAULT_TRAINING_SETTINGS } from "../helpers/training-settings.js";
import type { ErrorCode } from "../../src/errors.js";

const refusal = (code: ErrorCode, ...parts: string[]) =>
  expect.objectContaining({ code, message: expect.stringMatching(new RegExp(parts.map(escapeRegExp).join(".*"))) });
const escapeRegExp = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

describe("requireExamples", () => {
  const fine = { tokenIds: [1, 2, 3], answerStart: 2 };

  test("takes what fits exactly", () => {
    requireExamples([fine, { tokenIds: [0, 9], answerStart: 1 }], 10, 3);
    requireExamples([{ tokenIds: [0, 1e9], answerStart: 1 }], undefined, undefined);
  });

  test("an empty set", () => {
    expect(() => requireExamples([], 10, 8)).toThrow(refusal("TRAIN_EMPTY_SET"));
  });

  test.each([
    [{ tokenIds: [1, 2, 3], answerStart: 3 }, "TRAIN_EXAMPLE", "3"],
    [{ tokenIds: [1, 2, 3], answerStart: 4 }, "TRAIN_EXAMPLE", "4"],
    [{ tokenIds: [1, 2, 3], answerStart: 0 }, "TRAIN_EXAMPLE", "0"],
    [{ tokenIds: [1, 2, 3], answerStart: -1 }, "TRAIN_EXAMPLE", "-1"],
    [{ tokenIds: [1, 2, 3], answerStart: 1.5 }, "TRAIN_EXAMPLE", "1.5"],
    [{ tokenIds: [1, 10, 3], answerStart: 2 }, "TRAIN_EXAMPLE", "id 10"],
    [{ tokenIds: [1, -7, 3], answerStart: 2 }, "TRAIN_EXAMPLE", "id -7"],
    [{ tokenIds: [1, 2.5, 3], answerStart: 2 }, "TRAIN_EXAMPLE", "id 2.5"],
    [{ tokenIds: [1, Number.NaN], answerStart: 1 }, "TRAIN_EXAMPLE", "id NaN"],
    [{ tokenIds: [1, 2, 3, 4, 5], answerStart: 2 }, "TRAIN_CONTEXT", "5 tokens; the model's context holds 4"],
  ] as const)("%j", (example, code, part) => {
    expect(() => requireExamples([fine, example, fine], 10, 4)).toThrow(refusal(code, "Example 2", part));
  });
});

describe("requireSettings", () => {
  test("takes the defaults and the ends of ranges", () => {
    requireSettings(DEFAULT_TRAINING_SETTINGS);
    requireSettings({
      ...DEFAULT_TRAINING_SETTINGS,
      maxSteps: 1,
      warmupShare: 1,
      validationShare: 0,
      validateEverySteps: 0,
      maxGradientNorm: 0,
      beta1: 0,
    });
  });

  test.each([
    ["epochs", 0],
    ["epochs", 1.5],
    ["maxSteps", 0],
    ["batchExamples", 0],
    ["microbatchTokens", -5],
    ["order", "random"],
    ["treePacking", "yes"],
    ["learningRate", 0],
    ["learningRate", Number.POSITIVE_INFINITY],
    ["schedule", "step"],
    ["warmupShare", 1.1],
    ["weightDecay", -0.1],
    ["beta1", 1],
    ["beta2", Number.NaN],
    ["epsilon", 0],
    ["maxGradientNorm", -1],
    ["seed", -1],
    ["validationShare", 1],
    ["validateEverySteps", -1],
    ["checkpointEverySteps", 0],
    ["activationCheckpointing", 1],
    ["lora.rank", 0],
    ["lora.alpha", -32],
    ["lora.dropout", 1],
    ["lora.targets", []],
    ["lora.targets", ["q", "q"]],
    ["lora.targets", ["q", "lm_head"]],
  ] as const)("%s: %j", (key, value) => {
    const name = key.replace("lora.", "");
    const settings = (
      key === name
        ? { ...DEFAULT_TRAINING_SETTINGS, [name]: value }
        : { ...DEFAULT_TRAINING_SETTINGS, lora: { ...DEFAULT_TRAINING_SETTINGS.lora, [name]: value } }
    ) as TrainingSettings;
    const shown = typeof value === "number" ? String(value) : JSON.stringify(value);
    expect(() => requireSettings(settings)).toThrow(refusal("TRAIN_SETTINGS", `${key} is ${shown}`));
  });

  test("a setting that is missing", () => {
    const { beta1: _, ...settings } = DEFAULT_TRAINING_SETTINGS;
    expect(() => requireSettings(settings as TrainingSettings)).toThrow(refusal("TRAIN_SETTINGS", "beta1 is missing"));
  });
});
