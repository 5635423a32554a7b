/** inward ask: one question to one model, with everything there is to see about the answer; or a file of them. */

import { Command } from "commander";
import { InwardError } from "../errors.js";
import { propertyNamed } from "../properties/all-properties.js";
import { readReply, replyText } from "../properties/reading.js";
import { hypotheticalAbout, hypotheticalTurns, hypotheticalVariant, wordedFor } from "../properties/wordings.js";
import { questionOn } from "../properties/option-letters.js";
import type { OwnProperties } from "../properties/own-property.js";
import type { BehaviorProperty, Extraction } from "../properties/property.js";
import {
  type AnsweredToken,
  answeredTokens,
  askFile,
  type AskingSettings,
  askingRequests,
  settledAsking,
} from "../run/ask-file.js";
import { parsePrompts, parseTexts, readPromptFile } from "../run/prompt-lines.js";
import { gatherProperties, joinProperties } from "../study/load-properties.js";
import { loadTask } from "../study/load-task.js";
import type { ChatMessage, Reply } from "../tasks/answer.js";
import { listedToken, type TokenText } from "../tasks/answer-tokens.js";
import { chatKind, inFormOf } from "../tasks/plain-form.js";
import { lonePrompt, objectLevelPrompt } from "../tasks/task.js";
import { answerFile, answersText, sayDoubts, requireOneOf, withOpenModel } from "./answering.js";
import {
  adapterFacts,
  type AdapterOptions,
  adapterOptions,
  type CacheOption,
  cacheOption,
  jsonOption,
  type JsonOption,
  modelOptions,
  type ModelOptions,
  number,
  prefixed,
  type PrefixOption,
  prefixOption,
  type PromptOptions,
  promptOptions,
  type PropertiesFromOption,
  propertiesFromOption,
  wholeNumber,
} from "./options.js";
import { abortOnInterrupt, print, printJson, table } from "./output.js";

interface AskCommandOptions
  extends ModelOptions,
    AdapterOptions,
    PromptOptions,
    PropertiesFromOption,
    PrefixOption,
    JsonOption,
    CacheOption {
  readonly task?: string;
  readonly property?: string;
  readonly file?: string;
  readonly out?: string;
  readonly maxTokens?: string;
  readonly temperature: string;
  readonly seed: string;
  readonly samples: string;
  readonly top: string;
  readonly allPositions?: boolean;
}

export function askCommand(): Command {
  const command = adapterOptions(modelOptions(new Command("ask")))
    .summary("put one question to a model, or a file of them: object-level, or hypothetical with --property")
    .description(
      "Asks TEXT as it stands, or as a string of --task. With --property the question becomes hypothetical: the prompt is\n" +
        "quoted and the model is asked for that property of its own answer. Shows the exact rendered prompt, the answer and its logprobs.\n" +
        'With --file every line is a prompt, {"prompt": …} or {"messages": […]}, and the answers go to --out; the same command again\n' +
        "goes on where it ended. --task and --property hold for every line then, whose prompt is the string.",
    )
    .argument("[text]", "the question, or with --task one string of the task")
    .option("-t, --task <task>", "ask TEXT as a string of this task")
    .option("-p, --property <property>", "ask for this property of the answer instead of for the answer")
    .option("--file <path>", "prompts, one a line: JSONL, or .txt as they stand; - for the standard input")
    .option("-o, --out <path>", "with --file: the JSONL of answers; its manifest is written beside it");
  propertiesFromOption(promptOptions(prefixOption(command)))
    .option("--max-tokens <n>", "longest answer")
    .option(
      "--temperature <t>",
      "0: most likely token; above: drawn from softmax(logits / t), nothing cut off; logprobs stay those at 1",
      "0",
    )
    .option("--samples <n>", "answers to each prompt, each a draw of its own", "1")
    .option("--seed <seed>", "what a draw is a function of", "0")
    .option("--top <k>", "most likely tokens listed at the first position of an answer", "10")
    .option("--all-positions", "list them at every position");
  return jsonOption(cacheOption(command, "with --file: ")).action(ask);
}

