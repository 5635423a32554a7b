// What ggml's BLAS plugin changes when asking on the CPU: speed, and how far answers depend on what is in a batch together.
// node bench/blas-plugin-noise.mjs --file NAME=PATH … [--items 64] [--threads 2]; needs node scripts/build-blas-plugin.mjs
// Each file is asked one item at a time and batched over the shared prefix, without the plugin and with it, in processes of their own.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { prepare } from "../scripts/prepare.mjs";
import { runDriver } from "./engine/run-driver.mjs";

const { values: options } = parseArgs({
  options: {
    file: { type: "string", multiple: true, default: [] },
    items: { type: "string", default: "64" },
    threads: { type: "string", default: "2" },
    cache: { type: "string", default: "f32" },
  },
});
const PLUGIN = fileURLToPath(new URL("../native/build/ggml-blas.so", import.meta.url));
const SEQUENCES = 16;
const ANSWER_TOKENS = 8;
// OpenBLAS' own threads would otherwise spin against ggml's.
const WITH_PLUGIN = { GGML_BACKEND_PATH: PLUGIN, OPENBLAS_THREAD_TIMEOUT: "4" };
const CASES = {
  strict: { strict: true, env: {} },
  batched: { strict: false, env: {} },
  "strict, plugin": { strict: true, env: WITH_PLUGIN },
  "batched, plugin": { strict: false, env: WITH_PLUGIN },
};

prepare();
if (!existsSync(PLUGIN)) throw new Error(`${PLUGIN} is not there: node scripts/build-blas-plugin.mjs`);
const { cpuFlags } = await import("../dist/model/engine/cpu-flags.js");
const { engineReleases } = await import("../dist/model/engine/releases.js");
const { openModel } = await import("../dist/model/engine/open-model.js");
const { DEFAULT_ENGINE } = await import("../dist/plan/default-engine.js");
const { LOADS } = await import("./engine/loads.mjs");

const work = mkdtempSync(join(tmpdir(), "inward-bench-"));
const rows = [];
try {
  for (const given of options.file) {
    const [name, path] = given.split("=");
    const prompts = await promptsFor(path);
    const asked = {};
    for (const [title, { strict, env }] of Object.entries(CASES)) {
      const request = {
        modelPath: path,
        threads: Number(options.threads),
        sequences: SEQUENCES,
        batchTokens: 512,
        cacheType: options.cache,
        strict,
        warmUp: [],
        prompts,
        maxTokens: ANSWER_TOKENS,
      };
      asked[title] = runDriver("ask-native.mjs", request, join(work, "request.json"), env);
      if (asked[title].plugin !== (env === WITH_PLUGIN)) throw new Error(`${title}: the plugin is not as wanted.`);
      const row = {
        encoding: name,
        case: title,
        itemsPerSecond: prompts.length / asked[title].seconds,
        itemsPerCpuSecond: prompts.length / asked[title].cpuSeconds,
        // Against one item at a time, as it is without the plugin, and as it is with it.
        againstStrict: apart(asked.strict.answers, asked[title].answers),
        ...(asked["strict, plugin"]
          ? { againstStrictWithPlugin: apart(asked["strict, plugin"].answers, asked[title].answers) }
          : {}),
        loadAverage: loadavg()[0],
      };
      rows.push(row);
      process.stderr.write(`${JSON.stringify(row)}\n`);
    }
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
const result = {
  bench: "BLAS plugin: noise and speed",
  date: new Date().toISOString().slice(0, 10),
  items: Number(options.items),
  threads: Number(options.threads),
  cacheType: options.cache,
  cpu: { model: cpus()[0].model, count: cpus().length, flags: await cpuFlags() },
  ...(await engineReleases()),
  rows,
};
const folder = new URL("results/", import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL(`${result.date}-blas-plugin.json`, folder), `${JSON.stringify(result, null, 2)}\n`);
process.exit(0);

/** Hypothetical questions: eight properties of each string. */
async function promptsFor(path) {
  const model = await openModel(path, { ...DEFAULT_ENGINE, device: "cpu", threads: 1 });
  try {
    return (await LOADS.hypothetical(Number(options.items), model)).prompts;
  } finally {
    await model.dispose();
  }
}

/** Items with other tokens, and how far logprobs and margins of the tokens before the first other one are apart, nats. */
function apart(before, after) {
  let otherItems = 0;
  let logprob = 0;
  let margin = 0;
  before.forEach((one, item) => {
    const other = after[item];
    let at = 0;
    for (; at < one.tokenIds.length && one.tokenIds[at] === other.tokenIds[at]; at++) {
      logprob = Math.max(logprob, Math.abs(one.logprobs[at] - other.logprobs[at]));
      margin = Math.max(margin, Math.abs(one.margins[at] - other.margins[at]));
    }
    if (at === one.tokenIds.length && at === other.tokenIds.length) return;
    otherItems++;
    if (at < other.tokenIds.length && at < one.tokenIds.length) {
      margin = Math.max(margin, one.margins[at] + other.margins[at]);
    }
  });
  return { otherItems, maxLogprobDifference: logprob, maxMarginDifference: margin };
}
