/** Refuses settings that make no training, before anything is loaded. Pure. */
import { InwardError } from "../errors.js";
import { LORA_TARGETS, type LoraSettings, type TrainingSettings } from "../records/training.js";

interface Rule {
  readonly holds: (value: unknown) => boolean;
  readonly wants: string;
}
type Rules<Keys extends string> = Readonly<Record<Keys, Rule>>;

const number = (holds: (value: number) => boolean, wants: string): Rule => ({
  holds: (value) => typeof value === "number" && Number.isFinite(value) && holds(value),
  wants,
});
const oneOf = (...values: unknown[]): Rule => ({
  holds: (value) => values.includes(value),
  wants: values.join(" or "),
});

const ABOVE_ZERO = number((value) => value > 0, "a number above 0");
const ZERO_OR_MORE = number((value) => value >= 0, "a number from 0 on");
const BELOW_ONE = number((value) => value >= 0 && value < 1, "from 0 to below 1");
const SHARE = number((value) => value >= 0 && value <= 1, "from 0 to 1");
const COUNT = number((value) => Number.isSafeInteger(value) && value >= 1, "a whole number from 1 on");
const WHOLE = number((value) => Number.isSafeInteger(value) && value >= 0, "a whole number from 0 on");
const YES_OR_NO = oneOf(true, false);

const SETTINGS: Rules<Exclude<keyof TrainingSettings, "lora">> = {
  epochs: COUNT,
  maxSteps: COUNT,
  batchExamples: COUNT,
  microbatchTokens: COUNT,
  order: oneOf("by_prompt", "shuffled"),
  treePacking: YES_OR_NO,
  learningRate: ABOVE_ZERO,
  schedule: oneOf("constant", "linear", "cosine"),
  warmupShare: SHARE,
  weightDecay: ZERO_OR_MORE,
  beta1: BELOW_ONE,
  beta2: BELOW_ONE,
  epsilon: ABOVE_ZERO,
  maxGradientNorm: ZERO_OR_MORE,
  seed: WHOLE,
  validationShare: BELOW_ONE,
  validateEverySteps: WHOLE,
  checkpointEverySteps: COUNT,
  activationCheckpointing: YES_OR_NO,
};

const LORA: Rules<keyof LoraSettings> = {
  rank: COUNT,
  alpha: ABOVE_ZERO,
  dropout: BELOW_ONE,
  targets: {
    holds: (value) =>
      Array.isArray(value) &&
      value.length > 0 &&
      value.every((target) => LORA_TARGETS.includes(target)) &&
      new Set(value).size === value.length,
    wants: `some of ${LORA_TARGETS.join(", ")}, each once`,
  },
};

/** @throws TRAIN_SETTINGS, which names the first setting that is out of range and its value */
export function requireSettings(settings: TrainingSettings): void {
  const { lora, maxSteps, ...others } = settings;
  check("lora.", lora, LORA);
  const { maxSteps: ofMaxSteps, ...rules } = SETTINGS;
  check("", others, rules);
  if (maxSteps !== undefined) check("", { maxSteps }, { maxSteps: ofMaxSteps });
}

function check<Keys extends string>(prefix: string, values: Readonly<Record<Keys, unknown>>, rules: Rules<Keys>): void {
  for (const key of Object.keys(rules) as Keys[]) {
    const { holds, wants } = rules[key];
    const value = values[key];
    if (holds(value)) continue;
    const shown = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? "missing");
    throw new InwardError("TRAIN_SETTINGS", `${prefix}${key} is ${shown}; it must be ${wants}.`);
  }
}
