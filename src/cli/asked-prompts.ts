/** Which prompts a command asks: one as it is typed, those of a file, or a task's, with the spans of its words. */

import type { Command } from "commander";
import { InwardError } from "../errors.js";
import { markHypothetical, markObjectLevel, type MarkedQuestion } from "../probe/spans.js";
import { propertyNamed } from "../properties/all-properties.js";
import { countedReply } from "../properties/option-answers.js";
import { questionOn } from "../properties/option-letters.js";
import { extractChallengedBehavior, readReply, replyText } from "../properties/reading.js";
import { hypotheticalVariant, wordedFor } from "../properties/wordings.js";
import { turns } from "../run/open-model.js";
import { parsePrompts, readPromptFile } from "../run/prompt-lines.js";
import type { SteerOptions, SteerPrompt } from "../run/steer-prompts.js";
import { gatherProperties, joinProperties } from "../study/load-properties.js";
import { loadTask } from "../study/load-task.js";
import { chatKind, inFormOf } from "../tasks/plain-form.js";
import { commaSeparated, requireOneOf, sayDoubts } from "./answering.js";
import {
  type ChatOptions,
  prefixed,
  type PrefixOption,
  prefixOption,
  promptOptions,
  type PromptOptions,
  propertiesFromOption,
  type PropertiesFromOption,
  stringsOption,
  wholeNumber,
} from "./options.js";

export interface PromptsOptions extends ChatOptions, PromptOptions, PropertiesFromOption, PrefixOption {
  readonly file?: string;
  readonly task?: string;
  readonly property?: string;
  readonly strings: string;
}

/** @param tells what is told of a task's strings */
export function promptsOptions(command: Command, tells?: string): Command {
  const own = command
    .option("--file <path>", "prompts, one a line: JSONL, or .txt as they stand; - for the standard input")
    .option("-t, --task <task>", `held-out strings of this task${tells === undefined ? "" : `; ${tells}`}`)
    .option("-p, --property <property>", "with --task: ask for this property of the answer; the reply is read as it");
  return propertiesFromOption(promptOptions(prefixOption(stringsOption(own, "with --task: how many strings", "20"))));
}

/** Answers that something is told of, and which of them is each prompt's own. */
export interface ChoicesOptions {
  readonly choices: string;
  readonly valueKey?: string;
}

/** @param what they are */
export function choicesOptions(command: Command, what: string): Command {
  return command
    .requiredOption("--choices <list>", what)
    .option(
      "--value-key <key>",
      "key of each line that says which of them is its own; what the model says likeliest when absent",
    );
}

export function chosenAmong({ choices, valueKey }: ChoicesOptions) {
  return { choices: commaSeparated(choices), ...(valueKey === undefined ? {} : { valueKey }) };
}

/** @param command its name, for messages @throws USAGE none or several are given · PROMPTS_INVALID, TASK_*, PROPERTY_* */
export async function promptsToAsk(
  command: string,
  text: string | undefined,
  options: PromptsOptions,
): Promise<AskedPrompts> {
  const given = [text, options.file, options.task].filter((one) => one !== undefined).length;
  if (given !== 1) {
    requireOneOf(command, [
      { what: "a prompt or --file", given: text !== undefined || options.file !== undefined },
      { what: "--task", given: options.task !== undefined },
    ]);
    throw new InwardError(
      "USAGE",
      `${command} was given a prompt and --file; give one of the two: npx inward ${command} --help`,
    );
  }
  if (options.task === undefined && options.property !== undefined)
    throw new InwardError("USAGE", "--property goes with --task: its strings are what is asked about.");
  return options.task !== undefined ? taskPrompts(options.task, options) : plainPrompts(text, options.file);
}

export interface AskedPrompts {
  readonly prompts: readonly SteerPrompt[];
  readonly maxTokens: number;
  readonly reading: Pick<SteerOptions, "behaviorsOf" | "behaviorsAre">;
}

async function plainPrompts(text: string | undefined, file: string | undefined): Promise<AskedPrompts> {
  const prompts =
    file === undefined
      ? [{ id: "1", messages: turns("", text as string) }]
      : sayDoubts(parsePrompts(await readPromptFile(file), file));
  return { prompts, maxTokens: 48, reading: {} };
}

/** In the words of npx inward probe spans, which shows what its spans are. */
async function taskPrompts(name: string, options: PromptsOptions): Promise<AskedPrompts> {
  const task = prefixed(await loadTask(name), options);
  const own = joinProperties([
    { place: `the task ${name}`, own: task.ownProperties },
    { place: "--properties-from", own: gatherProperties(options, ".", "--properties-from") },
  ]);
  const kind = chatKind(options.chat);
  const definition = inFormOf(kind, task.definition);
  const words = { examples: options.examples, system: "" };
  const items = task.heldOut.slice(0, wholeNumber("--strings", options.strings));
  const property = options.property === undefined ? undefined : propertyNamed(options.property, own);
  const marked = items.map((item): MarkedQuestion => {
    if (property === undefined) return markObjectLevel(definition, item, words);
    return markHypothetical(definition, item, property, {
      ...words,
      template: wordedFor(kind, hypotheticalVariant(options.variant)),
      question: questionOn(property, definition),
    });
  });
  const prompts = items.map(({ id }, at) => ({ id, ...(marked[at] as MarkedQuestion) }));
  const isOwn = (one: string) => Object.hasOwn(own, one);
  if (property !== undefined) {
    const read: SteerOptions["behaviorsOf"] = (reply) => {
      return { [property.name]: readReply(property, replyText(reply), reply.stop) };
    };
    const are = { predictionOf: property.name, ...(isOwn(property.name) ? { own } : {}) };
    return { prompts, maxTokens: 12, reading: { behaviorsOf: read, behaviorsAre: are } };
  }
  const properties = definition.properties.map((one) => propertyNamed(one, own));
  const behaviorsOf: SteerOptions["behaviorsOf"] = (reply, prompt) => {
    const item = items[prompt] as (typeof items)[number];
    const said = countedReply(reply, definition, item);
    return Object.fromEntries(
      properties.map((one) => [
        one.name,
        extractChallengedBehavior(one, said, undefined, { ...item, reply }, definition.answerForm),
      ]),
    );
  };
  const are = { behaviors: definition.properties, ...(definition.properties.some(isOwn) ? { own } : {}) };
  return { prompts, maxTokens: definition.maxTokens, reading: { behaviorsOf, behaviorsAre: are } };
}
