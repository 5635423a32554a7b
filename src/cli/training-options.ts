/** The options that say how to train: those of a study's `lora` section, written with hyphens, with its defaults. */
import { type Command, Option } from "commander";
import { InwardError } from "../errors.js";
import { loraSchema, toStudyLora } from "../plan/lora-schema.js";
import { LORA_TARGETS, type LoraSettings, type TrainingSettings } from "../records/training.js";

/** What a study has and a ready set has not. */
type Key = Exclude<keyof typeof loraSchema.shape, "examplesPerProperty">;

/** What commander found, by the study's keys; nothing stands there that the user did not write, but for negated flags. */
export type TrainingOptions = Readonly<Partial<Record<Key, string | boolean>>>;

const KEYS = Object.keys(loraSchema.shape).filter((key) => key !== "examplesPerProperty") as Key[];
const DEFAULTS: Readonly<Record<string, unknown>> = loraSchema.parse({});
const WORDS: Readonly<Partial<Record<Key, string>>> = {
  rank: "Rank of every LoRA pair.",
  dropout: "Probability that an input of the adapter is dropped.",
  treePacking: "Evaluate a shared beginning again for every example: slower, with the same gradient.",
  schedule: "How the learning rate goes on after its rise.",
  seed: "Of initial weights, order, dropout and the choice of validation prompts; 0 when absent.",
};

export function trainingOptions(command: Command): Command {
  for (const key of KEYS) command.addOption(optionOf(key));
  return command;
}

/**
 * @param initial the settings of the adapter to go on from, which then are the defaults
 * @throws TRAIN_SETTINGS, which names the option
 */
export function readTrainingSettings(
  options: TrainingOptions,
  initial: Omit<LoraSettings, "dropout"> | undefined,
): TrainingSettings {
  const given = KEYS.flatMap((key): [string, unknown][] => {
    const value = options[key];
    return value === undefined ? [] : [[key, toValue(key, value)]];
  });
  const parsed = loraSchema.safeParse({ ...initial, ...Object.fromEntries(given) });
  if (parsed.success) return toStudyLora(parsed.data, 0).settings;
  const [issue] = parsed.error.issues;
  const key = String(issue?.path[0] ?? "");
  throw new InwardError("TRAIN_SETTINGS", `--${hyphenated(key)} ${String(options[key as Key])}: ${issue?.message}`);
}

function optionOf(key: Key): Option {
  const value = DEFAULTS[key];
  const words = WORDS[key] ?? loraSchema.shape[key].description ?? `${key}.`;
  if (value === true) return new Option(`--no-${hyphenated(key)}`, words);
  if (value === false) return new Option(`--${hyphenated(key)}`, words);
  if (key === "targets") {
    return new Option("--targets <list>", `${words} Of ${LORA_TARGETS.join(",")} (default: all of them).`);
  }
  const text = value === undefined ? words : `${words} (default: ${value})`;
  const choices = CHOICES[key];
  return new Option(`--${hyphenated(key)} <${choices ? choices.join("|") : "n"}>`, text);
}

const CHOICES: Readonly<Partial<Record<Key, readonly string[]>>> = {
  order: ["by_prompt", "shuffled"],
  schedule: ["constant", "linear", "cosine"],
};

function toValue(key: Key, text: string | boolean): unknown {
  if (typeof text === "boolean") return text;
  if (key === "targets") return text.split(",").map((target) => target.trim());
  if (CHOICES[key]) return text;
  // What is no number goes on as it stands, for the schema to refuse.
  return text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text);
}

function hyphenated(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
