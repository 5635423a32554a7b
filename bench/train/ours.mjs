// One measurement of inward's trainer: node ours.mjs request.json prints one JSON line, in the form of peft_peer.py.
// request: modelPath, examples, batches (example indices per step), settings (TrainingSettings), threads. CPU only.
import { readdirSync, readFileSync } from "node:fs";
import { findBinaries, loadAddon } from "../../dist/model/native/addon.js";
import { initialParameters } from "../../dist/finetune/initial-adapter.js";
import { openNativeTrainer } from "../../dist/finetune/trainer.js";
import { packExamples } from "../../dist/finetune/batches.js";

/** Columns that the product behind the products' rate has: a microbatch's tokens. */
const PRODUCT_TOKENS = 512;

const { modelPath, examples, batches, settings, threads } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const pack = (batch) =>
  packExamples(
    batch.map((index) => examples[index]),
    settings,
  );
const planned = batches.map(pack);
const largest = (length) => Math.max(...planned.flat().map(({ microbatch }) => length(microbatch)));
const binariesFolder = findBinaries("cpu").folder;
const { rank, alpha, dropout, targets } = settings.lora;
const trainer = await openNativeTrainer({
  modelPath,
  binariesFolder,
  device: "cpu",
  threads,
  rank,
  alpha,
  dropout,
  targets,
  activationCheckpointing: settings.activationCheckpointing,
  maxMicrobatchTokens: largest(({ tokenIds }) => tokenIds.length),
  maxLossRows: largest(({ lossRows }) => lossRows.length),
});
const { description } = trainer;
await trainer.setState({
  parameters: initialParameters(description.tensors, description.parameters, settings.seed),
  firstMoments: new Float32Array(description.parameters),
  secondMoments: new Float32Array(description.parameters),
});

const steps = [];
for (const [at, batch] of batches.entries()) {
  const begun = performance.now();
  // Packing is part of a step.
  const packed = pack(batch);
  let nats = 0;
  let rows = 0;
  for (const { microbatch } of packed) {
    nats += await trainer.accumulate(microbatch, at);
    rows += microbatch.lossRows.length;
  }
  const { learningRate, weightDecay, beta1, beta2, epsilon, maxGradientNorm } = settings;
  await trainer.update({
    learningRate,
    weightDecay,
    beta1,
    beta2,
    epsilon,
    maxGradientNorm,
    step: at + 1,
    gradientScale: 1 / rows,
  });
  steps.push({
    milliseconds: performance.now() - begun,
    lossNatsPerToken: nats / rows,
    evaluatedTokens: packed.reduce((sum, { evaluatedTokens }) => sum + evaluatedTokens, 0),
  });
}
const peaks = { driver: peakBytes("self"), trainer: Math.max(...children().map(peakBytes)) };
const millisecondsByOperation = await trainer.profile(planned[0][0].microbatch);
await trainer.dispose();

const { layers, embedding, heads, keyValueHeads, feedForward } = description;
const keyValues = (embedding / heads) * keyValueHeads;
const addon = await loadAddon(binariesFolder);
process.stdout.write(
  `${JSON.stringify({
    steps,
    // What a person's machine gives up for it: the trainer's process and the one that feeds it.
    peakBytes: peaks.driver + peaks.trainer,
    peaks,
    memoryPlan: description.memory,
    parameters: {
      trained: description.parameters,
      nonEmbedding: layers * embedding * (2 * embedding + 2 * keyValues + 3 * feedForward),
    },
    versions: { node: process.versions.node, llamaCpp: description.llamaCpp },
    kernels: description.kernels,
    productGflops: addon.measureProducts(threads, feedForward, PRODUCT_TOKENS, embedding),
    millisecondsByOperation,
    threads,
  })}\n`,
);

/** Peak resident memory of a process, which Linux tells; elsewhere bytes are 0 and say nothing. */
function peakBytes(pid) {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** Processes that this one has started: the trainer's worker. */
function children() {
  try {
    return readdirSync("/proc/self/task").flatMap((thread) =>
      readFileSync(`/proc/self/task/${thread}/children`, "utf8").trim().split(" ").filter(Boolean),
    );
  } catch {
    return [0];
  }
}
