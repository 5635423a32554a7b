// Finetuning speed and memory: inward beside transformers + peft + torch on the same file, the same examples, the same batches.
// npm run bench:train -- [--load synthetic|set] [--set FILE|RUN] [--rounds 5] [--steps 3] [--threads 2] [--encoding f32] [--only NAME]
// Every round runs each contender once, in a process of its own. The first step of a process warms it up and is not counted.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { prepare } from "../scripts/prepare.mjs";
import { sampleExamples, setExamples, syntheticExamples } from "./train/loads.mjs";
import { peerModelFolder, peftPython, runPeer } from "./train/peft-environment.mjs";
import { runOurs } from "./train/run-ours.mjs";

const { values: options } = parseArgs({
  options: {
    load: { type: "string", default: "synthetic" },
    set: { type: "string" },
    rounds: { type: "string", default: "5" },
    steps: { type: "string", default: "3" },
    threads: { type: "string", default: "2" },
    encoding: { type: "string", default: "f32" },
    only: { type: "string", multiple: true },
  },
});
const ROUNDS = Number(options.rounds);
const STEPS = Number(options.steps);
const THREADS = Number(options.threads);
const WARM_UP_STEPS = 1;
const PEER_SCRIPT = fileURLToPath(new URL("train/peft_peer.py", import.meta.url));

/** What is trained, on both sides. */
const SETTINGS = {
  lora: { rank: 16, alpha: 32, dropout: 0, targets: ["q", "k", "v", "o", "gate", "up", "down"] },
  epochs: 1,
  batchExamples: options.load === "synthetic" ? 4 : 16,
  microbatchTokens: 512,
  order: "by_prompt",
  treePacking: true,
  learningRate: 2e-4,
  schedule: "constant",
  warmupShare: 0,
  weightDecay: 0,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  maxGradientNorm: 1,
  seed: 1,
  validationShare: 0,
  validateEverySteps: 0,
  checkpointEverySteps: 1000,
  activationCheckpointing: false,
};

prepare();
const { startEngine } = await import("../dist/model/engines/start-engine.js");
const { cpuFlags } = await import("../dist/model/engines/settings.js");
const { resolveModel } = await import("../dist/model/resolve-model.js");
const { DEFAULT_ENGINE } = await import("../dist/study/load-study.js");
const { hashExamples } = await import("../dist/finetune/set.js");
const { orderExamples } = await import("../dist/finetune/batches.js");

const file = await resolveModel("smollm2-135m-instruct", { encoding: options.encoding });
const { examples, subjects } = await loadOf(options.load);
const batches =
  options.load === "synthetic"
    ? Array.from({ length: WARM_UP_STEPS + STEPS }, () => examples.map((_, index) => index))
    : orderExamples(examples, { ...SETTINGS, epoch: 1 }, subjects).slice(0, WARM_UP_STEPS + STEPS);
const timed = batches.slice(WARM_UP_STEPS).map((batch) => batch.map((index) => examples[index]));

const work = mkdtempSync(join(tmpdir(), "inward-bench-"));
const requestPath = join(work, "request.json");
const peer = (forwardExamples) => () =>
  runPeer(
    PEER_SCRIPT,
    { modelFolder: peerModelFolder(file), examples, batches, settings: SETTINGS, forwardExamples },
    requestPath,
    { threads: THREADS },
  );
const ours = (settings) => () =>
  runOurs({ modelPath: file.path, examples, batches, settings, threads: THREADS }, requestPath);
const all = {
  inward: ours(SETTINGS),
  ...(options.load === "set" ? { "inward, nothing shared": ours({ ...SETTINGS, treePacking: false }) } : {}),
  peft: peer(0),
  // The least memory that the peer can do with: it gives up nothing but the batch.
  ...(options.load === "synthetic" ? { "peft, one example at a time": peer(1) } : {}),
};
const contenders = Object.entries(all).filter(([name]) => !options.only || options.only.includes(name));
if (contenders.length === 0) throw new Error(`--only takes ${Object.keys(all).join(" | ")}`);

