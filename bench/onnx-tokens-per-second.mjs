// Tokens per second of onnxruntime beside our own forward pass, F32, on the same prompts with the same greedy answers.
// node bench/onnx-tokens-per-second.mjs [--threads 2] [--rounds 5] [--prompts 1,8,32] [--tokens 40] [--answer 32] [--also nbits8,nbits8/4,int8]
// Prompts of random tokens share nothing. Prompts: read until each one's first answer token is known. Answers: all further tokens, the
// answers made together. Each turn is a process of its own, and contenders take turns round by round; threads of onnxruntime spin.
// --also adds quantized graphs: how many bits, and after a slash 4 for activations of 8 bits. Their answers are others.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { prepare } from "../scripts/prepare.mjs";
import { runDriver } from "./engine/run-driver.mjs";
import { median, spread } from "./engine/spread.mjs";

const { values: options } = parseArgs({
  options: {
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
    prompts: { type: "string", default: "1,8,32" },
    tokens: { type: "string", default: "40" },
    answer: { type: "string", default: "32" },
    also: { type: "string", default: "" },
  },
});
const [THREADS, ROUNDS, TOKENS, ANSWER] = [options.threads, options.rounds, options.tokens, options.answer].map(Number);
const COUNTS = options.prompts.split(",").map(Number);
const BATCH_TOKENS = 512;

prepare();
const { cpuFlags } = await import("../dist/model/engines/settings.js");
const { engineReleases } = await import("../dist/model/native/addon.js");
const { modelFolder } = await import("../dist/model/model-file.js");
const { resolveModel } = await import("../dist/model/resolve-model.js");
const { onnxVariant } = await import("../dist/onnx/onnx-engine.js");
const { ONNX_PACKAGES } = await import("../dist/onnx/onnx-packages.js");

const file = await resolveModel("smollm2-135m-instruct", { encoding: "f32" });
// On the disk of the weights, so that the graph can point into them.
const work = join(modelFolder(), `onnx-bench.partial-${process.pid}`);
mkdirSync(work, { recursive: true });
const requestPath = join(work, "request.json");
try {
  const contenders = { "inward, own forward pass": ownTurn };
  const sizes = {};
  for (const one of ["none", ...options.also.split(",").filter(Boolean)]) {
    const [quantization, level = "0"] = one.split("/");
    const variant = await onnxVariant(file.path, join(work, one.replace("/", "-")), {
      quantization,
      accuracyLevel: Number(level),
    });
    contenders[variant.name] = (prompts, warmUp) => onnxTurn(variant.written, prompts, warmUp);
    sizes[variant.name] = variant.bytes;
  }
  const all = promptsThatGoOn(Math.max(...COUNTS));
  const rows = [];
  for (const count of COUNTS) rows.push(compare(contenders, all.slice(0, count)));
  const result = {
    bench: "onnx, tokens per second",
    date: new Date().toISOString().slice(0, 10),
    model: file.source,
    sha256: file.sha256,
    threads: THREADS,
    rounds: ROUNDS,
    promptTokens: TOKENS,
    answerTokens: ANSWER,
    cpu: { model: cpus()[0].model, count: cpus().length, flags: await cpuFlags() },
    ...(await engineReleases()),
    packages: ONNX_PACKAGES,
    bytes: sizes,
    rows,
  };
  const folder = new URL("results/", import.meta.url);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL(`${result.date}-onnx.json`, folder), `${JSON.stringify(result, null, 2)}\n`);
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
} finally {
  rmSync(work, { recursive: true, force: true });
}
process.exit(0);

function ownDriver(prompts, warmUp, maxTokens) {
  const request = { modelPath: file.path, threads: THREADS, batchTokens: BATCH_TOKENS, sequences: prompts.length };
  const how = { forward: "own", cacheType: "f32", topTokens: 1, maxTokens };
  return runDriver("ask-native.mjs", { ...request, ...how, prompts, warmUp }, requestPath);
}

/** Prompts alone, and then with their answers: the difference is the answers'. */
function ownTurn(prompts, warmUp) {
  const read = ownDriver(prompts, warmUp, 1);
  const answered = ownDriver(prompts, warmUp, ANSWER);
  return {
    promptSeconds: read.seconds,
    answerSeconds: answered.seconds - read.seconds,
    tokenIds: answered.answers.map(({ tokenIds }) => tokenIds),
    peakBytes: answered.peakBytes,
  };
}

function onnxTurn({ path, decoder }, prompts, warmUp) {
  const cacheShape = [decoder.keyValueHeads, decoder.headWidth];
  const request = { graphPath: path, cacheShape, threads: THREADS, maxTokens: ANSWER, prompts, warmUp };
  return runDriver("ask-onnx.mjs", request, requestPath);
}

/** Those whose greedy answers do not end before their time, so that everybody makes as many tokens. */
function promptsThatGoOn(count) {
  const random = xoroshiro128plus(16);
  const tried = Array.from({ length: 2 * count + 8 }, () =>
    Array.from({ length: TOKENS }, () => uniformInt(random, 1000, 40_000)),
  );
  const { answers } = ownDriver(tried, [], ANSWER);
  const found = tried.filter((_, at) => answers[at].tokenIds.length === ANSWER);
  if (found.length < count)
    throw new Error(`only ${found.length} of ${tried.length} answers go on for ${ANSWER} tokens`);
  return found;
}

function compare(contenders, prompts) {
  const warmUp = [prompts[0].toReversed()];
  const turns = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
  const loadAverages = [];
  for (let round = 0; round < ROUNDS; round++) {
    const order = Object.keys(contenders);
    for (const name of round % 2 === 0 ? order : order.toReversed())
      turns[name].push(contenders[name](prompts, warmUp));
    loadAverages.push(loadavg()[0]);
  }
  const [own] = Object.values(turns);
  const rates = (list) => ({
    prompts: spread(list.map(({ promptSeconds }) => (prompts.length * TOKENS) / promptSeconds)),
    answers: spread(list.map(({ answerSeconds }) => (prompts.length * (ANSWER - 1)) / answerSeconds)),
  });
  const row = {
    prompts: prompts.length,
    loadAverages,
    contenders: Object.fromEntries(
      Object.entries(turns).map(([name, list]) => [
        name,
        {
          ...rates(list),
          peakBytes: median(list.map(({ peakBytes }) => peakBytes)),
          answersAsOwn: list[0].tokenIds.filter((ids, at) => ids.join() === own[0].tokenIds[at].join()).length,
        },
      ]),
    ),
    // Round by round: neighbours in time share the machine's mood.
    ownOver: Object.fromEntries(
      Object.entries(turns)
        .slice(1)
        .map(([name, list]) => [
          name,
          {
            prompts: spread(list.map(({ promptSeconds }, round) => promptSeconds / own[round].promptSeconds)),
            answers: spread(list.map(({ answerSeconds }, round) => answerSeconds / own[round].answerSeconds)),
          },
        ]),
    ),
  };
  for (const [name, { prompts: read, answers, answersAsOwn }] of Object.entries(row.contenders)) {
    const rate = ({ median: middle, max }) => `${middle.toFixed(0)} (best ${max.toFixed(0)})`;
    process.stderr.write(
      `${prompts.length} × ${TOKENS}, ${name}: prompts ${rate(read)}, answers ${rate(answers)} tokens/s, ${answersAsOwn} of ${prompts.length} answers as ours\n`,
    );
  }
  return row;
}
