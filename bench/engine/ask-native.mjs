// The native engine's turn: the addon's own class, in this process.
import { readFileSync } from "node:fs";

const { findBinaries } = await import("../../dist/model/native/addon.js");
const { loadAddon } = await import("../../dist/model/native/addon.js");

const request = JSON.parse(readFileSync(process.argv[2], "utf8"));
const binaries = findBinaries("cpu");
const { Engine } = await loadAddon(binaries.folder);
const engine = new Engine({
  modelPath: request.modelPath,
  binariesFolder: binaries.folder,
  device: "cpu",
  threads: request.threads,
  sequences: request.sequences,
  batchTokens: request.batchTokens,
  mostCells: 0,
  strict: request.strict ?? false,
  cacheType: request.cacheType ?? "f16",
  flashAttention: request.flashAttention ?? false,
  forward: request.forward ?? "llama.cpp",
});

ask(request.warmUp);
const cpuBegun = process.cpuUsage();
const begun = performance.now();
const taken = ask(request.prompts);
const seconds = (performance.now() - begun) / 1000;
const cpu = process.cpuUsage(cpuBegun);
const cpuSeconds = (cpu.user + cpu.system) / 1e6;
const { evaluatedTokens, distinctTokens, decodes, mostSequences, decodeSeconds, readSeconds } = engine.counts();
// Whether the BLAS plugin is really there.
const plugin = process.report.getReport().sharedObjects.some((path) => path.endsWith("ggml-blas.so"));
const peakBytes = process.resourceUsage().maxRSS * 1024;
engine.dispose();
const answers = [];
for (const { items, counts, tokenIds, logprobs, margins } of taken) {
  let at = 0;
  items.forEach((item, index) => {
    const end = at + counts[index];
    answers[item] = {
      tokenIds: [...tokenIds.subarray(at, end)],
      logprobs: [...logprobs.subarray(at, end)],
      margins: [...margins.subarray(at, end)],
    };
    at = end;
  });
}
process.stdout.write(
  `${JSON.stringify({ seconds, cpuSeconds, answers, evaluatedTokens, distinctTokens, decodes, mostSequences, decodeSeconds, readSeconds, plugin, peakBytes })}\n`,
);
process.exit(0);

function ask(prompts) {
  if (prompts.length === 0) return [];
  const starts = [0];
  for (const prompt of prompts) starts.push(starts.at(-1) + prompt.length);
  engine.begin({
    tokenIds: Int32Array.from(prompts.flat()),
    starts: Int32Array.from(starts),
    scoreFrom: Int32Array.from(prompts, (prompt) => (request.scores ? 1 : prompt.length)),
    maxTokens: new Int32Array(prompts.length).fill(request.maxTokens),
    draws: new Float64Array(0),
    topTokens: request.topTokens ?? 10,
    readIds: new Int32Array(0),
  });
  const finished = [];
  for (let goesOn = true; goesOn; ) {
    goesOn = engine.step();
    finished.push(engine.take());
  }
  return finished;
}
