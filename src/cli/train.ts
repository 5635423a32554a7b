/** inward train: a LoRA adapter from chat JSONL, straight from a GGUF. */

import { Command } from "commander";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { writeError, writeWhole } from "../base/files.js";
import { InwardError } from "../errors.js";
import { adapterFiles } from "../finetune/adapter/adapter.js";
import { adapterSettings, readAdapterCard } from "../finetune/adapter/card.js";
import { exportPeft } from "../finetune/adapter/peft.js";
import { readAdapter } from "../finetune/adapter/saved-adapter.js";
import { readChatJsonl } from "../finetune/chat-jsonl.js";
import { readInitialAdapter } from "../finetune/initial-adapter.js";
import type { StepReport } from "../finetune/loop.js";
import { trainAdapter, type TrainingRequest } from "../finetune/train-adapter.js";
import { inspectGguf } from "../gguf/inspect-gguf.js";
import { startEngine } from "../model/engines/start-engine.js";
import { findAddon } from "../model/native/addon.js";
import { resolveModel } from "../model/resolve-model.js";
import { lossFigure } from "../report/figures/training.js";
import { DEFAULT_ENGINE } from "../study/load-study.js";
import type { ModelFile } from "../study/plan.js";
import type { AdapterCard, EncodedExample, TrainingExample } from "../study/training.js";
import {
  modelOptions,
  type ModelOptions,
  readTrainingSettings,
  type TrainingOptions,
  trainingOptions,
} from "./options.js";
import { abortOnInterrupt, note, print } from "./output.js";
import { modelProgressLines } from "./progress.js";

// What is seen of a training: a line of progress on stderr, and with --json every event as a line on stdout.

interface TrainingOutput {
  readonly progress: (report: StepReport) => void;
  readonly event: (kind: string, data: object) => void;
  /** Ends the line that is being rewritten. Call it before anything else is printed. */
  readonly end: () => void;
}

/** Milliseconds between lines where no line can be rewritten. */
const PAUSE = 5_000;

function trainingOutput(
  json: boolean,
  stream: NodeJS.WriteStream = process.stderr,
  now: () => number = () => performance.now(),
): TrainingOutput {
  const terminal = stream.isTTY === true && process.env.CI === undefined && process.env.NO_COLOR === undefined;
  let printed = Number.NEGATIVE_INFINITY;
  let open = false;
  const end = () => {
    if (open) stream.write("\n");
    open = false;
  };
  return {
    progress: (report) => {
      const time = now();
      if (!terminal && report.step < report.totalSteps && time - printed < PAUSE) return;
      printed = time;
      stream.write(terminal ? `\r\u001b[2K${lineOf(report)}` : `${lineOf(report)}\n`);
      open = terminal;
    },
    event: (kind, data) => {
      if (json) print(JSON.stringify({ kind, ...data }));
      if (kind !== "training_resumed") return;
      end();
      note(`Going on after step ${(data as { readonly step: number }).step}.`);
    },
    end,
  };
}

export function lineOf(report: StepReport): string {
  const { step, totalSteps, lossNatsPerToken, exampleTokensPerSecond, evaluatedTokensPerSecond, secondsLeft } = report;
  const rate = (perSecond: number) => perSecond.toFixed(perSecond < 10 ? 1 : 0);
  const left = step === totalSteps ? "" : ` · ${timeOf(secondsLeft)} left`;
  return (
    `training: step ${step}/${totalSteps} · loss ${lossNatsPerToken.toFixed(4)} · ` +
    `${rate(exampleTokensPerSecond)} example tokens/s (${rate(evaluatedTokensPerSecond)} evaluated)${left}`
  );
}

