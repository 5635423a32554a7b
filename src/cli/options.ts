/** What several commands share, each written once: options, how they are read, and where what was renamed went. */

import { type Command, InvalidArgumentError, Option } from "commander";
import type { StoreFaults } from "../ask/answer-store.js";
import { InwardError } from "../errors.js";
import type { FindModelOptions, FoundModel, WornAdapter } from "../run/open-model.js";
import { trainingSettings } from "../run/train-from-file.js";
import { LORA_TARGETS, loraSchema, OMIT_SYSTEM } from "../study/schema.js";
import { engineSchema } from "../study/engine-schema.js";
import type { LoraSettings, StudyEngine, TrainingSettings } from "../study/study.js";
import { prefixNamed, underPrefix } from "../tasks/prefixes.js";
import type { Task } from "../tasks/task.js";
import { notice } from "./output.js";

export interface JsonOption {
  readonly json?: boolean;
}

export function jsonOption(command: Command, what = "print one JSON object"): Command {
  return command.option("--json", what);
}

export interface OfflineOption {
  readonly offline?: boolean;
}

export function offlineOption(
  command: Command,
  what = "never use the network: models must be on this machine",
): Command {
  return command.option("--offline", what);
}

// One model.

export interface ChatOptions {
  /** false: --no-system. */
  readonly system?: string | false;
  readonly chat?: string;
}

function chatOptions(command: Command): Command {
  return command
    .option("--system <text>", "system message of every prompt; omit for none at all")
    .option("--no-system", "no system message at all")
    .option(
      "--chat <how>",
      "template: the file's own chat template (default); plain: no markup, for base models; else the path of a Jinja file",
    );
}

export interface ModelOptions extends OfflineOption, ChatOptions {
  readonly model: string;
  readonly encoding: "as_shipped" | "f16" | "f32";
  readonly device: StudyEngine["device"];
  readonly gpuLayers: NonNullable<StudyEngine["gpuLayers"]>;
}

export function modelOptions(command: Command): Command {
  return chatOptions(
    offlineOption(
      encodingOption(
        command.option("-m, --model <model>", "registry name, hf: URI or path of a GGUF", "smollm2-135m-instruct"),
      )
        .addOption(
          new Option("--device <device>", "where to run: auto, cpu, or GPUs of one kind: cuda, vulkan:1, cuda:0,cuda:1")
            .argParser((text) => engineValue("device", text))
            .default("auto"),
        )
        .addOption(
          new Option(
            "--gpu-layers <n>",
            "layers whose weights lie on the GPUs: auto (as many as fit), all, or a number",
          )
            .argParser((text) => engineValue("gpuLayers", /^\d+$/.test(text) ? Number(text) : text))
            .default("auto"),
        ),
    ),
  );
}

/** A value as a study's `engine` section takes it. */
function engineValue<Key extends "device" | "gpuLayers">(key: Key, value: unknown): unknown {
  const issue = engineSchema.shape[key].safeParse(value).error?.issues[0];
  if (issue)
    throw new InvalidArgumentError(`It ${key === "device" ? issue.message : "must be auto, all, or a whole number"}.`);
  return value;
}

export function encodingOption(command: Command, what = "weights as they are, or re-encoded"): Command {
  return command.addOption(
    new Option("--encoding <encoding>", what).choices(["as_shipped", "f16", "f32"]).default("as_shipped"),
  );
}

export function threadsOption(command: Command, what: string, byDefault?: string): Command {
  return command.option("--threads <n>", what, byDefault);
}

// An adapter on it.

export interface AdapterOptions {
  readonly adapter?: string;
  readonly adapterScale: string;
  readonly forceAdapter?: boolean;
}

export function adapterOptions(command: Command): Command {
  return command
    .option("--adapter <path>", "ask with this LoRA adapter on the model: a GGUF, a PEFT folder, or its .safetensors")
    .option("--adapter-scale <n>", "multiplies the adapter's alpha / rank; 0 leaves the base alone", "1")
    .option("--force-adapter", "take an adapter that was trained on another base; its card will say so");
}

export interface CacheOption {
  readonly cache: boolean;
}

export function cacheOption(command: Command, when = ""): Command {
  return command.option("--no-cache", `${when}ask all of it, whatever was asked before, and keep nothing`);
}

/** What finds a model, from the options of the command line. @throws USAGE */
export function findOptions(
  options: ModelOptions & Partial<AdapterOptions>,
): Pick<FindModelOptions, "encoding" | "offline" | "system" | "chat" | "adapter" | "adapterScale" | "forceAdapter"> {
  const { encoding, offline, chat, adapter, forceAdapter } = options;
  return {
    encoding,
    offline,
    system: options.system === false ? OMIT_SYSTEM : options.system,
    chat,
    adapter,
    forceAdapter,
    adapterScale: number("--adapter-scale", options.adapterScale ?? "1"),
  };
}

/** Says what could not be verified of an adapter, or was overruled. */
export function noteAdapter({ adapter }: Pick<FoundModel, "adapter">): void {
  if (adapter?.base === "no_card") notice("The adapter has no card: only its shapes say that it is this model's.");
  if (adapter?.base === "forced") {
    notice(`The adapter was trained on another base, ${adapter.trainedOn}; its card now says that it was forced.`);
  }
}

/** How the model is spoken to, where there is something that a person could not guess. */
export function noteChat({ chat: { kind, system, words, templatePath } }: Pick<FoundModel, "chat">): void {
  if (templatePath !== undefined) notice(`The chat template is that of ${templatePath}.`);
  if (kind === "template" && system.kind === "omit") notice(`System message: ${words.system}.`);
  if (words.thinking !== undefined) notice(`Thinking: ${words.thinking}.`);
}

