/** inward verify engine --against onnx: a model held against onnxruntime and transformers.js. */

import { rm } from "node:fs/promises";
import { makeFolder } from "../base/files.js";
import { join } from "node:path";
import { InwardError } from "../errors.js";
import { modelFolder } from "../model/model-file.js";
import type { compareWithOnnx } from "../onnx/compare-with-onnx.js";
import { findModel } from "../run/open-model.js";
import {
  type AdapterOptions,
  findOptions,
  type JsonOption,
  type ModelOptions,
  noteChat,
  wholeNumber,
} from "./options.js";
import { abortOnInterrupt, print, printJson, table } from "./output.js";
import { showProgress } from "./progress.js";

/** The two do not agree. */
const MISMATCH = 4;

export interface VerifyOnnxOptions extends ModelOptions, AdapterOptions, JsonOption {
  readonly threads: string;
  readonly questions?: string;
  readonly forward: string;
}

/** @param compare what compares; tests plant faults in it */
export async function verifyAgainstOnnx(options: VerifyOnnxOptions, compare: typeof compareWithOnnx): Promise<void> {
  requirePlainCpu(options);
  const threads = wholeNumber("--threads", options.threads);
  const questions = options.questions === undefined ? undefined : wholeNumber("--questions", options.questions);
  const signal = abortOnInterrupt();
  const progress = showProgress();
  // A process that is killed leaves this behind; whoever pulls a model next takes it away.
  const folder = join(modelFolder(), `onnx.partial-${process.pid}`);
  try {
    const found = await findModel(options.model, { ...findOptions(options), signal, onProgress: progress.update });
    noteChat(found);
    makeFolder(folder);
    const { chat, file } = found;
    const result = await compare(file.path, { chat, folder, threads, questions, signal, onProgress: progress.update });
    progress.end();
    if (!result.agrees) process.exitCode = MISMATCH;
    if (options.json) {
      printJson({ model: { source: file.source, encoding: file.encoding, sha256: file.sha256 }, ...result });
      return;
    }
    const { packages, graph, checks, tolerance } = result;
    const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`);
    print(`${file.source}, ${file.encoding}, sha256 ${file.sha256.slice(0, 12)}…; ${versions.join(", ")}`);
    const { float, mapped, rounded } = graph.matrices;
    print(
      `graph: ${float + mapped + rounded} matrices, of ${megabytes(graph.bytes)} of weights ${megabytes(graph.copiedBytes)} copied`,
    );
    print(`tolerance: ${tolerance.logprob} of a logprob, ${tolerance.margin} of a margin (nats)`);
    const words = { ok: "ok", note: "note", mismatch: "MISMATCH" } as const;
    print(
      table(
        ["check", "found", "verdict"],
        checks.map(({ check, found, verdict }) => [check, found, words[verdict]]),
      ),
    );
    for (const { check, verdict, examples = [] } of checks) {
      if (verdict === "mismatch") for (const example of examples) print(`${check}: ${example}`);
    }
    print(result.agrees ? "The engines agree." : "THE ENGINES DO NOT AGREE.");
  } finally {
    progress.end();
    await rm(folder, { recursive: true, force: true });
  }
}

/** @throws USAGE for what the comparison would pass over */
function requirePlainCpu({ adapter, device, forward, gpuLayers }: VerifyOnnxOptions): void {
  const refuse = (what: string, why: string) =>
    new InwardError("USAGE", `${what} does not go with --against onnx: ${why}.`);
  if (adapter !== undefined) throw refuse("--adapter", "the graph is of the model alone");
  if (device !== "auto" && device !== "cpu") throw refuse(`--device ${device}`, "both compute on the CPU");
  if (gpuLayers !== "auto") throw refuse(`--gpu-layers ${gpuLayers}`, "both compute on the CPU");
  if (forward === "llama.cpp") throw refuse("--forward llama.cpp", "it is our own forward pass that is compared");
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
