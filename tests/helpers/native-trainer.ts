/** Opens the addon's trainer in the test's own process, and packs examples for it by hand: nothing stands between test and addon. */
import type { NativeMicrobatch, NativeTrainerOptions, Trainer } from "../../native/index.js";
import { findBinaries, loadAddon } from "../../src/model/native/addon.js";
import type { EncodedExample } from "../../src/model/language-model.js";
import { LORA_TARGETS } from "../../src/study/schema.js";

const addon = loadAddon(binariesFolder("cpu"));

export function binariesFolder(device: "cpu" | "vulkan" | "cuda"): string {
  return findBinaries(device).folder;
}

/** A CPU trainer with our own kernels, unless ggml's operations are asked for. */
export async function openTrainer(modelPath: string, options: Partial<NativeTrainerOptions> = {}): Promise<Trainer> {
  const { Trainer } = await addon;
  return new Trainer({
    modelPath,
    binariesFolder: binariesFolder("cpu"),
    device: "cpu",
    threads: 1,
    rank: 4,
    alpha: 8,
    dropout: 0,
    targets: LORA_TARGETS,
    activationCheckpointing: false,
    maxMicrobatchTokens: 128,
    maxLossRows: 128,
    ...options,
  });
}

/** Every position of one sequence is a loss row. */
export function wholeSequence(tokenIds: readonly number[]): NativeMicrobatch {
  const rows = Int32Array.from(tokenIds, (_, at) => at);
  return {
    tokenIds: Int32Array.from(tokenIds),
    positions: rows,
    segmentStarts: Int32Array.of(0),
    segmentParents: Int32Array.of(-1),
    lossRows: rows,
    lossTargets: new Int32Array(rows.length),
    lossWeights: new Float32Array(rows.length).fill(1),
  };
}

/** Every example a segment of its own, one after the other. */
export function sideBySide(examples: readonly EncodedExample[]): NativeMicrobatch {
  const starts: number[] = [];
  const rows: number[] = [];
  const targets: number[] = [];
  let at = 0;
  for (const { tokenIds, answerStart } of examples) {
    starts.push(at);
    for (let t = answerStart; t < tokenIds.length; t++) {
      rows.push(at + t - 1);
      targets.push(tokenIds[t] as number);
    }
    at += tokenIds.length;
  }
  return {
    tokenIds: Int32Array.from(examples.flatMap(({ tokenIds }) => tokenIds)),
    positions: Int32Array.from(examples.flatMap(({ tokenIds }) => tokenIds.map((_, depth) => depth))),
    segmentStarts: Int32Array.from(starts),
    segmentParents: Int32Array.from(starts, () => -1),
    lossRows: Int32Array.from(rows),
    lossTargets: Int32Array.from(targets),
    lossWeights: new Float32Array(rows.length).fill(1),
  };
}
