// What an exact distribution costs, and how far off it is, beside samples of the same question.
// node bench/distribution-tokens.mjs [--items 20] [--samples 200] [--epsilon 0.001 …] [--encoding f32] [--threads 2]
// second_character of what the model continues animals_long with, at temperature 1. The truth is a far deeper expansion (--truth-epsilon
// 1e-5, at most --truth-budget tokens an item; its own tail is told). Samples are counted twice: whole answers, and each stopped at the first token that
// decides the property; the prompt once in both (and, as "unshared", once for each whole answer: an engine that shares nothing), and never an answer's last token, whose successor nobody asks for.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { prepare } from "../scripts/prepare.mjs";
import { mean, outcomes, sum, tokensUntilDecided, unlike } from "./engine/compare-distributions.mjs";

const { values: options } = parseArgs({
  options: {
    items: { type: "string", default: "20" },
    samples: { type: "string", default: "200" },
    epsilon: { type: "string", multiple: true, default: ["0.05", "0.01", "0.001"] },
    "truth-epsilon": { type: "string", default: "0.00001" },
    "truth-budget": { type: "string", default: "1500" },
    encoding: { type: "string", default: "f32" },
    threads: { type: "string", default: "2" },
  },
});
const TASK = "animals_long";
const PROPERTY = "second_character";
const SAMPLES = Number(options.samples);
const SEED = "bench/distribution-tokens";
const OTHER = [{ role: "user", content: "Hello" }];

prepare();
const { expandDistribution } = await import("../dist/ask/expand-distribution.js");
const { modelSource } = await import("../dist/ask/measure-distribution.js");
const { sampleDistribution } = await import("../dist/ask/measure-distribution.js");
const { settledText } = await import("../dist/ask/expand-distribution.js");
const { ChatTokens } = await import("../dist/model/chat/encode.js");
const { cpuFlags } = await import("../dist/model/engines/settings.js");
const { startEngine } = await import("../dist/model/engines/start-engine.js");
const { engineReleases } = await import("../dist/model/native/addon.js");
const { inspectGguf } = await import("../dist/gguf/inspect-gguf.js");
const { resolveModel } = await import("../dist/model/resolve-model.js");
const { DEFAULT_ENGINE } = await import("../dist/study/load-study.js");
const { propertyNamed } = await import("../dist/properties/all-properties.js");
const { behaviorDecider } = await import("../dist/properties/deciders.js");
const { loadTask } = await import("../dist/study/load-task.js");
const { objectLevelMessages } = await import("../dist/tasks/task.js");

const file = await resolveModel("smollm2-135m-instruct", { encoding: options.encoding });
const model = await startEngine(file.path, { ...DEFAULT_ENGINE, device: "cpu", threads: Number(options.threads) });
const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });
const vocabulary = await llama.loadModel({ modelPath: file.path, vocabOnly: true, gpuLayers: 0 });
const chat = new ChatTokens(vocabulary, (await inspectGguf(file.path)).chatTemplate, model.facts);

const { definition, heldOut } = await loadTask(TASK);
const rows = [];
try {
  for (const item of heldOut.slice(0, Number(options.items))) {
    const row = await measure(item);
    rows.push(row);
    process.stderr.write(`${JSON.stringify(row)}\n`);
  }
} finally {
  await model.dispose();
}

const kinds = [...options.epsilon.map((epsilon) => `expansion, epsilon ${epsilon}`), "samples"];
const result = {
  bench: "exact distribution beside samples, evaluated tokens",
  date: new Date().toISOString().slice(0, 10),
  model: file.source,
  encoding: file.encoding,
  sha256: file.sha256,
  task: TASK,
  property: PROPERTY,
  maxTokens: definition.maxTokens,
  items: rows.length,
  samples: SAMPLES,
  truth: {
    epsilon: Number(options["truth-epsilon"]),
    greatestTail: Math.max(...rows.map(({ truth }) => truth.tail)),
    evaluatedTokens: sum(rows.map(({ truth }) => truth.evaluatedTokens)),
  },
  totals: Object.fromEntries(kinds.map((kind) => [kind, totals(rows.map((row) => row[kind]))])),
  cpu: { model: cpus()[0].model, count: cpus().length, flags: await cpuFlags() },
  ...(await engineReleases()),
  rows,
};
// Fewer items are a look, not a result.
if (rows.length >= 20) {
  const folder = new URL("results/", import.meta.url);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL(`${result.date}-distribution.json`, folder), `${JSON.stringify(result, null, 2)}\n`);
}
process.stdout.write(`${JSON.stringify({ ...result, rows: undefined }, null, 2)}\n`);
process.exit(0);

