// Whether an item costs the same in a larger group, what memory that takes, and where the time goes: native engine, object-level stage.
// node bench/engine-growth.mjs [--items 64 --items 256 --items 1024] [--encoding f32] [--rounds 3] [--threads 2]
// Each group in a fresh process, sizes in turn. Memory is the process's peak; openBytes the same before the group, with the weights in.
// bench/logprob-milliseconds.mjs has the growth over the vocabulary.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { prepare } from "../scripts/prepare.mjs";
import { runDriver } from "./engine/run-driver.mjs";
import { median, spread } from "./engine/spread.mjs";

const { values: options } = parseArgs({
  options: {
    items: { type: "string", multiple: true },
    encoding: { type: "string", default: "f32" },
    rounds: { type: "string", default: "3" },
    threads: { type: "string", default: "2" },
  },
});
const SIZES = (options.items ?? ["64", "256", "1024"]).map(Number);
const ROUNDS = Number(options.rounds);
const THREADS = Number(options.threads);

prepare();
const { cpuFlags } = await import("../dist/model/engines/settings.js");
const { engineReleases } = await import("../dist/model/native/addon.js");
const { resolveModel } = await import("../dist/model/resolve-model.js");

const file = await resolveModel("smollm2-135m-instruct", { encoding: options.encoding });
const work = mkdtempSync(join(tmpdir(), "inward-bench-"));
const turns = Object.fromEntries(SIZES.map((items) => [items, []]));
const loadAverages = [];
try {
  for (let round = 1; round <= ROUNDS; round++) {
    for (const items of SIZES) {
      const asked = runDriver(
        "ask-one-group.mjs",
        { modelPath: file.path, items, threads: THREADS },
        join(work, "request.json"),
      );
      turns[items].push(asked);
      process.stderr.write(`round ${round}/${ROUNDS}: ${items} items, ${(items / asked.seconds).toFixed(2)} items/s\n`);
    }
    loadAverages.push(loadavg()[0]);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
const result = {
  bench: "engine, growth with the number of items",
  date: new Date().toISOString().slice(0, 10),
  model: file.source,
  encoding: file.encoding,
  sha256: file.sha256,
  rounds: ROUNDS,
  threads: THREADS,
  loadAverages,
  cpu: { model: cpus()[0].model, count: cpus().length, flags: await cpuFlags() },
  ...(await engineReleases()),
  sizes: SIZES.map((items) => grown(items, turns[items])),
};
// Other sizes are a look, not a result.
if (!options.items) {
  const folder = new URL("results/", import.meta.url);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL(`${result.date}-engine-growth.json`, folder), `${JSON.stringify(result, null, 2)}\n`);
}
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);

function grown(items, list) {
  const share = (part) => spread(list.map((one) => part(one) / one.seconds));
  const [{ evaluatedTokens, distinctTokens, generatedTokens, mostSequences }] = list;
  return {
    items,
    itemsPerSecond: spread(list.map(({ seconds }) => items / seconds)),
    itemsPerCpuSecond: spread(list.map(({ cpuSeconds }) => items / cpuSeconds)),
    evaluatedTokensPerSecond: spread(list.map(({ seconds }) => evaluatedTokens / seconds)),
    evaluatedTokens,
    evaluatedPerDistinctToken: evaluatedTokens / distinctTokens,
    generatedTokens,
    mostSequences,
    openBytes: median(list.map(({ openBytes }) => openBytes)),
    peakBytes: median(list.map(({ peakBytes }) => peakBytes)),
    // Of the wall time; they sum to 1.
    shares: {
      decode: share(({ decodeSeconds }) => decodeSeconds),
      readLogits: share(({ readSeconds }) => readSeconds),
      tokenize: share(({ tokenizeSeconds }) => tokenizeSeconds),
      // Scheduling, detokenizing, making replies.
      rest: share(
        ({ seconds, decodeSeconds, readSeconds, tokenizeSeconds }) =>
          seconds - decodeSeconds - readSeconds - tokenizeSeconds,
      ),
    },
  };
}
