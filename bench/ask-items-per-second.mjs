// Items per second of the object-level stage: inward's engine beside node-llama-cpp used directly, same file, same questions.
// npm run bench [rounds]: rounds alternate, medians are printed and stored in bench/results.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { prepare } from "../scripts/prepare.mjs";

prepare();
const { startEngine } = await import("../dist/model/engines/start-engine.js");
const { resolveModel } = await import("../dist/model/resolve-model.js");
const { DEFAULT_ENGINE } = await import("../dist/study/load-study.js");
const { loadTask } = await import("../dist/study/load-task.js");
const { objectLevelMessages } = await import("../dist/tasks/task.js");

const ROUNDS = Number(process.argv[2] ?? 5);
const ITEMS = 32;
const SEQUENCES = 8;

const file = await resolveModel("smollm2-135m-instruct", { encoding: "f32" });
const task = await loadTask("animals_long");
const questions = task.heldOut
  .slice(0, ITEMS)
  .map((item) => objectLevelMessages(task.definition, item, { examples: true, system: "" }));
const maxTokens = task.definition.maxTokens;

const model = await startEngine(file.path, { ...DEFAULT_ENGINE, device: "cpu", sequences: SEQUENCES });
const prompts = await Promise.all(questions.map((messages) => model.render(messages)));
const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });
const plain = await llama.loadModel({ modelPath: file.path });

async function ours() {
  const replies = await model.ask(
    questions.map((messages) => ({ messages, maxTokens, temperature: 0, topTokens: 10 })),
  );
  return replies.map((reply) => reply.tokenIds.length);
}

// The direct way: bare sequences from a pool, each prompt evaluated whole, greedy, no numbers read back.
async function peer() {
  const context = await plain.createContext({
    sequences: SEQUENCES,
    contextSize: 512,
    batchSize: 512,
    threads: 2,
    flashAttention: false,
  });
  const counts = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: SEQUENCES }, async () => {
      const sequence = context.getSequence();
      while (next < prompts.length) {
        const index = next++;
        await sequence.clearHistory();
        let count = 0;
        for await (const _ of sequence.evaluate(prompts[index].tokenIds, { temperature: 0, yieldEogToken: true })) {
          count++;
          if (plain.isEogToken(_) || count === maxTokens) break;
        }
        counts[index] = count;
      }
    }),
  );
  await context.dispose();
  return counts;
}

const rates = { inward: [], "node-llama-cpp": [] };
const tokens = {};
for (let round = 0; round <= ROUNDS; round++) {
  for (const [name, work] of [
    ["inward", ours],
    ["node-llama-cpp", peer],
  ]) {
    const begun = performance.now();
    const counts = await work();
    tokens[name] = counts.reduce((sum, count) => sum + count, 0);
    // The first round warms caches.
    if (round > 0) rates[name].push(ITEMS / ((performance.now() - begun) / 1000));
  }
}
await model.dispose();

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const result = {
  bench: "object-level items per second",
  date: new Date().toISOString().slice(0, 10),
  model: file.source,
  encoding: file.encoding,
  sha256: file.sha256,
  items: ITEMS,
  maxTokens,
  sequences: SEQUENCES,
  rounds: ROUNDS,
  cpu: { model: cpus()[0].model, count: cpus().length, flags: model.manifest.cpuFlags },
  llamaCpp: model.manifest.llamaCpp,
  generatedTokens: tokens,
  itemsPerSecond: Object.fromEntries(
    Object.entries(rates).map(([name, values]) => [
      name,
      { median: median(values), min: Math.min(...values), max: Math.max(...values) },
    ]),
  ),
  ratioOfMedians: median(rates.inward) / median(rates["node-llama-cpp"]),
};
const folder = new URL("results/", import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL(`${result.date}-object-level.json`, folder), `${JSON.stringify(result, null, 2)}\n`);
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
process.exit(0);
