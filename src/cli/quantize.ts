/** inward quantize: what the quantized files of one model have lost, and what each costs. */

import { Command } from "commander";
import { estimateQuantize, type QuantizeEstimate } from "../quantize/estimate-quantize.js";
import { type FinishedQuantize, runQuantize } from "../quantize/run-quantize.js";
import { jsonOption, type JsonOption, studyOptions, type StudyCommandOptions } from "./options.js";
import { abortOnInterrupt, notice, print, printJson, readableBytes, table } from "./output.js";
import { showProgress } from "./progress.js";
import { readWorkers, type WorkersGiven, workerOptions } from "./worker-options.js";

interface QuantizeCommandOptions extends StudyCommandOptions, JsonOption, WorkersGiven {
  readonly dryRun?: boolean;
}

export function quantizeCommand(): Command {
  const command = new Command("quantize")
    .summary("benchmark quantized files of one model: size, divergence, flips, self-prediction, speed")
    .description(
      "Makes every type that the benchmark names from one source of floats, with llama.cpp's own quantizer, or as an ONNX graph that\n" +
        "onnxruntime evaluates (docs/quantize.md), and holds each against the\n" +
        "source: divergence over the whole vocabulary on a text and on the source's own answers, flips of behavior, what each file says of\n" +
        "itself, speed and memory. Writes one report. The same command again goes on where it stopped.",
    )
    .argument("<benchmark>", "path of a benchmark's YAML, such as studies/quantize.yaml");
  studyOptions(command).option("--dry-run", "files, texts, questions, and about how long; makes and asks nothing");
  workerOptions(command);
  return jsonOption(command, "print one JSON object about the finished benchmark").action(quantize);
}

async function quantize(
  path: string,
  { json, dryRun, workers, devices, unitQuestions, ...options }: QuantizeCommandOptions,
): Promise<void> {
  const progress = showProgress();
  if (dryRun) {
    const common = { ...options, signal: abortOnInterrupt(), onProgress: progress.update };
    const planned = await estimateQuantize(path, common).finally(progress.end);
    if (json) printJson(planned);
    else print(estimateText(planned));
    return;
  }
  const done = await runQuantize(path, {
    ...options,
    ...readWorkers({ workers, devices, unitQuestions }),
    signal: abortOnInterrupt(),
    onProgress: progress.update,
    onPlanned: ({ folder, variants }) => notice(`${variants.length} files in ${folder}`),
  }).finally(progress.end);
  if (json) printJson({ folder: done.folder, report: done.report, ...done.results });
  else print(`${summaryOf(done)}\n\nReport: ${done.report}`);
}

function estimateText({ files, text, questions, seconds, assumptions }: QuantizeEstimate): string {
  const minutes = (value: number) => (value < 90 ? `${Math.ceil(value)} s` : `${Math.round(value / 60)} min`);
  return [
    table(
      ["file", "about"],
      files.map(({ name, bytes }) => [name, bytes === null ? "size unknown" : readableBytes(bytes)]),
    ),
    ...(text
      ? [
          `Text: ${text.tokens} tokens, ${text.windows} windows, ${text.positions} positions, each by ${files.length} files.`,
        ]
      : []),
    ...(questions
      ? [`Questions: ${questions.objectLevel} object-level, ${questions.hypothetical} hypothetical, over all files.`]
      : []),
    seconds.ok
      ? `Time: about ${minutes(seconds.value)} (${Object.entries(seconds.parts)
          .map(([what, part]) => `${what} ${minutes(part)}`)
          .join(", ")}).`
      : `Time: unknown: ${seconds.reason}`,
    ...assumptions,
  ].join("\n");
}

function summaryOf({ results }: FinishedQuantize): string {
  const lines = results.rows.map(({ variant, text, answers, flips, speed }) => {
    const nats = (scores: typeof text) =>
      scores.ok && scores.value.kl.mean.ok ? scores.value.kl.mean.value.toPrecision(3) : "–";
    return [
      variant.name,
      readableBytes(variant.bytes),
      variant.bitsPerWeight.toFixed(2),
      nats(text),
      nats(answers),
      flips.ok && flips.value.behaviors.ok ? `${(100 * flips.value.behaviors.value).toFixed(1)} %` : "–",
      speed.ok && "median" in speed.value.writing ? speed.value.writing.median.toFixed(1) : "–",
    ];
  });
  const head = ["file", "size", "bits a weight", "KL text, nats", "KL answers, nats", "flipped", "written tokens/s"];
  return [table(head, lines), ...results.notes].join("\n");
}
