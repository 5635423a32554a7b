// Items per second of the native engine beside node-llama-cpp, on the work of a study's stages and on prompts that share nothing.
// node bench/engine-items-per-second.mjs [--encoding f32|as_shipped] [--load object|hypothetical|lone] [--items 48] [--rounds 5] [--threads 2] [--only <contender> …]
// The best number of sequences is looked for first, for every contender. Then they take turns, each turn in a fresh process. Only the
// native engine reads anything back: logprob, margin and entropy of every token and ten best at the first. Where nothing is shared, a
// plain loop on llama.cpp's C API and llama-batched-bench take part, on the same libraries (engine/contenders.mjs).
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { prepare } from "../scripts/prepare.mjs";
import { contendersFor } from "./engine/contenders.mjs";
import { runDriver } from "./engine/run-driver.mjs";
import { median, spread } from "./engine/spread.mjs";

const { values: options } = parseArgs({
  options: {
    encoding: { type: "string", default: "f32" },
    load: { type: "string", multiple: true },
    items: { type: "string", default: "48" },
    rounds: { type: "string", default: "5" },
    threads: { type: "string", default: "2" },
    // What inward's engine keeps keys and values as; node-llama-cpp has f16.
    cache: { type: "string", default: "f32" },
    // Contenders besides native, which the others' answers are held against; all of them when absent.
    only: { type: "string", multiple: true },
  },
});
const ITEMS = Number(options.items);
const ROUNDS = Number(options.rounds);
const THREADS = Number(options.threads);
const BATCH_TOKENS = 512;
/** Enough to tell numbers of sequences apart. */
const SCAN_ITEMS = 16;

prepare();
const { LOADS, distinctTokens } = await import("./engine/loads.mjs");
const { startEngine } = await import("../dist/model/engines/start-engine.js");
const { cpuFlags } = await import("../dist/model/engines/settings.js");
const { engineReleases } = await import("../dist/model/native/addon.js");
const { resolveModel } = await import("../dist/model/resolve-model.js");
const { DEFAULT_ENGINE } = await import("../dist/study/load-study.js");

const file = await resolveModel("smollm2-135m-instruct", { encoding: options.encoding });
const names = options.load ?? Object.keys(LOADS);
const unknown = names.filter((name) => !(name in LOADS));
if (unknown.length > 0) throw new Error(`--load takes ${Object.keys(LOADS).join(" | ")}, not ${unknown.join(", ")}`);
const work = mkdtempSync(join(tmpdir(), "inward-bench-"));
const requestPath = join(work, "request.json");
const loads = {};
try {
  const prompts = await renderedLoads();
  for (const name of names) loads[name] = compare(name, prompts[name]);
} finally {
  rmSync(work, { recursive: true, force: true });
}

const result = {
  bench: "engine, items per second",
  date: new Date().toISOString().slice(0, 10),
  model: file.source,
  encoding: file.encoding,
  sha256: file.sha256,
  items: ITEMS,
  rounds: ROUNDS,
  threads: THREADS,
  batchTokens: BATCH_TOKENS,
  cacheType: options.cache,
  cpu: { model: cpus()[0].model, count: cpus().length, flags: await cpuFlags() },
  ...(await engineReleases()),
  loads,
};
const folder = new URL("results/", import.meta.url);
mkdirSync(folder, { recursive: true });
// Part of the loads is a look, not a result.
if (!options.load) {
  const name = `${result.date}-engine-${file.encoding.toLowerCase()}.json`;
  writeFileSync(new URL(name, folder), `${JSON.stringify(result, null, 2)}\n`);
}
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
process.exit(0);

async function renderedLoads() {
  const model = await startEngine(file.path, { ...DEFAULT_ENGINE, device: "cpu" });
  try {
    const made = {};
    for (const name of names) made[name] = await LOADS[name](ITEMS, model);
    return made;
  } finally {
    await model.dispose();
  }
}

