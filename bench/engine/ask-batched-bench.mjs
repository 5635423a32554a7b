// llama-batched-bench's turn. It makes up its prompts, reads nothing and answers nothing: it reports how many tokens a second it
// evaluates, of prompts (PP) and of one token of each sequence at a time (TG). Made into items: one item is as many prompt tokens as
// ours have on average at the rate of PP, and one token fewer than the longest answer, whose last one nobody evaluates, at that of TG.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

const request = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { prompts, sequences, maxTokens } = request;
const meanPrompt = prompts.reduce((sum, ids) => sum + ids.length, 0) / prompts.length;
const promptTokens = Math.max(...prompts.map((ids) => ids.length));
const answerTokens = maxTokens - 1;
/** llama.cpp pads each sequence's cache to this. */
const cells = Math.ceil((promptTokens + maxTokens) / 256) * 256;
// Whole groups only; one more than needed, which warms up.
const groups = Math.ceil(prompts.length / sequences);
const options = {
  "-m": request.modelPath,
  "-c": sequences * cells,
  "-b": Math.max(request.batchTokens, sequences * promptTokens),
  "-ub": request.batchTokens,
  "-npp": promptTokens,
  "-ntg": answerTokens,
  "-npl": new Array(groups + 1).fill(sequences).join(","),
  "-fa": "off",
  "-t": request.threads,
  "-tb": request.threads,
  "-ctk": request.cacheType,
  "-ctv": request.cacheType,
  "-ngl": 0,
  "--output-format": "jsonl",
};
const { status, signal, stdout, stderr } = spawnSync(
  request.peers.batchedBench,
  Object.entries(options).flat().map(String),
  {
    encoding: "utf8",
    // ggml looks for its kernels beside the program and in the current folder.
    cwd: request.peers.libraries,
    maxBuffer: 1 << 28,
  },
);
if (status !== 0) throw new Error(`llama-batched-bench ended with ${signal ?? status}: ${stderr.slice(-2000)}`);
const rows = `${stdout}\n${stderr}`
  .split("\n")
  .filter((line) => line.startsWith("{"))
  .map((line) => JSON.parse(line))
  .slice(1);
if (rows.length !== groups) throw new Error(`llama-batched-bench reported ${rows.length} groups, not ${groups}.`);
const evaluated = (count) => groups * sequences * count;
const promptRate = evaluated(promptTokens) / sum(rows.map(({ t_pp }) => t_pp));
const answerRate = evaluated(answerTokens) / sum(rows.map(({ t_tg }) => t_tg));
const seconds = prompts.length * (meanPrompt / promptRate + answerTokens / answerRate);
process.stdout.write(`${JSON.stringify({ seconds, promptRate, answerRate })}\n`);

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}