function timeOf(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

interface TrainOptions extends ModelOptions {
  readonly out: string;
  readonly threads?: string;
  readonly validation?: string;
  readonly initAdapter?: string;
  readonly forceBase?: boolean;
  readonly kernelsOf?: string;
  readonly peft?: string;
  readonly offline?: boolean;
  readonly json?: boolean;
}

/** Conversations sent to the engine at once. */
const ENCODED_AT_ONCE = 512;

export function trainCommand(): Command {
  const command = modelOptions(new Command("train"))
    .summary("train a LoRA adapter on chat JSONL; run it again to go on where it stopped")
    .description(
      "Learns the last assistant message of every line of CHAT (OpenAI chat JSONL), straight from the model's GGUF, and writes\n" +
        "an adapter that llama.cpp loads, with its card, its README and a figure of the loss beside it. A line without a system\n" +
        "message gets an empty one, as inward ask does, so that no chat template puts in its own. After Ctrl-C or kill -9 the\n" +
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
    .option("--peft <folder>", "write the adapter as a PEFT folder too")
    .option("--threads <n>", `threads that compute (default: ${DEFAULT_ENGINE.threads})`)
    .option("--offline", "never use the network: the model must be on this machine")
    .option("--json", "print one JSON object a line: what happens, and at the end the card's summary");
  return trainingOptions(command).action(train);
}

async function train(chatPath: string, options: TrainOptions & TrainingOptions): Promise<void> {
  const signal = abortOnInterrupt();
  const { device, threads } = readMachine(options);
  if (!options.out.endsWith(".gguf")) {
    throw new InwardError("USAGE", `--out wants the path of an adapter that ends in .gguf, not "${options.out}".`);
  }
  // What needs no model is checked before one is fetched; the defaults stand in for an initial adapter's settings.
  readTrainingSettings(options, undefined);
  const examples = await readChatJsonl(chatPath);
  const validation = options.validation === undefined ? undefined : await readChatJsonl(options.validation);
  const kernels = options.kernelsOf === undefined ? undefined : await kernelsOf(options.kernelsOf);
  await findAddon();
  const file = await fetchBase(options, signal);
  const { architecture } = await inspectGguf(file.path);
  const initial =
    options.initAdapter === undefined
      ? undefined
      : await readInitialAdapter(
          options.initAdapter,
          { modelPath: file.path, sha256: file.sha256 },
          { force: options.forceBase === true },
        );
  if (initial?.base === "no_card") note("The initial adapter has no card: only its shapes say that it is this base's.");
  const chosen = validation && options.validationShare === undefined ? { ...options, validationShare: "0" } : options;
  const settings = readTrainingSettings(chosen, initial && adapterSettings(initial.adapter));
  const encoded = await encode(file, threads, [examples, validation ?? []], signal);
  const output = trainingOutput(options.json === true);
  await mkdir(dirname(options.out), { recursive: true }).catch((error) => {
    throw writeError(error, dirname(options.out));
  });
  const request: TrainingRequest = {
    modelPath: file.path,
    base: { source: file.source, sha256: file.sha256, encoding: file.encoding, architecture },
    examples: encoded[0] as EncodedExample[],
    ...(validation ? { validationExamples: encoded[1] as EncodedExample[] } : {}),
    settings,
    device,
    threads,
    outPath: options.out,
    ...(options.initAdapter === undefined ? {} : { initAdapter: options.initAdapter }),
    ...(options.forceBase ? { forceBase: true } : {}),
    ...(kernels ? { kernels } : {}),
    onProgress: output.progress,
    onEvent: output.event,
    signal,
  };
  try {
    const card = await trainAdapter(request);
    await finish(card, options, output);
  } finally {
    output.end();
  }
}

function readMachine(options: TrainOptions): { device: ModelOptions["device"]; threads: number } {
  const threads = options.threads === undefined ? DEFAULT_ENGINE.threads : Number(options.threads);
  if (!Number.isInteger(threads) || threads < 1) {
    throw new InwardError("USAGE", `--threads wants a whole number from 1 on, not "${options.threads}".`);
  }
  return { device: options.device, threads };
}

async function kernelsOf(path: string): Promise<AdapterCard["machine"]["kernels"]> {
  const card = await readAdapterCard(path);
  if (!card) throw new InwardError("ADAPTER_NOT_FOUND", `${path} has no card, which would name its kernels.`);
  return card.machine.kernels;
}

async function fetchBase(options: TrainOptions, signal: AbortSignal): Promise<ModelFile> {
  const lines = modelProgressLines();
  try {
    return await resolveModel(options.model, {
      encoding: options.encoding,
      offline: options.offline === true,
      onProgress: lines.onProgress,
      signal,
    });
  } finally {
    lines.finish();
  }
}

/** The sets as the base reads them. The model is closed again: training needs the memory. */
async function encode(
  file: ModelFile,
  threads: number,
  sets: readonly (readonly TrainingExample[])[],
  signal: AbortSignal,
): Promise<EncodedExample[][]> {
  // Nothing is computed on it, so it stays off the device, and its weights on disk.
  const unused = { device: "cpu", forward: "llama.cpp", sequences: 1 } as const;
  const model = await startEngine(file.path, { ...DEFAULT_ENGINE, ...unused, threads });
  try {
    const encoded: EncodedExample[][] = [];
    let unlike = 0;
    for (const set of sets) {
      const ids: EncodedExample[] = [];
      for (let start = 0; start < set.length; start += ENCODED_AT_ONCE) {
        if (signal.aborted) throw new InwardError("INTERRUPTED", "Encoding the examples was interrupted.");
        const some = await model.encode(set.slice(start, start + ENCODED_AT_ONCE).map(({ messages }) => messages));
        unlike += some.filter(({ unlikeTemplate }) => unlikeTemplate !== undefined).length;
        ids.push(...some.map(({ tokenIds, answerStart }) => ({ tokenIds, answerStart })));
      }
      encoded.push(ids);
    }
    if (unlike > 0) {
      note(`${unlike} answers are learnt as they stand, while the chat template would write them with other tokens.`);
    }
    return encoded;
  } finally {
    await model.dispose();
  }
}

async function finish(card: AdapterCard, options: TrainOptions, output: TrainingOutput): Promise<void> {
  const files = adapterFiles(options.out);
  const lossPath = options.out.replace(/\.gguf$/, ".loss.svg");
  await writeWhole(lossPath, await lossFigure(`Loss of ${card.base.source}'s adapter over training`, card));
  if (options.peft !== undefined) await writePeft(options.peft, options);
  const summary = {
    ...files,
    lossFigure: lossPath,
    ...(options.peft === undefined ? {} : { peft: options.peft }),
    sha256: card.adapter.sha256,
    steps: card.losses.length,
    firstLossNatsPerToken: card.losses[0]?.lossNatsPerToken ?? null,
    lastLossNatsPerToken: card.losses.at(-1)?.lossNatsPerToken ?? null,
    validation: card.validation.at(-1) ?? null,
    base: card.base,
    data: card.data,
    machine: card.machine,
  };
  output.end();
  if (options.json) {
    output.event("training_done", summary);
    return;
  }
  const look = card.validation.at(-1);
  const held = look
    ? `, validation ${look.lossNatsPerToken.toFixed(4)} with ${look.answersRight} of ${look.answers} answers right`
    : "";
  const [first, last] = [card.losses[0], card.losses.at(-1)];
  print(
    `${files.adapter}\n${card.losses.length} steps, loss ${first?.lossNatsPerToken.toFixed(4)} → ${last?.lossNatsPerToken.toFixed(4)} nats per answer token${held}\n` +
      `sha256 ${card.adapter.sha256}; beside it the card, the README and ${lossPath}`,
  );
}

async function writePeft(folder: string, options: TrainOptions): Promise<void> {
  const card = await readAdapterCard(options.out);
  const file = await resolveModel(options.model, { encoding: options.encoding, offline: true });
  const { headCount, headCountKv = headCount, blockCount } = await inspectGguf(file.path);
  if (headCount === undefined || headCountKv === undefined || blockCount === undefined) {
    throw new InwardError("TRAIN_MODEL", `${file.path} does not say how many heads and layers it has.`);
  }
  await exportPeft(
    folder,
    await readAdapter(options.out),
    { heads: headCount, keyValueHeads: headCountKv, layers: blockCount },
    { dropout: card?.settings.lora.dropout ?? 0 },
  );
}