async function ask(text: string | undefined, options: AskCommandOptions): Promise<void> {
  requireOneOf("ask", [
    { what: "a question", given: text !== undefined },
    { what: "--file", given: options.file !== undefined },
  ]);
  if (options.file !== undefined) return askPrompts(options.file, options);
  if (options.out !== undefined) throw new InwardError("USAGE", "--out goes with --file; one answer is shown here.");
  await askOne(text as string, options);
}

async function askOne(text: string, options: AskCommandOptions): Promise<void> {
  const signal = abortOnInterrupt();
  const { messages: worded, maxTokens, property } = await askedWords(options);
  const messages = worded(text);
  const settings = askingSettings(options, maxTokens);
  await withOpenModel(options, { signal, sequences: settings.samples === 1 ? 1 : undefined }, async (model) => {
    const { file, adapter, manifest } = model;
    const prompt = await model.render(messages);
    // The first draw is that of the library's answer().
    const requests = askingRequests({ id: "", messages }, settings).map((request, sample) => ({
      ...request,
      ...(settings.temperature > 0 ? { seed: sample === 0 ? settings.seed : `${settings.seed}/${sample}` } : {}),
    }));
    const replies = await model.ask(requests, { signal });
    const readings = replies.map((reply) => (property ? readReply(property, replyText(reply), reply.stop) : undefined));
    if (options.json) {
      const { source, sha256 } = file;
      const { warnings } = model.facts;
      const { system, variables, words } = model.chat;
      const chat = { kind: model.chat.kind, system, variables, words };
      const [reply, reading] = [replies[0], readings[0]];
      const all =
        settings.samples === 1 ? {} : { samples: replies.map((one, at) => ({ reply: one, reading: readings[at] })) };
      const about = { model: source, sha256, warnings, chat, ...adapterFacts(adapter, manifest) };
      printJson({ ...about, prompt, reply, reading, ...all });
      return;
    }
    print(
      `--- prompt (${prompt.tokenIds.length} tokens, ${file.encoding}, sha256 ${file.sha256.slice(0, 12)}…)\n${prompt.text}`,
    );
    if (manifest.adapter) {
      const { sha256, scale } = manifest.adapter;
      print(`--- adapter (sha256 ${sha256.slice(0, 12)}…, scale ${scale}, base ${adapter?.base})`);
    }
    replies.forEach((reply, sample) => {
      printReply(reply, sample, readings[sample], options.property, settings);
    });
  });
}

function printReply(
  reply: Reply,
  sample: number,
  reading: Extraction | undefined,
  property: string | undefined,
  settings: Required<AskingSettings>,
): void {
  const which = settings.samples === 1 ? "" : ` ${sample + 1} of ${settings.samples}`;
  print(`--- answer${which} (${reply.stop})\n${reply.text}`);
  if (reading)
    print(`--- read as ${property}: ${reading.ok ? JSON.stringify(reading.value) : `nothing (${reading.reason})`}`);
  const tokens = answeredTokens(reply, settings);
  print(
    `--- tokens (logprob: natural log at temperature 1, full vocabulary; margin: best minus second best, nats)\n${tokenTable(tokens, settings.allPositions)}`,
  );
  if (settings.top === 0 || sample > 0) return;
  print(
    `--- first position (log-sum-exp ${reply.first.logSumExp.toFixed(4)} over ${reply.first.vocabularySize} tokens)\n${topTable(reply)}`,
  );
}

/** A file of prompts: each answer is a line of --out. */
async function askPrompts(path: string, options: AskCommandOptions): Promise<void> {
  const { out, task, property } = options;
  if (out === undefined)
    throw new InwardError("USAGE", "--file wants --out: the file that the answers go to, such as --out answers.jsonl");
  const signal = abortOnInterrupt();
  const bytes = await readPromptFile(path);
  const worded = task !== undefined || property !== undefined ? await askedWords(options) : undefined;
  const prompts = worded
    ? sayDoubts(parseTexts(bytes, path)).map(({ text, ...line }) => ({ ...line, messages: worded.messages(text) }))
    : sayDoubts(parsePrompts(bytes, path));
  const done = await answerFile(options, (common) =>
    askFile(prompts, options.model, {
      ...common,
      ...askingSettings(options, worded?.maxTokens),
      ...(worded?.property ? { property: worded.property.name, ownProperties: worded.own } : {}),
      out,
      signal,
    }),
  );
  if (options.json) printJson(done);
  else print(answersText(done));
}

