/** inward score-text: how likely given texts are after a prompt, exactly. */

import { Command } from "commander";
import { InwardError } from "../errors.js";
import { turns } from "../run/open-model.js";
import { parseScoredLines, readPromptFile } from "../run/prompt-lines.js";
import { type ScoredContinuation, scoreFile, scoreText } from "../run/score-file.js";
import { answerFile, answersText, sayDoubts, withOpenModel } from "./answering.js";
import {
  adapterFacts,
  type AdapterOptions,
  adapterOptions,
  type CacheOption,
  cacheOption,
  jsonOption,
  type JsonOption,
  type ModelOptions,
  modelOptions,
} from "./options.js";
import { abortOnInterrupt, print, printJson, table } from "./output.js";

interface ScoreTextOptions extends ModelOptions, AdapterOptions, JsonOption, CacheOption {
  readonly file?: string;
  readonly out?: string;
  readonly written?: boolean;
}

export function scoreTextCommand(): Command {
  const command = new Command("score-text")
    .summary("how likely given texts are after a prompt: log-probabilities, exact, token by token")
    .description(
      "The log-probability of each CONTINUATION after PROMPT: the sum over its tokens, per token and per byte, and that the turn ends\n" +
        "behind it. Natural logs at temperature 1 over the full vocabulary. With --file every line is\n" +
        '{"prompt": …, "continuations": […]}, and the scores go to --out; the same command again goes on where it ended.',
    )
    .argument("[prompt]", "what comes before")
    .argument("[continuations...]", "texts that may follow, from the first character after the prompt");
  adapterOptions(modelOptions(command))
    .option("--file <path>", "JSONL with prompt (or messages) and continuations; - for the standard input")
    .option("-o, --out <path>", "with --file: the JSONL of scores; its manifest is written beside it")
    .option(
      "--written",
      "continuations are answers as people write them: the blank that a model sets before one is added",
    );
  return jsonOption(cacheOption(command, "with --file: ")).action(scoreTexts);
}

async function scoreTexts(
  prompt: string | undefined,
  continuations: readonly string[],
  options: ScoreTextOptions,
): Promise<void> {
  const { file, out } = options;
  const meant = options.written ? ("written" as const) : ("generated" as const);
  const signal = abortOnInterrupt();
  if (file !== undefined) {
    if (prompt !== undefined)
      throw new InwardError("USAGE", "score-text was given a prompt and --file; give one of the two.");
    if (out === undefined)
      throw new InwardError("USAGE", "--file wants --out: the file that the scores go to, such as --out scores.jsonl");
    const lines = sayDoubts(parseScoredLines(await readPromptFile(file), file));
    const done = await answerFile(options, (common) =>
      scoreFile(lines, options.model, { ...common, continuations: meant, out, signal }),
    );
    if (options.json) printJson(done);
    else print(answersText(done));
    return;
  }
  if (prompt === undefined || continuations.length === 0) {
    throw new InwardError(
      "USAGE",
      'score-text wants a prompt and what may follow it: npx inward score-text "2 + 2 =" "4" "5"; or --file',
    );
  }
  if (out !== undefined) throw new InwardError("USAGE", "--out goes with --file; the scores of one prompt are shown.");
  await withOpenModel(options, { signal }, async (model) => {
    const messages = turns("", prompt);
    const rendered = await model.render(messages);
    const scored = await scoreText(model, messages, continuations, { continuations: meant, signal });
    const { source, sha256 } = model.file;
    if (options.json) {
      const { adapter, manifest } = model;
      printJson({ model: source, sha256, ...adapterFacts(adapter, manifest), prompt: rendered, continuations: scored });
      return;
    }
    print(`--- prompt (${rendered.tokenIds.length} tokens)\n${rendered.text}`);
    print(
      `--- continuations (natural logs at temperature 1, full vocabulary; end: that the turn ends behind it)\n${sums(scored)}`,
    );
    for (const { text, tokens } of scored) print(`--- ${JSON.stringify(text)}\n${tokenTable(tokens)}`);
  });
}

function sums(scored: readonly ScoredContinuation[]): string {
  return table(
    ["sum", "per token", "per byte", "end", "text"],
    scored.map(({ sum, perToken, perByte, endOfTurn, text }) => [
      sum.toFixed(4),
      perToken?.toFixed(4) ?? "",
      perByte?.toFixed(4) ?? "",
      endOfTurn.toFixed(4),
      JSON.stringify(text),
    ]),
  );
}

function tokenTable(tokens: ScoredContinuation["tokens"]): string {
  return table(
    ["token id", "logprob", "text"],
    tokens.map(({ id, logprob, text }) => [String(id), logprob.toFixed(4), JSON.stringify(text)]),
  );
}