async function measure(item) {
  const messages = objectLevelMessages(definition, item, { examples: true, system: "" });
  const decider = behaviorDecider(propertyNamed(PROPERTY), item);
  const promptTokens = (await model.render(messages)).tokenIds.length;
  const { vocabularySize, cleansSpaces } = model.facts;
  const facts = { vocabularySize, promptTokens, cleansSpaces };
  const expand = async (epsilon, tokenBudget) => {
    // Another question, so that nobody finds the prompt evaluated already.
    await model.ask([{ messages: OTHER, maxTokens: 1, temperature: 0, topTokens: 1 }]);
    const begun = performance.now();
    const source = modelSource(model, messages, facts);
    const budget = tokenBudget ? { tokenBudget } : {};
    const made = await expandDistribution(source, decider, { maxTokens: definition.maxTokens, epsilon, ...budget });
    return { made, seconds: (performance.now() - begun) / 1000 };
  };
  const expansions = {};
  for (const epsilon of options.epsilon) expansions[epsilon] = await expand(Number(epsilon));
  const sampled = await sample(messages, decider, promptTokens);
  const { made: truth } = await expand(Number(options["truth-epsilon"]), Number(options["truth-budget"]));
  const row = {
    item: item.id,
    promptTokens,
    truth: { values: outcomes(truth).size, tail: truth.tail, evaluatedTokens: truth.evaluatedTokens },
  };
  for (const [epsilon, { made, seconds }] of Object.entries(expansions)) {
    row[`expansion, epsilon ${epsilon}`] = {
      evaluatedTokens: made.evaluatedTokens,
      expandedNodes: made.expandedNodes,
      stoppedBy: made.stoppedBy,
      tail: made.tail,
      seconds,
      ...unlike(made, truth),
      shareOfWholeSamples: made.evaluatedTokens / sampled.wholeTokens,
      shareOfStoppedSamples: made.evaluatedTokens / sampled.stoppedTokens,
      shareOfUnsharedSamples: made.evaluatedTokens / sampled.unsharedTokens,
    };
  }
  const { distribution, ...cost } = sampled;
  row.samples = { ...cost, ...unlike(distribution, truth, SAMPLES) };
  return row;
}

async function sample(messages, decider, promptTokens) {
  let wholeTokens = promptTokens;
  let stoppedTokens = promptTokens;
  const text = (ids) => settledText(chat.text(ids), model.facts.cleansSpaces);
  const counting = {
    ask: async (requests, asking) => {
      const replies = await model.ask(requests, asking);
      for (const { tokenIds } of replies) {
        wholeTokens += tokenIds.length - 1;
        stoppedTokens += tokensUntilDecided(tokenIds, text, decider) - 1;
      }
      return replies;
    },
  };
  const begun = performance.now();
  const setting = { maxTokens: definition.maxTokens, samples: SAMPLES, seed: SEED };
  const distribution = await sampleDistribution(counting, messages, decider, "engine", setting);
  const unsharedTokens = wholeTokens + (SAMPLES - 1) * promptTokens;
  return { distribution, wholeTokens, stoppedTokens, unsharedTokens, seconds: (performance.now() - begun) / 1000 };
}

/** Over all items: tokens and seconds are summed, errors averaged, shares made of the sums. */
function totals(ofItems) {
  const added = ["evaluatedTokens", "wholeTokens", "stoppedTokens", "unsharedTokens", "seconds"].filter(
    (name) => name in ofItems[0],
  );
  const averaged = ["meanAbsoluteError", "totalVariation", "expectedStandardError", "tail", "covered"].filter(
    (name) => name in ofItems[0],
  );
  const samples = rows.map((row) => row.samples);
  const of = (list, name) => list.map((one) => one[name]);
  return {
    ...Object.fromEntries(added.map((name) => [name, sum(of(ofItems, name))])),
    ...Object.fromEntries(averaged.map((name) => [name, mean(of(ofItems, name))])),
    greatestError: Math.max(...of(ofItems, "greatestError")),
    ...("evaluatedTokens" in ofItems[0]
      ? {
          shareOfWholeSamples: sum(of(ofItems, "evaluatedTokens")) / sum(of(samples, "wholeTokens")),
          shareOfStoppedSamples: sum(of(ofItems, "evaluatedTokens")) / sum(of(samples, "stoppedTokens")),
          shareOfUnsharedSamples: sum(of(ofItems, "evaluatedTokens")) / sum(of(samples, "unsharedTokens")),
          itemsWithSmallerError: ofItems.filter(
            ({ meanAbsoluteError }, at) => meanAbsoluteError < samples[at].meanAbsoluteError,
          ).length,
        }
      : {}),
  };
}
