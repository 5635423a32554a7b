/** inward next: what a model may say next, the most likely tokens or the whole vocabulary. */

import { Command } from "commander";
import { InwardError } from "../errors.js";
import { nextFile, type NextToken, nextTokens } from "../exchange/next-file.js";
import { turns } from "../run/open-model.js";
import { parsePrompts, readPromptFile } from "../run/prompt-lines.js";
import { sayDoubts, requireOneOf, withOpenModel } from "./answering.js";
import {
  adapterFacts,
  type AdapterOptions,
  adapterOptions,
  findOptions,
  jsonOption,
  type JsonOption,
  type ModelOptions,
  modelOptions,
  noteAdapter,
  noteChat,
  wholeNumber,
} from "./options.js";
import { abortOnInterrupt, print, printJson, table } from "./output.js";
import { showProgress } from "./progress.js";

interface NextCommandOptions extends ModelOptions, AdapterOptions, JsonOption {
  readonly after: string;
  readonly top: string;
  readonly all?: boolean;
  readonly file?: string;
  readonly out?: string;
}

export function nextCommand(): Command {
  const command = new Command("next")
    .summary("what a model may say next: the most likely tokens, or the whole vocabulary")
    .description(
      "The tokens that may begin the answer to TEXT, or go on after --after, with their log-probabilities: natural logs at temperature 1\n" +
        "over the full vocabulary. --all lists every token; with --out it goes to a .npy (float64, prompts × vocabulary, by token id),\n" +
        ".parquet or .jsonl file, for TEXT or for every line of --file. What is done of a file stands in <out>.part until all is; the same\n" +
        "command again goes on from there.",
    )
    .argument("[text]", "the question");
  adapterOptions(modelOptions(command))
    .option("--after <text>", "an answer's beginning, from the first character after the prompt", "")
    .option("--top <k>", "most likely tokens", "20")
    .option("--all", "the whole vocabulary")
    .option("--file <path>", "prompts, one a line, as ask --file takes them; wants --all and --out")
    .option("-o, --out <path>", "with --all: .npy, .parquet or .jsonl; a manifest is written beside it");
  return jsonOption(command).action(next);
}

async function next(text: string | undefined, options: NextCommandOptions): Promise<void> {
  const { after, file, out, all } = options;
  requireOneOf("next", [
    { what: "a question", given: text !== undefined },
    { what: "--file", given: file !== undefined },
  ]);
  if ((out !== undefined || file !== undefined) && !all) {
    throw new InwardError(
      "USAGE",
      `${file === undefined ? "--out" : "--file"} is for the whole vocabulary; say --all too.`,
    );
  }
  if (file !== undefined && out === undefined)
    throw new InwardError("USAGE", "--file wants --out: where the distributions go, such as --out next.npy");
  const signal = abortOnInterrupt();
  if (out !== undefined) {
    const progress = showProgress();
    const prompts =
      file === undefined
        ? [{ id: "1", messages: turns("", text as string) }]
        : sayDoubts(parsePrompts(await readPromptFile(file), file));
    const made = await nextFile(prompts, options.model, {
      ...findOptions(options),
      engine: { device: options.device, gpuLayers: options.gpuLayers },
      signal,
      onProgress: progress.update,
      after,
      out,
      onFound: (found) => {
        noteAdapter(found);
        noteChat(found);
      },
    }).finally(progress.end);
    if (options.json) printJson(made);
    else
      print(
        `${made.prompts} × ${made.vocabularySize} log-probabilities${made.kept === 0 ? "" : `, ${made.kept} prompts from before`}\n${made.out}\n${made.manifest}`,
      );
    return;
  }
  await withOpenModel(options, { signal }, async (model) => {
    const messages = turns("", text as string);
    const prompt = await model.render(messages);
    const top = all ? undefined : wholeNumber("--top", options.top);
    const tokens = await nextTokens(model, messages, { after, top });
    const { file: found, adapter, manifest } = model;
    if (options.json) {
      const about = { model: found.source, sha256: found.sha256, ...adapterFacts(adapter, manifest) };
      printJson({ ...about, prompt, after, tokens });
      return;
    }
    print(`--- prompt (${prompt.tokenIds.length} tokens)\n${prompt.text}${after}`);
    print(`--- next (natural logs at temperature 1, full vocabulary)\n${tokenTable(tokens)}`);
  });
}

function tokenTable(tokens: readonly NextToken[]): string {
  return table(
    ["token id", "logprob", "probability", "text"],
    tokens.map(({ id, logprob, text }) => [
      String(id),
      logprob.toFixed(4),
      Math.exp(logprob).toFixed(6),
      JSON.stringify(text),
    ]),
  );
}
