/**
 * Adapters whose mechanism is known because there is one place where it can sit, trained by a study on planted learners and judged by the rule of
 * self_simulation: what learnt its own behavior is to be called a simulation; what learnt scrambled labels, labels by a hash of the string, or to read
 * a quoted answer is not. And by layer: each is found where it sits (self 1, quoted answers 2; strings learnt by heart 0).
 *   node validation/trained-plants.mjs [--seeds 5] [--items 8]
 * Each seed is another map from answers to the property, and other strings, weights and labels. Exit code 1 where any comes out otherwise. 30 s of a core a seed.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parse, stringify } from "yaml";
import { hashOf } from "../dist/base/files.js";
import { runStudy, switchAdapterLayers, writePlantedStudy } from "../dist/index.js";
import { PLANTED_QUESTION } from "../dist/probe/planted-vocabulary.js";

const { values: options } = parseArgs({
  options: { seeds: { type: "string", default: "5" }, items: { type: "string", default: "8" } },
});
const items = Number(options.items);
const SELF = "planted-predicts-planted";
const ADAPTERS = {
  self: SELF,
  scrambled: `${SELF}-scrambled`,
  hashed: "planted-predicts-hashed",
  format: `${SELF}-format-only`,
};
const ENGINE = { device: "cpu", threads: 1, cache: false };

/** Answers of somebody who chooses each color by a hash of the string, as inspect_ai keeps them. */
function hashedLog({ strings, answers }, seed) {
  const samples = strings.map(({ text }, pair) => {
    const content = answers[Number.parseInt(hashOf([seed, text]).slice(0, 8), 16) % answers.length];
    const input = PLANTED_QUESTION.replace("{string}", text);
    const reply = { role: "assistant", content };
    const output = { choices: [{ message: reply, stop_reason: "stop" }] };
    return {
      id: `pair-${pair}`,
      epoch: 1,
      input,
      target: "",
      messages: [{ role: "user", content: input }, reply],
      output,
    };
  });
  const about = { model: "somebody/hashed", packages: { inspect_ai: "0.3.285" } };
  return JSON.stringify({ version: 2, status: "success", eval: about, samples });
}

async function study(folder, seed) {
  const planted = await writePlantedStudy(join(folder, "planted"), { mechanism: "learner", items, seed });
  const common = { seed, engine: ENGINE, noiseFloor: { questions: 0 }, score: { bootstrapReplicates: 200 } };
  writeFileSync(join(folder, "planted", "hashed.json"), hashedLog(planted, seed));
  const keys = parse(readFileSync(planted.study, "utf8"));
  const predictions = ["planted", "hashed"].map((target) => ({ predictor: "planted", target }));
  writeFileSync(
    planted.study,
    stringify({ ...keys, ...common, elsewhere: { hashed: { answers: "hashed.json" } }, predictions }),
  );
  const trained = join(folder, "trained");
  await runStudy(planted.study, { out: trained });
  const adapterOf = (name) => join(trained, "05-adapters", `${ADAPTERS[name]}.gguf`);
  mkdirSync(join(folder, "worn"));
  const worn = join(folder, "worn", "study.yaml");
  const models = Object.keys(ADAPTERS).map((name) => [name, { source: planted.path, adapter: adapterOf(name) }]);
  writeFileSync(
    worn,
    stringify({
      ...common,
      study: "worn",
      models: Object.fromEntries(models),
      tasks: [{ task: planted.task, examples: false }],
      hypothetical: { variants: ["minimal"] },
      experiments: ["self_simulation"],
      patching: { sites: "residual_after.0", strings: items ** 2 / 2, samples: 3 },
    }),
  );
  await runStudy(worn, { out: join(folder, "worn", "run") });
  const { questions } = JSON.parse(readFileSync(join(folder, "worn", "run", "08-simulation.json"), "utf8"));
  const effects = {};
  for (const name of Object.keys(ADAPTERS)) {
    // What it has learnt: of its own behavior strings that it has not seen, so that what is learnt by heart is of no use.
    const lines = readFileSync(join(trained, "04-finetune-sets", `${ADAPTERS[name]}.jsonl`), "utf8")
      .trim()
      .split("\n");
    const learnt = lines.map((line) => JSON.parse(line).messages);
    const seen = learnt.map((messages) => ({ messages: messages.slice(0, -1), value: messages.at(-1).content }));
    const rows = name === "self" ? unseen(planted, seen) : seen;
    const prompts = rows.map(({ messages, value }, at) => ({ id: String(at), messages, meta: { value } }));
    const made = await switchAdapterLayers(prompts, planted.path, {
      ...{ adapter: adapterOf(name), choices: ["yes", "no"], valueKey: "value", engine: ENGINE },
      ...{ layers: [0, 1, 2], out: join(folder, `${name}.jsonl`) },
    });
    effects[name] = made.layers;
  }
  return { questions, effects };
}

/** The hypothetical prompts of the other strings: as the learnt ones, with another string in the place of theirs. */
function unseen({ strings }, seen) {
  const known = strings.find(({ text }) => seen[0].messages.at(-1).content.includes(text));
  const has = new Set(seen.map(({ messages }) => messages.at(-1).content));
  return strings.flatMap(({ text, value }) => {
    const messages = seen[0].messages.map(({ role, content }) => ({
      role,
      content: content.replace(known.text, text),
    }));
    return has.has(messages.at(-1).content) ? [] : [{ messages, value }];
  });
}

const SITS = { self: 1, scrambled: 0, hashed: 0, format: 2 };
const text = (estimate) =>
  estimate?.ok ? `${estimate.value.toFixed(2)} [${estimate.low.toFixed(2)}, ${estimate.high.toFixed(2)}]` : "-";
let failed = false;
for (let seed = 1; seed <= Number(options.seeds); seed++) {
  const folder = mkdtempSync(join(tmpdir(), "inward-trained-plants-"));
  const { questions, effects } = await study(folder, seed);
  rmSync(folder, { recursive: true, force: true });
  for (const name of Object.keys(ADAPTERS)) {
    const { finding, reasons, sites } = questions.find(({ state }) => state === name);
    const [site] = sites;
    const gains = effects[name].map(({ alone, lost }) =>
      [alone, lost].map(({ meanGain = 0 }) => meanGain.toFixed(1)).join("/"),
    );
    const largest = effects[name].toSorted((a, b) => (b.alone.meanGain ?? 0) - (a.alone.meanGain ?? 0))[0];
    const found = effects[name]
      .filter(({ alone }) => alone.adjusted.ok && alone.adjusted.p < 0.05)
      .map(({ layer }) => layer);
    const isRight = (finding === "simulates") === (name === "self") && largest.layer === SITS[name];
    if (!isRight) failed = true;
    console.log(
      `seed ${seed} ${name.padEnd(9)} ${finding.padEnd(11)} (${reasons.join(", ")}) slope ${text(site.covariations[0]?.slope)} follow ${text(site.follow)} same ${text(site.sameChanges)}; ` +
        `nats by layer, alone/lost: ${gains.join("  ")}; found in ${found.join(", ") || "none"}${isRight ? "" : "  OTHERWISE THAN IT IS"}`,
    );
  }
}
if (failed) process.exitCode = 1;
