// What ggml's BLAS plugin changes when asking on the CPU: speed, and how far answers depend on what is in a batch together.
// node bench/blas-plugin-noise.mjs [--encoding Q4_1 …] [--file NAME=PATH …] [--items 64] [--rounds 3] [--threads 2]
// Needs node scripts/build-blas-plugin.mjs. SmolLM2-135M as Q4_1 (as it is shipped), Q8_0, F16 and F32, made from one another, unless
// files are named. Each is asked one item at a time and batched over the shared prefix, without the plugin and with it, and batched with
// flash attention, in processes of their own that take turns.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { prepare } from "../scripts/prepare.mjs";
import { BLAS_PLUGIN_ENV } from "./engine/blas-plugin.mjs";
import { runDriver } from "./engine/run-driver.mjs";
import { spread } from "./engine/spread.mjs";

const { values: options } = parseArgs({
  options: {
    encoding: { type: "string", multiple: true },
    file: { type: "string", multiple: true },
    items: { type: "string", default: "64" },
    rounds: { type: "string", default: "3" },
    threads: { type: "string", default: "2" },
    cache: { type: "string", default: "f32" },
  },
});
const SEQUENCES = 32;
const ANSWER_TOKENS = 8;
const CASES = {
  strict: { strict: true },
  batched: { strict: false },
  "strict, plugin": { strict: true, env: BLAS_PLUGIN_ENV },
  "batched, plugin": { strict: false, env: BLAS_PLUGIN_ENV },
  "batched, flash attention": { strict: false, flashAttention: true },
  "batched, flash attention, plugin": { strict: false, flashAttention: true, env: BLAS_PLUGIN_ENV },
};

prepare();
if (!BLAS_PLUGIN_ENV) throw new Error("The BLAS plugin is not there: node scripts/build-blas-plugin.mjs");
const { cpuFlags } = await import("../dist/model/engines/settings.js");
const { engineReleases } = await import("../dist/model/native/addon.js");
const { startEngine } = await import("../dist/model/engines/start-engine.js");
const { resolveModel } = await import("../dist/model/resolve-model.js");
const { DEFAULT_ENGINE } = await import("../dist/study/load-study.js");
const { LOADS } = await import("./engine/loads.mjs");

const work = mkdtempSync(join(tmpdir(), "inward-bench-"));
const ENCODINGS = {
  Q4_1: () => resolved("as_shipped"),
  Q8_0: () => resolved("q8_0"),
  F16: () => resolved("f16"),
  F32: () => resolved("f32"),
};

const rows = [];
try {
  for (const [encoding, path] of await files()) {
    const row = { encoding, ...measure(path, await promptsFor(path)), loadAverage: loadavg()[0] };
    rows.push(row);
    process.stderr.write(`${JSON.stringify(row)}\n`);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
const result = {
  bench: "BLAS plugin: noise and speed",
  date: new Date().toISOString().slice(0, 10),
  items: Number(options.items),
  rounds: Number(options.rounds),
  sequences: SEQUENCES,
  threads: Number(options.threads),
  cacheType: options.cache,
  cpu: { model: cpus()[0].model, count: cpus().length, flags: await cpuFlags() },
  ...(await engineReleases()),
  rows,
};
// Part of the table is a look, not a result.
if (!options.encoding && !options.file) {
  const folder = new URL("results/", import.meta.url);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL(`${result.date}-blas-plugin.json`, folder), `${JSON.stringify(result, null, 2)}\n`);
}
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
process.exit(0);

async function files() {
  if (options.file) return options.file.map((given) => given.split("="));
  const made = [];
  for (const name of options.encoding ?? Object.keys(ENCODINGS)) {
    if (!(name in ENCODINGS)) throw new Error(`--encoding takes ${Object.keys(ENCODINGS).join(" | ")}, not ${name}`);
    made.push([name, await ENCODINGS[name]()]);
  }
  return made;
}

async function resolved(encoding) {
  return (await resolveModel("smollm2-135m-instruct", { encoding })).path;
}

function measure(path, prompts) {
  const turns = Object.fromEntries(Object.keys(CASES).map((title) => [title, []]));
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const title of Object.keys(CASES)) turns[title].push(ask(title, path, prompts));
  }
  const answers = (title) => turns[title][0].answers;
  return {
    cases: Object.fromEntries(
      Object.entries(turns).map(([title, list]) => [
        title,
        {
          itemsPerSecond: spread(list.map(({ seconds }) => prompts.length / seconds)),
          itemsPerCpuSecond: spread(list.map(({ cpuSeconds }) => prompts.length / cpuSeconds)),
        },
      ]),
    ),
    batchedAgainstStrict: {
      without: apart(answers("strict"), answers("batched")),
      plugin: apart(answers("strict, plugin"), answers("batched, plugin")),
      flashAttention: apart(answers("strict"), answers("batched, flash attention")),
      "flash attention, plugin": apart(answers("strict"), answers("batched, flash attention, plugin")),
    },
    pluginAgainstWithout: {
      strict: apart(answers("strict"), answers("strict, plugin")),
      batched: apart(answers("batched"), answers("batched, plugin")),
    },
  };
}

function ask(title, modelPath, prompts) {
  const { strict, env, flashAttention = false } = CASES[title];
  const request = {
    modelPath,
    threads: Number(options.threads),
    sequences: SEQUENCES,
    batchTokens: 512,
    cacheType: options.cache,
    strict,
    flashAttention,
    warmUp: prompts.slice(0, 2),
    prompts,
    maxTokens: ANSWER_TOKENS,
  };
  const asked = runDriver("ask-native.mjs", request, join(work, "request.json"), env);
  if (asked.plugin !== (env !== undefined)) throw new Error(`${title}: the plugin is not as wanted.`);
  return asked;
}

/** Hypothetical questions: eight properties of each string. */
async function promptsFor(path) {
  const model = await startEngine(path, { ...DEFAULT_ENGINE, device: "cpu", threads: 1 });
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
    // Where the answers part, what was best with so much to spare is best no more.
    if (at < other.tokenIds.length && at < one.tokenIds.length) {
      margin = Math.max(margin, one.margins[at] + other.margins[at]);
    }
  });
  return { otherItems, maxLogprobDifference: logprob, maxMarginDifference: margin };
}