function askingSettings(options: AskCommandOptions, maxTokens: number | undefined): Required<AskingSettings> {
  return settledAsking({
    maxTokens: options.maxTokens === undefined ? maxTokens : wholeNumber("--max-tokens", options.maxTokens),
    temperature: number("--temperature", options.temperature),
    samples: wholeNumber("--samples", options.samples),
    seed: options.seed,
    top: number("--top", options.top),
    allPositions: options.allPositions === true,
  });
}

/** How a text is put to the model. */
interface AskedWords {
  readonly messages: (text: string) => ChatMessage[];
  /** Longest answer where nobody says. */
  readonly maxTokens: number;
  /** What is asked for in the place of an answer, and own definitions, it or what it reads among them. */
  readonly property?: BehaviorProperty;
  readonly own: OwnProperties;
}

async function askedWords(options: AskCommandOptions): Promise<AskedWords> {
  const { examples, propertiesFrom, variant } = options;
  if (options.task === undefined && options.prefix !== undefined) {
    throw new InwardError("USAGE", "--prefix stands above the question of a task: name one by --task.");
  }
  const task = options.task === undefined ? undefined : prefixed(await loadTask(options.task), options);
  const own = joinProperties([
    { place: `the task ${options.task}`, own: task?.ownProperties ?? {} },
    { place: "--properties-from", own: gatherProperties({ propertiesFrom }, ".", "--properties-from") },
  ]);
  const kind = chatKind(options.chat);
  const definition = task && inFormOf(kind, task.definition);
  const promptOf = (text: string) =>
    definition
      ? objectLevelPrompt(definition, { text }, { examples })
      : lonePrompt(text, kind === "plain" || undefined);
  const system: ChatMessage = { role: "system", content: "" };
  if (options.property === undefined) {
    const messages = (text: string): ChatMessage[] => {
      const { solved, before, question } = promptOf(text);
      return [system, ...solved, ...before, { role: "user", content: question }];
    };
    return { messages, maxTokens: task?.definition.maxTokens ?? 64, own };
  }
  const template = wordedFor(kind, hypotheticalVariant(variant));
  const property = propertyNamed(options.property, own);
  const question = definition ? questionOn(property, definition) : property.question;
  const messages = (text: string): ChatMessage[] => [
    system,
    ...(definition
      ? hypotheticalAbout(definition, { text }, property, { template, question, examples })
      : hypotheticalTurns(template, promptOf(text), question)),
  ];
  return { messages, maxTokens: 12, property, own };
}

function tokenTable(tokens: readonly AnsweredToken[], withAlternatives: boolean): string {
  const header = ["token id", "logprob", "margin", "text"];
  return table(
    withAlternatives ? [...header, "most likely here"] : header,
    tokens.map(({ id, logprob, margin, alternatives = [], ...token }) => {
      const others = alternatives.map((one) => `${tokenWords(one)} ${one.logprob.toFixed(2)}`).join("  ");
      const row = [String(id), logprob.toFixed(4), margin.toFixed(4), tokenWords(token)];
      return withAlternatives ? [...row, others] : row;
    }),
  );
}

/** A part of a character by its bytes. */
function tokenWords({ text, bytes }: TokenText): string {
  return bytes === undefined ? JSON.stringify(text) : `bytes ${bytes}`;
}

function topTable({ first }: Reply): string {
  return table(
    ["token id", "logprob", "probability", "text"],
    first.tokenIds.map((id, at) => {
      const logprob = first.logprobs[at] as number;
      return [String(id), logprob.toFixed(4), Math.exp(logprob).toFixed(4), tokenWords(listedToken(first, at))];
    }),
  );
}
