// What it costs to list the likeliest tokens at every position of an answer, beside asking without: in seconds and in bytes.
// node bench/alternatives-cost.mjs [--model smollm2-135m-instruct] [--rounds 5] [--threads 2] [--questions 48] [--no-peer]
// The same questions to the own forward pass, to llama.cpp's graph, and to node-llama-cpp, which has all logits handed to JavaScript; without
// lists, with 10 and with 100, in turns; the least of the rounds, of the clock and of processor time (Linux), which other programs hardly touch. Answers and logprobs must be the same with and without.
import assert from "node:assert";
import { readdirSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { prepare } from "../scripts/prepare.mjs";

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: "smollm2-135m-instruct" },
    rounds: { type: "string", default: "5" },
    threads: { type: "string", default: "2" },
    questions: { type: "string", default: "48" },
    peer: { type: "boolean", default: true },
  },
  allowNegative: true,
});
const LISTED = [undefined, 10, 100];
/** What two kinds of sum over a vocabulary may differ by: node-llama-cpp's own total, in single precision, where it is not listed. */
const ROUNDING_NATS = 1e-4;
const WORDS = ["cat", "fox", "owl", "hen", "cow", "pig", "bee", "ant", "elk", "yak", "emu", "cod"];

prepare();
const { openModel } = await import("../dist/index.js");
const requests = Array.from({ length: Number(options.questions) }, (_, at) => ({
  messages: [
    { role: "system", content: "" },
    {
      role: "user",
      content: `Go on with this list of animals: ${[0, 5, 7].map((by) => WORDS[(at + by) % 12]).join(" ")} ${at}`,
    },
  ],
  maxTokens: 12,
  temperature: 0,
  topTokens: 10,
}));
const threads = Number(options.threads);

/** Processor time of this process and of those that it started, seconds; where the system does not say, NaN. */
function processorSeconds() {
  if (process.platform !== "linux") return Number.NaN;
  let ticks = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ");
      if (Number(pid) === process.pid || Number(fields[1]) === process.pid)
        ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      // It has ended.
    }
  }
  return ticks / 100;
}

const engines = {
  "own forward pass": { forward: "own", threads },
  "llama.cpp's graph": { forward: "llama.cpp", threads },
  ...(options.peer ? { "node-llama-cpp": { engine: "node-llama-cpp", threads } } : {}),
};
for (const [name, engine] of Object.entries(engines)) {
  const model = await openModel(options.model, { device: "cpu", offline: true, engine });
  const seconds = LISTED.map(() => []);
  const processor = LISTED.map(() => []);
  const replies = [];
  for (let round = 0; round <= Number(options.rounds); round++) {
    for (const [at, positions] of LISTED.entries()) {
      const asked = requests.map((request) => (positions === undefined ? request : { ...request, positions }));
      const begun = performance.now();
      const before = processorSeconds();
      replies[at] = await model.ask(asked);
      // The first round makes contexts.
      if (round === 0) continue;
      seconds[at].push((performance.now() - begun) / 1000);
      processor[at].push(processorSeconds() - before);
    }
  }
  await model.dispose();
  for (const listed of replies.slice(1)) {
    for (const [at, reply] of listed.entries()) {
      const plain = replies[0][at];
      assert.deepEqual(reply.tokenIds, plain.tokenIds);
      for (const [place, one] of reply.logprobs.entries())
        assert(Math.abs(one - plain.logprobs[place]) <= (name === "node-llama-cpp" ? ROUNDING_NATS : 0));
    }
  }
  const tokens = replies[0].reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
  const bytesOf = (all) => all.reduce((sum, one) => sum + Buffer.byteLength(JSON.stringify(one)), 0);
  const [least, computed] = [seconds, processor].map((kind) => kind.map((all) => Math.min(...all)));
  const more = (all, at) => +(100 * (all[at] / all[0] - 1)).toFixed(1);
  const rows = [];
  for (const [at, listed] of LISTED.entries()) {
    const bytes = (bytesOf(replies[at]) - bytesOf(replies[0])) / tokens;
    const time = {
      seconds: +least[at].toFixed(3),
      more: more(least, at),
      processor: computed[at],
      moreProcessor: more(computed, at),
    };
    rows.push({ engine: name, listed: listed ?? 0, tokens, ...time, bytesPerToken: Math.round(bytes) });
  }
  console.table(rows);
}