/** What the answer cache could not give, or could not keep: the numbers are the same, the time is not. */
export function noteCacheFaults({ torn, refused, unwritable }: StoreFaults): void {
  if (unwritable !== undefined) notice(`The answer cache keeps nothing of this: ${unwritable}`);
  if (torn + refused > 0)
    notice(`The answer cache had ${torn + refused} records that cannot be believed: they were asked.`);
}

/** What llama.cpp warned of while it read the model's file: a person decides whether its numbers still mean something. */
export function noteWarnings(warnings: readonly string[]): void {
  for (const warning of warnings) notice(`The model's file: ${warning}`);
}

/** What the JSON of a command says of the adapter that was worn. */
export function adapterFacts(adapter: WornAdapter | undefined, manifest: { readonly adapter?: object }): object {
  if (!adapter) return {};
  const { given, scale, base, convertedFrom } = adapter;
  return { adapter: { path: given, scale, ...manifest.adapter, base, convertedFrom } };
}

// How one question is put.

export interface PromptOptions {
  readonly variant: string;
  readonly examples: boolean;
}

export function promptOptions(command: Command): Command {
  return examplesOption(command.option("--variant <variant>", "wording of the hypothetical question", "minimal"));
}

export interface PropertiesFromOption {
  readonly propertiesFrom?: readonly string[];
}

export function propertiesFromOption(command: Command): Command {
  return command.option(
    "--properties-from <file>",
    "a YAML of properties of your own, as a study's propertiesFrom (repeatable)",
    collect,
  );
}

export interface PrefixOption {
  readonly prefix?: string;
}

export function prefixOption(command: Command): Command {
  return command.option("--prefix <name>", "the task under a prefix, a line above its question");
}

/** The task as it is asked under a prefix. @throws USAGE there is no such built-in one */
export function prefixed<Prefixed extends Pick<Task, "definition">>(
  task: Prefixed,
  { prefix }: PrefixOption,
): Prefixed {
  if (prefix === undefined) return task;
  return { ...task, definition: underPrefix(task.definition, prefix, prefixNamed(prefix, {}, "USAGE")) };
}

export function examplesOption(command: Command): Command {
  return command.option("--no-examples", "without the task's solved examples");
}

export function stringsOption(command: Command, what: string, byDefault: string): Command {
  return command.option("-n, --strings <n>", what, byDefault);
}

// A study.

export interface StudyCommandOptions extends OfflineOption, SetOption {
  readonly out?: string;
}

export function studyOptions(command: Command): Command {
  return offlineOption(
    setOption(
      command.option("-o, --out <folder>", "run folder, instead of runs/<study>-<plan hash>"),
      "change a key of the study, e.g. --set seed=3 (repeatable; stands in the plan)",
    ),
  );
}

export interface SetOption {
  readonly set: readonly string[];
}

export function setOption(command: Command, what: string): Command {
  return command.option("--set <key=value>", what, collect, []);
}

/** For an option that may be given again. */
export function collect(value: string, all: readonly string[] = []): string[] {
  return [...all, value];
}

// Values.

/** @throws USAGE */
export function wholeNumber(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new InwardError("USAGE", `${flag} wants a whole number from 1 on, not "${text}".`);
}

/** @throws USAGE */
export function number(flag: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value)) return value;
  throw new InwardError("USAGE", `${flag} wants a number, not "${text}".`);
}

// What is called otherwise today.

/** @param old what commander's message says when the old form is typed @param now what to type instead */
export function renamed(command: Command, old: RegExp, now: string): Command {
  return command.configureOutput({ outputError: (text, write) => write(old.test(text) ? `${text}${now}\n` : text) });
}

// How to train: the keys of a study's `lora` section, written with hyphens, with its defaults.

/** What a study has and a ready set has not. */
type Key = Exclude<keyof typeof loraSchema.shape, "examplesPerProperty">;

/** What commander found, by the study's keys; nothing stands there that the user did not write, but for negated flags. */
export type TrainingOptions = Readonly<Partial<Record<Key, string | boolean>>>;

const KEYS = Object.keys(loraSchema.shape).filter((key) => key !== "examplesPerProperty") as Key[];
const DEFAULTS: Readonly<Record<string, unknown>> = loraSchema.parse({});
const WORDS: Readonly<Partial<Record<Key, string>>> = {
  treePacking: "Evaluate a shared beginning again for every example: slower, with the same gradient.",
  seed: "Of initial weights, order, dropout and the choice of validation prompts; 0 when absent.",
};

export function trainingOptions(command: Command): Command {
  for (const key of KEYS) command.addOption(optionOf(key));
  // Off without a GPU and on with one: it can be said either way.
  return command.option("--no-activation-checkpointing", "Keep all activations, on a GPU too.");
}

/** What was given, as a study would have it. */
export function givenTraining(options: TrainingOptions): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    KEYS.flatMap((key): [string, unknown][] => {
      const value = options[key];
      return value === undefined ? [] : [[key, toValue(key, value)]];
    }),
  );
}

/**
 * @param initial the settings of the adapter to go on from, which then are the defaults
 * @throws TRAIN_SETTINGS, which names the option
 */
export function readTrainingSettings(
  options: TrainingOptions,
  initial: Omit<LoraSettings, "dropout"> | undefined,
): TrainingSettings {
  return trainingSettings(givenTraining(options), initial, (key) => [
    `--${hyphenated(key)}`,
    String(options[key as Key]),
  ]);
}

function optionOf(key: Key): Option {
  const value = DEFAULTS[key];
  const words = WORDS[key] ?? loraSchema.shape[key].description ?? `${key}.`;
  if (value === true) return new Option(`--no-${hyphenated(key)}`, words);
  if (value === false || key === "activationCheckpointing") return new Option(`--${hyphenated(key)}`, words);
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
