/** inward states: what a model holds of each token of a file of prompts, as safetensors with an index. */

import { Command, Option } from "commander";
import { parsePrompts, readPromptFile } from "../run/prompt-lines.js";
import { captureStates, estimateStates, type FinishedStates, type StatesEstimate } from "../run/states-file.js";
import type { StatesType } from "../probe/states-shard.js";
import { sayDoubts } from "./answering.js";
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
  wholeNumber,
} from "./options.js";
import { abortOnInterrupt, print, printJson, readableBytes, table } from "./output.js";
import { showProgress } from "./progress.js";

interface StatesCommandOptions extends ModelOptions, AdapterOptions, JsonOption {
  readonly file: string;
  readonly out: string;
  readonly sites: string;
  readonly positions: string;
  readonly dtype: StatesType;
  readonly maxTokens: string;
  readonly shardMib: string;
  readonly forward: "auto" | "own" | "llama.cpp";
  readonly dryRun?: boolean;
}

export function statesCommand(): Command {
  const command = adapterOptions(modelOptions(new Command("states")))
    .summary("what a model holds of each token: residuals, what attention and MLP add, heads, attention weights")
    .description(
      "Asks a file of prompts and writes the states of their tokens: safetensors with a tensor a site and a row a token, and index.jsonl,\n" +
        "which says of each row whose it is. The logits are those that asking has, to the bit. The same command again goes on where it ended.\n" +
        "Sites: residual (the residual at every layer's border), all (every part but attention weights), residual_before, attention_output,\n" +
        "residual_middle, mlp_output, residual_after, head_values, attention_weights; of all layers, or .3, .0-5, .-1.",
    )
    .requiredOption("--file <path>", "prompts, one a line: JSONL, or .txt as they stand; - for the standard input")
    .requiredOption("-o, --out <folder>", "where the states go")
    .option("--sites <list>", "where in the model, comma-separated: residual, mlp_output.0-5, …", "residual")
    .option(
      "--positions <list>",
      "of which tokens: all, prompt, reply, last (of the prompt), or numbers, -1 the prompt's last",
      "last",
    )
    .addOption(new Option("--dtype <type>", "numbers of the files").choices(["f16", "f32"]).default("f32"))
    .option("--max-tokens <n>", "longest reply, greedy; 0: nothing is answered", "0")
    .option("--shard-mib <n>", "a file is begun anew before it would be larger", "128")
    .addOption(
      new Option("--forward <who>", "who evaluates: our own pass where it can, which evaluates once, or llama.cpp")
        .choices(["auto", "own", "llama.cpp"])
        .default("auto"),
    )
    .option("--dry-run", "tokens, rows and bytes; asks nothing");
  return jsonOption(command).action(states);
}

async function states(options: StatesCommandOptions): Promise<void> {
  const signal = abortOnInterrupt();
  const prompts = sayDoubts(parsePrompts(await readPromptFile(options.file), options.file));
  const progress = showProgress();
  const settings = {
    ...findOptions(options),
    engine: { device: options.device, gpuLayers: options.gpuLayers, forward: options.forward },
    sites: options.sites,
    positions: options.positions,
    dtype: options.dtype,
    maxTokens: number("--max-tokens", options.maxTokens),
    shardBytes: 2 ** 20 * wholeNumber("--shard-mib", options.shardMib),
    signal,
    onProgress: progress.update,
    onFound: (found: Parameters<typeof noteChat>[0] & Parameters<typeof noteAdapter>[0]) => {
      noteAdapter(found);
      noteChat(found);
    },
  };
  if (options.dryRun) {
    const estimate = await estimateStates(prompts, options.model, settings).finally(progress.end);
    if (options.json) printJson(estimate);
    else print(estimateText(estimate));
    return;
  }
  const done = await captureStates(prompts, options.model, { ...settings, out: options.out }).finally(progress.end);
  if (options.json) printJson(done);
  else print(doneText(done));
}

function estimateText({ prompts, promptTokens, rows, bytes, files, sites }: StatesEstimate): string {
  return [
    table(
      ["site", "numbers of a token"],
      sites.map(({ name, shape }) => [name, shape.join(" × ")]),
    ),
    `${prompts} prompts of ${promptTokens} tokens; ${rows} rows at most, ${readableBytes(bytes)} in ${files} files.`,
  ].join("\n");
}

function doneText({ folder, files, rows, bytes, prompts, kept }: FinishedStates): string {
  const before = kept === 0 ? "" : `, ${kept} of them from before`;
  return `${prompts} prompts${before}: ${rows} rows, ${readableBytes(bytes)} in ${files} files\n${folder}`;
}
