// What it costs to read a position's logprobs, by size of the vocabulary: the native engine beside node-llama-cpp's `probabilities`.
// node bench/logprob-milliseconds.mjs [--rounds 5] [--threads 2]
// The model is one small block under a large vocabulary. node-llama-cpp: answers with and without `probabilities`, the difference. Native:
// the engine's own clock around reading, over a prompt with every position scored. Beside it the difference between that prompt scored
// and not, which has the product that makes the logits in it, and a whole generated token, evaluation and all.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { prepare } from "../scripts/prepare.mjs";
import { runDriver } from "./engine/run-driver.mjs";
import { spread } from "./engine/spread.mjs";

const { values: options } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, threads: { type: "string", default: "2" } },
});
const ROUNDS = Number(options.rounds);
const THREADS = Number(options.threads);
const VOCABULARIES = [16_384, 32_768, 65_536, 128_256];
const PROMPT_TOKENS = 401;
const GENERATED_TOKENS = 200;

prepare();
const { cpuFlags } = await import("../dist/model/engines/settings.js");
const { engineReleases } = await import("../dist/model/native/addon.js");
const { writeWideVocabulary } = await import("./engine/wide-vocabulary.mjs");

const prompt = Array.from({ length: PROMPT_TOKENS }, (_, at) => 97 + ((at * 7) % 26));
const asking = { prompts: [prompt.slice(0, 8)], maxTokens: GENERATED_TOKENS };
const TURNS = {
  nativeScored: { driver: "ask-native.mjs", request: { prompts: [prompt], maxTokens: 1, scores: true } },
  nativeUnscored: { driver: "ask-native.mjs", request: { prompts: [prompt], maxTokens: 1 } },
  nativeGenerating: { driver: "ask-native.mjs", request: asking },
  peerGenerating: { driver: "ask-node-llama-cpp.mjs", request: asking },
  peerProbabilities: { driver: "ask-node-llama-cpp.mjs", request: { ...asking, probabilities: true } },
};

const work = mkdtempSync(join(tmpdir(), "inward-bench-"));
const vocabularies = {};
try {
  for (const size of VOCABULARIES) {
    const modelPath = join(work, `${size}.gguf`);
    await writeWideVocabulary(modelPath, size);
    vocabularies[size] = measure(modelPath);
    rmSync(modelPath);
    const { nativeRead, nativeGenerated, peerRead } = vocabularies[size];
    process.stderr.write(
      `${size} tokens (ms a position)  native: ${nativeRead.median.toFixed(3)}, whole step ${nativeGenerated.median.toFixed(3)}; ` +
        `node-llama-cpp probabilities: ${peerRead.median.toFixed(2)}\n`,
    );
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
const result = {
  bench: "logprob read-out, milliseconds per position",
  date: new Date().toISOString().slice(0, 10),
  rounds: ROUNDS,
  threads: THREADS,
  seconds: THREADS === 1 ? "processor time" : "wall",
  cpu: { model: cpus()[0].model, count: cpus().length, flags: await cpuFlags() },
  ...(await engineReleases()),
  vocabularies,
};
const folder = new URL("results/", import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL(`${result.date}-logprobs.json`, folder), `${JSON.stringify(result, null, 2)}\n`);
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);

function measure(modelPath) {
  const requestPath = join(work, "request.json");
  const seconds = Object.fromEntries(Object.keys(TURNS).map((name) => [name, []]));
  const readSeconds = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, { driver, request }] of Object.entries(TURNS)) {
      const setting = {
        modelPath,
        threads: THREADS,
        forward: "own",
        sequences: 1,
        batchTokens: 512,
        warmUp: [prompt.slice(0, 8)],
      };
      const answered = runDriver(driver, { ...setting, ...request }, requestPath);
      const generated = answered.answers[0].tokenIds.length;
      if (generated !== request.maxTokens) throw new Error(`${name} generated ${generated} tokens.`);
      // On one thread nothing spins, so processor time holds on a busy machine too.
      if (name === "nativeScored") readSeconds.push(answered.readSeconds);
      seconds[name].push(THREADS === 1 ? answered.cpuSeconds : answered.seconds);
    }
  }
  const perPosition = (name, positions) => seconds[name].map((value) => (1000 * value) / positions);
  const difference = (a, b, positions) =>
    perPosition(a, positions).map((value, round) => value - perPosition(b, positions)[round]);
  return {
    nativeRead: spread(readSeconds.map((value) => (1000 * value) / (PROMPT_TOKENS - 1))),
    nativeReadWithProduct: spread(difference("nativeScored", "nativeUnscored", PROMPT_TOKENS - 1)),
    nativeGenerated: spread(perPosition("nativeGenerating", GENERATED_TOKENS)),
    peerRead: spread(difference("peerProbabilities", "peerGenerating", GENERATED_TOKENS)),
    peerGenerated: spread(perPosition("peerGenerating", GENERATED_TOKENS)),
  };
}
