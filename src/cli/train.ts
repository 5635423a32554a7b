/** inward train: a LoRA adapter from chat JSONL, straight from a GGUF. */

import { Command } from "commander";
import { InwardError } from "../errors.js";
import type { NativeDescription } from "../../native/index.js";
import { placementNote } from "../finetune/train-adapter.js";
import { train, type Trained } from "../run/train-from-file.js";
import { DEFAULT_ENGINE } from "../study/load-study.js";
import {
  findOptions,
  givenTraining,
  jsonOption,
  type JsonOption,
  modelOptions,
  type ModelOptions,
  readTrainingSettings,
  threadsOption,
  type TrainingOptions,
  trainingOptions,
  wholeNumber,
} from "./options.js";
import { abortOnInterrupt, notice, print } from "./output.js";
import { type Progress, showProgress } from "./progress.js";

interface TrainCommandOptions extends ModelOptions, JsonOption {
  readonly out: string;
  readonly threads?: string;
  readonly validation?: string;
  readonly initAdapter?: string;
  readonly forceBase?: boolean;
  readonly kernelsOf?: string;
  readonly peft?: string;
}

export function trainCommand(): Command {
  const command = modelOptions(new Command("train"))
    .summary("train a LoRA adapter on chat JSONL; run it again to go on where it stopped")
    .description(
      "Learns the last assistant message of every line of CHAT (OpenAI chat JSONL), straight from the model's GGUF, and writes\n" +
        "an adapter that llama.cpp loads, with its card, its README and a figure of the loss beside it. A line without a system\n" +
        "message gets that of --system, by default an empty one, so that no chat template puts in its own, or none where the\n" +
        "template has no place for one. After Ctrl-C or kill -9 the\n" +
        "same command goes on from the last checkpoint.",
    )
    .argument("<chat.jsonl>", 'one {"messages": […]} a line, the last message the assistant\'s')
    .requiredOption("-o, --out <adapter.gguf>", "the adapter to write")
    .option("--validation <chat.jsonl>", "watch the loss on these, instead of on a share of CHAT")
    .option(
      "--init-adapter <path>",
      "go on from this adapter: a GGUF, or a PEFT folder; its rank, alpha and targets hold",
    )
    .option("--force-base", "take an initial adapter that was trained on another base; the card will say so")
    .option("--kernels-of <adapter.gguf>", "compute with the kernels of that adapter's card, to repeat it bit for bit")
    .option("--peft <folder>", "write the adapter as a PEFT folder too");
  threadsOption(command, `threads that compute (default: ${DEFAULT_ENGINE.threads})`);
  jsonOption(command, "print one JSON object a line: what happens, and at the end the card's summary");
  return trainingOptions(command).action(trainOnChat);
}

async function trainOnChat(chat: string, options: TrainCommandOptions & TrainingOptions): Promise<void> {
  const signal = abortOnInterrupt();
  const threads = options.threads === undefined ? undefined : wholeNumber("--threads", options.threads);
  if (!options.out.endsWith(".gguf")) {
    throw new InwardError("USAGE", `--out wants the path of an adapter that ends in .gguf, not "${options.out}".`);
  }
  // Read here too, so that what is wrong is named as it was typed.
  readTrainingSettings(options, undefined);
  const progress = showProgress();
  const { out, model, device, gpuLayers, validation, initAdapter, forceBase, kernelsOf, peft } = options;
  const { encoding, offline, system, chat: format } = findOptions(options);
  const trained = await train(chat, {
    ...{ system, chat: format },
    ...{ out, model, encoding, device, gpuLayers, validation, initAdapter, forceBase, kernelsOf, peft },
    ...{ offline, threads, signal },
    settings: givenTraining(options),
    onProgress: progress.update,
    onEvent: (kind, data) => tell(kind, data, options, progress),
  }).finally(progress.end);
  if (options.json) print(JSON.stringify({ kind: "training_done", ...summaryOf(trained) }));
  else print(textOf(trained));
}

/** With --json every event of the trainer is a line on stdout; what a person should know is a note. */
function tell(kind: string, data: object, { json }: JsonOption, progress: Progress): void {
  const said = NOTES[kind]?.(data);
  if (said !== undefined) {
    progress.end();
    notice(said);
  }
  if (json && kind.startsWith("training_")) print(JSON.stringify({ kind, ...data }));
}

const NOTES: Readonly<Record<string, (data: object) => string | undefined>> = {
  training_opened: (data) => placementNote((data as NativeDescription).memory),
  training_resumed: (data) => `Going on after step ${(data as { readonly step: number }).step}.`,
  chat_settled: (data) => {
    const { system, thinking } = data as { readonly system: string; readonly thinking?: string };
    return `System message of lines without one: ${system}.${thinking === undefined ? "" : ` Thinking: ${thinking}.`}`;
  },
  adapter_without_card: () => "The initial adapter has no card: only its shapes say that it is this base's.",
  adapter_on_some_layers: (data) => {
    const { pairs, of } = data as { readonly pairs: number; readonly of: number };
    return `The initial adapter has ${pairs} of ${of} pairs: training goes on with these, and leaves the others out.`;
  },
  examples_unlike_template: (data) =>
    `${(data as { readonly examples: number }).examples} answers are learnt as they stand, while the chat template would write them with other tokens.`,
};

function summaryOf({ files, card }: Trained): object {
  return {
    ...files,
    sha256: card.adapter.sha256,
    steps: card.losses.length,
    firstLossNatsPerToken: card.losses[0]?.lossNatsPerToken ?? null,
    lastLossNatsPerToken: card.losses.at(-1)?.lossNatsPerToken ?? null,
    validation: card.validation.at(-1) ?? null,
    base: card.base,
    data: card.data,
    machine: card.machine,
  };
}

function textOf({ files, card }: Trained): string {
  const look = card.validation.at(-1);
  const held = look
    ? `, validation ${look.lossNatsPerToken.toFixed(4)} with ${look.answersRight} of ${look.answers} answers right`
    : "";
  const [first, last] = [card.losses[0], card.losses.at(-1)];
  return (
    `${files.adapter}\n${card.losses.length} steps, loss ${first?.lossNatsPerToken.toFixed(4)} → ${last?.lossNatsPerToken.toFixed(4)} nats per answer token${held}\n` +
    `sha256 ${card.adapter.sha256}; beside it the card, the README and ${files.lossFigure}`
  );
}
