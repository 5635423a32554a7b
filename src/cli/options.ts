/** The options of a command that asks a model with an adapter on it. */

import { type Command, Option } from "commander";
import { InwardError } from "../errors.js";
import { readAdapterCard, writeAdapterCard } from "../finetune/adapter/card.js";
import { type BaseCheck, checkAdapterBase } from "../finetune/adapter/saved-adapter.js";
import type { AdapterChoice } from "../model/language-model.js";
import { LORA_TARGETS, loraSchema, type LoraSettings, toStudyLora, type TrainingSettings } from "../study/schema.js";
import { note } from "./output.js";

export interface AdapterOptions {
  readonly adapter?: string;
  readonly adapterScale: string;
  readonly forceAdapter?: boolean;
}

/** An adapter, and what is known of whether it was trained on this base. */
interface ChosenAdapter {
  readonly choice: AdapterChoice & { readonly scale: number };
  readonly base: BaseCheck["base"];
}

export function adapterOptions(command: Command): Command {
  return command
    .option("--adapter <path>", "ask with this LoRA adapter (GGUF) on the model")
    .option("--adapter-scale <n>", "multiplies the adapter's alpha / rank; 0 leaves the base alone", "1")
    .option("--force-adapter", "take an adapter that was trained on another base; its card will say so");
}

/**
 * @param baseSha256 of the model file that will run
 * @returns undefined when no adapter was asked for
 * @throws USAGE · ADAPTER_NOT_FOUND · ADAPTER_INVALID (its card is not its own) · ADAPTER_BASE · STORE_* where a forced card cannot be written
 */
export async function chooseAdapter(options: AdapterOptions, baseSha256: string): Promise<ChosenAdapter | undefined> {
  if (options.adapter === undefined) return undefined;
  const scale = readScale(options.adapterScale);
  const card = await readAdapterCard(options.adapter);
  const check = checkAdapterBase(card, baseSha256, { force: options.forceAdapter === true });
  if (check.base === "no_card") note("The adapter has no card: only its shapes say that it is this model's.");
  if (check.base === "forced") {
    note(`The adapter was trained on another base, ${check.card.base.source}; its card now says that it was forced.`);
    if (check.card.forcedOnto?.length !== card?.forcedOnto?.length) await writeAdapterCard(options.adapter, check.card);
  }
  return { choice: { path: options.adapter, scale }, base: check.base };
}

function readScale(text: string): number {
  const scale = Number(text);
  if (text.trim() === "" || !Number.isFinite(scale)) {
    throw new InwardError("USAGE", `--adapter-scale wants a number, not "${text}".`);
  }
  return scale;
}

// The options that every command with one model shares.

export interface ModelOptions {
  readonly model: string;
  readonly encoding: "as_shipped" | "f16" | "f32";
  readonly device: "auto" | "cpu" | "cuda" | "vulkan" | "metal";
}

export function modelOptions(command: Command): Command {
  return command
    .option("-m, --model <model>", "registry name, hf: URI or path of a GGUF", "smollm2-135m-instruct")
    .addOption(
      new Option("--encoding <encoding>", "weights as they are, or re-encoded")
        .choices(["as_shipped", "f16", "f32"])
        .default("as_shipped"),
    )
    .addOption(
      new Option("--device <device>", "where to run")
        .choices(["auto", "cpu", "cuda", "vulkan", "metal"])
        .default("auto"),
    );
}

// The options that say how to train: those of a study's `lora` section, written with hyphens, with its defaults.

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