if (contenders.some(([name]) => name.startsWith("peft"))) {
  peftPython();
  peerModelFolder(file);
}
const runs = Object.fromEntries(contenders.map(([name]) => [name, []]));
try {
  for (let round = 1; round <= ROUNDS; round++) {
    for (const [name, run] of contenders) {
      runs[name].push(run());
      const { tokensPerSecond, peakBytes } = measures(runs[name].at(-1));
      const peak = `${(peakBytes / 1e9).toFixed(2)} GB`;
      process.stderr.write(`round ${round}/${ROUNDS}  ${name}: ${tokensPerSecond.toFixed(1)} tokens/s, ${peak}\n`);
    }
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}

const result = {
  bench: `finetuning, ${options.load} load`,
  date: new Date().toISOString().slice(0, 10),
  model: file.source,
  encoding: file.encoding,
  sha256: file.sha256,
  load: {
    ...(options.load === "set" ? { set: options.set ? basename(setFile(options.set)) : "sample" } : {}),
    examplesSha256: hashExamples(examples),
    examplesPerStep: timed[0].length,
    tokensPerStep: timed.map(tokensOf),
    answerTokensPerStep: timed.map((batch) =>
      batch.reduce((sum, { tokenIds, answerStart }) => sum + tokenIds.length - answerStart, 0),
    ),
  },
  settings: SETTINGS,
  rounds: ROUNDS,
  timedSteps: STEPS,
  threads: THREADS,
  cpu: { model: cpus()[0].model, count: cpus().length, flags: await cpuFlags() },
  contenders: Object.fromEntries(Object.entries(runs).map(([name, list]) => [name, summary(list)])),
  ratios: ratios(),
};
const folder = new URL("results/", import.meta.url);
mkdirSync(folder, { recursive: true });
// Part of the contenders is a look, not a result.
if (!options.only) {
  writeFileSync(new URL(`${result.date}-train-${options.load}.json`, folder), `${JSON.stringify(result, null, 2)}\n`);
}
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);

/** @returns {examples: EncodedExample[], subjects?: string[]} */
async function loadOf(load) {
  if (load !== "synthetic" && load !== "set") throw new Error(`--load is ${load}; it must be synthetic or set`);
  const model = await startEngine(file.path, { ...DEFAULT_ENGINE, device: "cpu" });
  try {
    if (load === "synthetic") return { examples: syntheticExamples(model.facts.vocabularySize) };
    const needed = (WARM_UP_STEPS + STEPS) * SETTINGS.batchExamples;
    const found = await (options.set ? setExamples(setFile(options.set), model) : sampleExamples(needed, model));
    if (found.examples.length < needed) {
      throw new Error(`The set has ${found.examples.length} examples; ${needed} are needed.`);
    }
    return found;
  } finally {
    await model.dispose();
  }
}

/** A run folder stands for its first finetune set. */
function setFile(path) {
  if (!existsSync(path) || !statSync(path).isDirectory()) return path;
  const sets = existsSync(join(path, "04-finetune-sets")) ? join(path, "04-finetune-sets") : path;
  const [first] = readdirSync(sets)
    .filter((name) => name.endsWith(".jsonl"))
    .sort();
  if (!first) throw new Error(`${sets} holds no finetune set (*.jsonl).`);
  return join(sets, first);
}

function tokensOf(batch) {
  return batch.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
}

/** Tokens and examples are counted whole on every side: neither padding nor what was shared changes the count. */
function measures({ steps, peakBytes, parameters }) {
  const counted = steps.slice(WARM_UP_STEPS);
  const seconds = counted.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / 1000;
  const evaluated = counted.reduce((sum, { evaluatedTokens }) => sum + evaluatedTokens, 0);
  return {
    tokensPerSecond: timed.reduce((sum, batch) => sum + tokensOf(batch), 0) / seconds,
    examplesPerSecond: timed.reduce((sum, batch) => sum + batch.length, 0) / seconds,
    millisecondsPerStep: (seconds * 1000) / counted.length,
    peakBytes,
    // How busy the machine was: forward and the inputs' gradient cost 2·N a token each, frozen weights need no gradient. T is
    // what a side really evaluated, padding in and shared beginnings once.
    gflopsBy4NT: (4 * parameters.nonEmbedding * evaluated) / seconds / 1e9,
  };
}

function summary(list) {
  const each = list.map(measures);
  const { steps, peakBytes: _peak, productGflops: _rate, ...rest } = list[0];
  return {
    ...Object.fromEntries(
      Object.keys(each[0]).map((key) => {
        const values = each.map((measure) => measure[key]);
        return [key, { median: median(values), min: Math.min(...values), max: Math.max(...values) }];
      }),
    ),
    ...(list[0].productGflops
      ? {
          productGflops: median(list.map((run) => run.productGflops)),
          shareOfProducts: median(list.map((run, at) => each[at].gflopsBy4NT / run.productGflops)),
        }
      : {}),
    // Of the first round, warm-up included. The first step's must agree: B is zero and the batch is the same.
    losses: steps.map(({ lossNatsPerToken }) => lossNatsPerToken),
    evaluatedTokensPerStep: steps.map(({ evaluatedTokens }) => evaluatedTokens),
    ...rest,
  };
}

/** inward over each peer, round by round: neighbours in time share the machine's mood. */
function ratios() {
  const own = runs.inward;
  if (!own) return {};
  const others = Object.entries(runs).filter(([name]) => name !== "inward");
  return Object.fromEntries(
    others.map(([name, list]) => {
      const speed = own.map((run, at) => measures(run).tokensPerSecond / measures(list[at]).tokensPerSecond);
      const memory = own.map((run, at) => run.peakBytes / list[at].peakBytes);
      return [
        `inward / ${name}`,
        { speed: { median: median(speed), rounds: speed }, memory: { median: median(memory), rounds: memory } },
      ];
    }),
  );
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
