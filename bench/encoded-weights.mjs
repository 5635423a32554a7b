// Our own forward pass on weights as they lie in a file, type by type, beside llama.cpp on the same file and beside itself on F32: items
// a second where nothing is shared, answers one at a time, memory. They take turns, each in a fresh process.
// node bench/encoded-weights.mjs [--types q8_0,q4_1,q4_k_m,…] [--items 48] [--rounds 3] [--threads 2] [--answers 4] [--whole-blocks] [--out file.json]
// INWARD_KERNELS=avx2 holds back our kernels only, --peer-kernels haswell (or another of llama.cpp's builds) those of llama.cpp.
// --whole-blocks takes a model of random weights whose rows K-quants can encode (engine/whole-blocks.mjs).
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { prepare } from "../scripts/prepare.mjs";
import { buildPeers } from "./engine/build-peers.mjs";
import { runDriver } from "./engine/run-driver.mjs";
import { spread } from "./engine/spread.mjs";

const ALL = "f32,f16,bf16,q8_0,q6_k,q5_k_m,q5_1,q5_0,q4_k_m,q4_1,q4_0,q3_k_m,q2_k";
const { values: options } = parseArgs({
  options: {
    types: { type: "string", default: ALL },
    items: { type: "string", default: "48" },
    rounds: { type: "string", default: "3" },
    threads: { type: "string", default: "2" },
    // Prompts that are answered one at a time.
    answers: { type: "string", default: "4" },
    out: { type: "string" },
    "peer-kernels": { type: "string" },
    "whole-blocks": { type: "boolean", default: false },
  },
});
const [ITEMS, ROUNDS, THREADS, ANSWERS] = ["items", "rounds", "threads", "answers"].map((name) =>
  Number(options[name]),
);
const BATCH_TOKENS = 512;
const SEQUENCES = 32;
/** What llama-batched-bench is best with, of which the better counts. */
const PEER_SEQUENCES = [8, 16];
/** Of an answer that is made alone; the first comes with the prompt. */
const LONG_ANSWER = 65;

prepare();
const peers = buildPeers();
const { LOADS } = await import("./engine/loads.mjs");
const { startEngine } = await import("../dist/model/engines/start-engine.js");
const { cpuFlags } = await import("../dist/model/engines/settings.js");
const { reencodeModel } = await import("../dist/model/reencode-model.js");
const { resolveModel } = await import("../dist/model/resolve-model.js");
const { DEFAULT_ENGINE } = await import("../dist/study/load-study.js");

const MODEL = "smollm2-135m-instruct";
const work = mkdtempSync(join(tmpdir(), "inward-encoded-"));
const kept = process.env.INWARD_BENCH_FILES;
if (kept) mkdirSync(kept, { recursive: true });
if (options["peer-kernels"]) peers.libraries = heldBack(peers.libraries, options["peer-kernels"]);
const requestPath = join(work, "request.json");
let source = (await resolveModel(MODEL, { encoding: "f32" })).path;
if (options["whole-blocks"]) {
  const { writeWholeBlocks } = await import("./engine/whole-blocks.mjs");
  const wide = join(kept ?? work, "whole-blocks-f32.gguf");
  if (!existsSync(wide)) await writeWholeBlocks(source, wide);
  source = wide;
}
const types = {};
let load;
try {
  const model = await startEngine(source, { ...DEFAULT_ENGINE, device: "cpu" });
  load = await LOADS.lone(ITEMS, model).finally(() => model.dispose());
  const files = {};
  for (const type of new Set(["f32", ...options.types.split(",")])) files[type] = await fileOf(type);
  const turns = Object.fromEntries(Object.keys(files).map((type) => [type, []]));
  for (let round = 1; round <= ROUNDS; round++) {
    for (const [type, path] of Object.entries(files)) {
      turns[type].push(oneTurn(path));
      say(`round ${round}/${ROUNDS}, ${type}`, turns[type].at(-1));
    }
  }
  for (const [type, path] of Object.entries(files)) types[type] = summary(turns[type], turns.f32, statSync(path).size);
} finally {
  rmSync(work, { recursive: true, force: true });
}
const result = {
  bench: "weights as they lie in a file",
  date: new Date().toISOString().slice(0, 10),
  model: options["whole-blocks"] ? "random, 20 layers, 768 wide" : MODEL,
  items: ITEMS,
  rounds: ROUNDS,
  threads: THREADS,
  kernels: process.env.INWARD_KERNELS ?? "the processor's",
  peerKernels: options["peer-kernels"] ?? "the processor's",
  cpu: { model: cpus()[0].model, count: cpus().length, flags: await cpuFlags() },
  load: loadavg()[0],
  types,
};
if (options.out) writeFileSync(options.out, `${JSON.stringify(result, null, 2)}\n`);
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
process.exit(0);

