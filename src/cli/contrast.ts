/** inward contrast: a direction in a model's states by which one kind of prompt differs from another. */

import { Command } from "commander";
import { TURN_SPANS } from "../probe/chosen-turns.js";
import type { Separation } from "../probe/state-contrast.js";
import { type MadeContrast, makeContrast, parsePairs } from "../run/contrast-vectors.js";
import { readPromptFile } from "../run/prompt-lines.js";
import {
  adapterOptions,
  type AdapterOptions,
  findOptions,
  jsonOption,
  type JsonOption,
  modelOptions,
  type ModelOptions,
  noteAdapter,
  noteChat,
  number,
} from "./options.js";
import { abortOnInterrupt, print, printJson, table } from "./output.js";
import { showProgress } from "./progress.js";

interface ContrastCommandOptions extends ModelOptions, AdapterOptions, JsonOption {
  readonly pairs: string;
  readonly out: string;
  readonly sites: string;
  readonly span: string;
  readonly seed: string;
  readonly keepStates?: boolean;
}

export function contrastCommand(): Command {
  const command = adapterOptions(modelOptions(new Command("contrast")))
    .summary("contrast vectors: the mean difference of states between the two sides of pairs of prompts")
    .description(
      "Captures both sides of each pair, and writes the mean of positive minus negative for every site: safetensors with a tensor a\n" +
        "site. Pairs are told apart by the direction of the other pairs, beside the same with the sides dealt out by chance. A line of\n" +
        '--pairs is {"positive": …, "negative": …}, each a prompt or its messages; "system" and "id" where wanted.\n' +
        "Next: npx inward steer.",
    )
    .requiredOption("--pairs <path>", "pairs of prompts, one a line: JSONL; - for the standard input")
    .requiredOption("-o, --out <path>", "the safetensors to write; <out>.states holds the states until it is there")
    .option("--sites <list>", "where in the model, as npx inward states has them", "residual_after")
    .option(
      "--span <span>",
      `of which tokens, of several the mean: last, prompt, message, system, turn_<n>, or numbers`,
      "last",
    )
    .option("--seed <seed>", "of the parts that are held out, and of the draws", "0")
    .option("--keep-states", "leave the states there");
  return jsonOption(command).action(contrast);
}

/** For the help of commands that have such an option. */
export const SPANS_TEXT = `${Object.entries(TURN_SPANS)
  .map(([name, what]) => `${name} (${what})`)
  .join(", ")}, turn_<n> (the words of the n-th message), numbers of tokens`;

async function contrast(options: ContrastCommandOptions): Promise<void> {
  const signal = abortOnInterrupt();
  const pairs = parsePairs(await readPromptFile(options.pairs), options.pairs);
  const progress = showProgress();
  const made = await makeContrast(pairs, options.model, {
    ...findOptions(options),
    engine: { device: options.device, gpuLayers: options.gpuLayers },
    out: options.out,
    sites: options.sites,
    span: options.span,
    seed: number("--seed", options.seed),
    keepStates: options.keepStates === true,
    signal,
    onProgress: progress.update,
    onFound: (found) => {
      noteAdapter(found);
      noteChat(found);
    },
  }).finally(progress.end);
  if (options.json) printJson(made);
  else print(madeText(made));
}

function madeText({ out, pairs, prompts, sites }: MadeContrast): string {
  return [
    table(
      ["site", "norm", "of a state", "told apart, held out", "sides by chance", "p"],
      sites.map(({ site, norm, stateNorm, separation }) => [
        site,
        norm.toPrecision(4),
        `${((100 * norm) / stateNorm).toFixed(1)}%`,
        ...separationCells(separation),
      ]),
    ),
    "norm: length of the direction; of a state: in percent of the median length of the states.",
    "told apart: share of pairs whose positive side lies farther along the direction of the other parts' pairs.",
    `${pairs} pairs, ${prompts} prompts\n${out}`,
  ].join("\n");
}

function separationCells(separation: Separation): string[] {
  if (!separation.ok) return [`- (${separation.reason})`, "", ""];
  const { accuracy, shuffledAccuracy, test } = separation;
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
  const told = accuracy.ok
    ? `${percent(accuracy.value)} [${percent(accuracy.low)}, ${percent(accuracy.high)}]`
    : `- (${accuracy.reason})`;
  return [told, percent(shuffledAccuracy), test.ok ? test.p.toFixed(4) : `- (${test.reason})`];
}
