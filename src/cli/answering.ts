/** What the commands that ask a model without a study have in common: one model that is opened, or a file of answers that is written. */

import { Command } from "commander";
import { InwardError } from "../errors.js";
import type { AnswerFileOptions, AnswersFile } from "../run/answers-file.js";
import { type OpenModel, openModel } from "../run/open-model.js";
import { doubtfulKeys, type PromptLine } from "../run/prompt-lines.js";
import {
  adapterOptions,
  type AdapterOptions,
  cacheOption,
  type CacheOption,
  findOptions,
  jsonOption,
  type JsonOption,
  modelOptions,
  type ModelOptions,
  noteAdapter,
  noteCacheFaults,
  noteChat,
  noteWarnings,
} from "./options.js";
import { abortOnInterrupt, notice, print, printJson } from "./output.js";
import { showProgress } from "./progress.js";

/** What a command can be given in one of two ways. @throws USAGE both, or neither */
export function requireOneOf(
  command: string,
  [one, other]: readonly [
    { readonly what: string; readonly given: boolean },
    { readonly what: string; readonly given: boolean },
  ],
): void {
  if (one.given !== other.given) return;
  const both = one.given ? `${one.what} and ${other.what}` : `neither ${one.what} nor ${other.what}`;
  throw new InwardError("USAGE", `${command} was given ${both}; give one of the two: npx inward ${command} --help`);
}

/** Opens the model of the options with a line of progress, says what there is to say of it, and closes it after the job. */
export async function withOpenModel(
  options: ModelOptions & AdapterOptions,
  { signal, sequences }: { readonly signal: AbortSignal; readonly sequences?: number },
  job: (model: OpenModel) => Promise<void>,
): Promise<void> {
  const progress = showProgress();
  const model = await openModel(options.model, {
    ...findOptions(options),
    engine: { device: options.device, gpuLayers: options.gpuLayers, ...(sequences === undefined ? {} : { sequences }) },
    signal,
    onProgress: progress.update,
  }).finally(progress.end);
  try {
    noteAdapter(model);
    noteChat(model);
    noteWarnings(model.facts.warnings);
    await job(model);
  } finally {
    await model.dispose();
  }
}

/** Says which keys of a file of prompts may be slips. @returns the lines */
export function sayDoubts<Line extends Pick<PromptLine, "id" | "meta">>(lines: readonly Line[]): readonly Line[] {
  for (const doubt of doubtfulKeys(lines)) notice(doubt);
  return lines;
}

/** Of a command whose only work is a file of what a model answers. */
export interface AnswerFileCommand extends ModelOptions, AdapterOptions, CacheOption, JsonOption {
  readonly out: string;
}

/** With the options that say which model. */
export function answerFileCommand(name: string): Command {
  return adapterOptions(modelOptions(new Command(name)));
}

/** The options that say where to. @param holds what the file has in its lines */
export function outOptions(command: Command, holds: string): Command {
  const withOut = command.requiredOption("-o, --out <path>", `${holds}; its manifest is written beside it`);
  return jsonOption(cacheOption(withOut));
}

/** Runs the job, and prints what it made. @param text of it, above where the file is */
export async function printAnswerFile<Done extends AnswersFile>(
  options: AnswerFileCommand,
  job: (common: AnswerFileOptions) => Promise<Done>,
  text: (done: Done) => string,
): Promise<void> {
  const signal = abortOnInterrupt();
  const done = await answerFile(options, (common) => job({ ...common, out: options.out, signal }));
  if (options.json) printJson(done);
  else print(`${text(done)}\n${answersText(done)}`);
}

/** Comma-separated, blanks beside the commas no part of them. */
export function commaSeparated(text: string): string[] {
  return text.split(",").map((one) => one.trim());
}

/** Runs the job with a line of progress. */
export async function answerFile<Done extends AnswersFile>(
  options: ModelOptions & AdapterOptions & CacheOption,
  job: (common: Omit<AnswerFileOptions, "out" | "signal">) => Promise<Done>,
): Promise<Done> {
  const progress = showProgress();
  const done = await job({
    ...findOptions(options),
    engine: { device: options.device, gpuLayers: options.gpuLayers, cache: options.cache },
    onProgress: progress.update,
    onFound: (found) => {
      noteAdapter(found);
      noteChat(found);
    },
    onCrash: ({ message, questions, key }) =>
      notice(`The engine crashed on ${key ?? `${questions} questions`} and is opened anew. ${message}`),
  }).finally(progress.end);
  if (done.cacheFaults) noteCacheFaults(done.cacheFaults);
  for (const key of done.setAside) notice(`Set aside, because the engine crashed on it each time: ${key}`);
  return done;
}

/** Where the file is, and how much of it there was before. */
export function answersText({ out, manifest, lines, kept, fromCache, setAside }: AnswersFile): string {
  const cached = fromCache === 0 ? "" : `, ${fromCache} from the answer cache`;
  const before = `${kept === 0 ? "" : `, ${kept} of them from before`}${cached}`;
  const missing = setAside.length === 0 ? "" : `; ${setAside.length} have no answer (setAside)`;
  return `${lines} lines${before}${missing}\n${out}\n${manifest}`;
}