/** llama.cpp's libraries with one build of its kernels alone, so that it cannot choose another. */
function heldBack(libraries, build) {
  const folder = join(work, "libraries");
  mkdirSync(folder);
  const kernels = /^libggml-cpu-(.*)\.so$/;
  const names = readdirSync(libraries).filter((name) => (kernels.exec(name)?.[1] ?? build) === build);
  if (!names.some((name) => kernels.test(name))) throw new Error(`${libraries} has no kernels named ${build}.`);
  for (const name of names) symlinkSync(join(libraries, name), join(folder, name));
  return folder;
}

async function fileOf(type) {
  if (type === "f32") return source;
  // Made once, where somebody keeps them.
  const out = join(kept ?? work, `${options["whole-blocks"] ? "whole-blocks-" : ""}${type}.gguf`);
  if (!existsSync(out)) await reencodeModel(source, { to: type, out });
  return out;
}

function oneTurn(modelPath) {
  const common = { modelPath, threads: THREADS, batchTokens: BATCH_TOKENS, cacheType: "f32", ...load };
  const own = (more) => runDriver("ask-native.mjs", { ...common, forward: "own", ...more }, requestPath);
  const peer = (more) => runDriver("ask-batched-bench.mjs", { ...common, peers, ...more }, requestPath);
  const many = own({ sequences: SEQUENCES });
  const theirs = Math.max(...PEER_SEQUENCES.map((sequences) => ITEMS / peer({ sequences }).seconds));
  const alone = { sequences: 1, prompts: load.prompts.slice(0, ANSWERS), warmUp: load.warmUp.slice(0, 1) };
  const [short, long] = [1, LONG_ANSWER].map((maxTokens) => own({ ...alone, maxTokens }));
  const tokens = ({ answers }) => answers.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
  return {
    items: ITEMS / many.seconds,
    peerItems: theirs,
    answerTokens: (tokens(long) - tokens(short)) / (long.seconds - short.seconds),
    peerAnswerTokens: peer({ ...alone, maxTokens: LONG_ANSWER }).answerRate,
    peakBytes: many.peakBytes,
    lonePeakBytes: long.peakBytes,
  };
}

function summary(turns, floats, fileBytes) {
  const of = (pick) => spread(turns.map(pick));
  return {
    fileBytes,
    itemsPerSecond: of(({ items }) => items),
    llamaBatchedBench: of(({ peerItems }) => peerItems),
    itemsRatio: of(({ items, peerItems }) => items / peerItems),
    itemsBesideF32: spread(turns.map(({ items }, round) => items / floats[round].items)),
    answerTokensPerSecond: of(({ answerTokens }) => answerTokens),
    llamaAnswerTokensPerSecond: of(({ peerAnswerTokens }) => peerAnswerTokens),
    answersRatio: of(({ answerTokens, peerAnswerTokens }) => answerTokens / peerAnswerTokens),
    peakBytes: of(({ peakBytes }) => peakBytes),
    lonePeakBytes: of(({ lonePeakBytes }) => lonePeakBytes),
  };
}

function say(what, rates) {
  const figures = Object.entries(rates).map(([name, value]) => `${name} ${value.toPrecision(4)}`);
  process.stderr.write(`${what}: ${figures.join(", ")}\n`);
}