function compare(name, load) {
  const { contenders: all, leftOut } = contendersFor(name, options.cache);
  const contenders = Object.fromEntries(
    Object.entries(all).filter(([one]) => !options.only || one === "native" || options.only.includes(one)),
  );
  const turn = (contender, sequences, part = load.prompts.length) => {
    const { driver, request, env } = contenders[contender];
    const prompts = load.prompts.slice(0, part);
    const setting = { modelPath: file.path, threads: THREADS, batchTokens: BATCH_TOKENS, sequences };
    const answered = runDriver(driver, { ...request, ...setting, ...load, prompts }, requestPath, env);
    if (answered.plugin !== undefined && answered.plugin !== (env !== undefined)) {
      throw new Error(`${contender}: the BLAS plugin is ${answered.plugin ? "" : "not "}there.`);
    }
    return { ...answered, items: prompts.length };
  };
  const rate = ({ items, seconds }) => items / seconds;
  // On one thread nothing spins, so this one holds on a busy machine too. llama-batched-bench has no figure for it.
  const cpuRate = ({ items, cpuSeconds }) => items / cpuSeconds;
  const hasCpu = (list) => list.every(({ cpuSeconds }) => cpuSeconds !== undefined);
  const scanRate = (answered) => (THREADS === 1 && hasCpu([answered]) ? cpuRate(answered) : rate(answered));
  const scans = {};
  const best = {};
  for (const [contender, { sequences }] of Object.entries(contenders)) {
    scans[contender] = Object.fromEntries(
      sequences.map((count) => [count, scanRate(turn(contender, count, SCAN_ITEMS))]),
    );
    best[contender] = sequences.reduce((a, b) => (scans[contender][b] > scans[contender][a] ? b : a));
    say(`${name}: ${contender} is best with ${best[contender]} sequences`, scans[contender]);
  }
  const turns = Object.fromEntries(Object.keys(contenders).map((contender) => [contender, []]));
  const loadAverages = [];
  for (let round = 1; round <= ROUNDS; round++) {
    for (const contender of Object.keys(contenders)) turns[contender].push(turn(contender, best[contender]));
    loadAverages.push(loadavg()[0]);
    say(
      `${name}: round ${round}/${ROUNDS}`,
      Object.fromEntries(Object.entries(turns).map(([contender, list]) => [contender, rate(list.at(-1))])),
    );
  }
  const distinct = distinctTokens(
    load.prompts,
    turns.native[0].answers.map(({ tokenIds }) => tokenIds),
  );
  return {
    promptTokens: load.prompts.reduce((sum, prompt) => sum + prompt.length, 0),
    maxTokens: load.maxTokens,
    distinctTokens: distinct,
    loadAverages,
    leftOut,
    contenders: Object.fromEntries(
      Object.entries(turns).map(([contender, list]) => [
        contender,
        {
          sequences: best[contender],
          itemsPerSecond: spread(list.map(rate)),
          ...(hasCpu(list) ? { itemsPerCpuSecond: spread(list.map(cpuRate)) } : {}),
          bySequences: scans[contender],
          ...(list[0].answers ? workDone(list, turns.native[0].answers, distinct) : {}),
          ...(list[0].promptRate ? { tokensPerSecond: tokenRates(list) } : {}),
        },
      ]),
    ),
    // Round by round: neighbours in time share the machine's mood.
    ratios: Object.fromEntries(
      Object.keys(contenders)
        .filter((contender) => contender.startsWith("native"))
        .flatMap((own) =>
          Object.entries(turns)
            .filter(([other]) => other !== own)
            .map(([other, list]) => [
              `${own} / ${other}`,
              {
                speed: spread(turns[own].map((answered, round) => rate(answered) / rate(list[round]))),
                ...(hasCpu(list)
                  ? { cpu: spread(turns[own].map((answered, round) => cpuRate(answered) / cpuRate(list[round]))) }
                  : {}),
              },
            ]),
        ),
    ),
  };
}

/** What a contender evaluated and answered, over its rounds. */
function workDone(list, nativeAnswers, distinct) {
  const [{ answers, evaluatedTokens }] = list;
  return {
    evaluatedTokens,
    evaluatedPerDistinctToken: evaluatedTokens / distinct,
    generatedTokens: answers.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0),
    peakBytes: median(list.map(({ peakBytes }) => peakBytes)),
    // Whether it was the same work; a tie may fall to either side where batches differ.
    itemsAsNative: answers.filter(({ tokenIds }, item) => sameIds(tokenIds, nativeAnswers[item].tokenIds)).length,
  };
}

/** What llama-batched-bench says itself. */
function tokenRates(list) {
  return {
    prompt: spread(list.map(({ promptRate }) => promptRate)),
    answer: spread(list.map(({ answerRate }) => answerRate)),
  };
}

function sameIds(a, b) {
  return a.length === b.length && a.every((id, at) => id === b[at]);
}

function say(what, rates) {
  const figures = Object.entries(rates).map(([name, value]) => `${name}: ${value.toFixed(2)}`);
  process.stderr.write(`${what}  (items/s) ${figures.join(", ")}\n`);
}
