// What a benchmark of quantized files says of speed, beside llama-bench (built from node-llama-cpp's bundle) on the same files in the same rounds:
// node bench/quantize-speed.mjs [types] [rounds]: q8_0,q4_k_m,q4_0 and 3 unless given. On a quiet machine. Prints a line of JSON a file: tokens/s of
// 256 tokens read at once and of 48 written one after the other, by inward's own forward pass, by llama.cpp's kernels under inward's scheduler,
// and by llama-bench with the same threads (its keys and values are F16: it takes no F32); of each the middle round.
import { spawnSync } from "node:child_process";
import { startCompareProcess } from "../dist/quantize/compare-logits.js";
import { settleEngine } from "../dist/model/engines/settings.js";
import { resolveModel } from "../dist/model/resolve-model.js";
import { makeVariants } from "../dist/quantize/variants.js";
import { DEFAULT_ENGINE } from "../dist/study/load-study.js";
import { buildPeers } from "./engine/build-peers.mjs";

const [types = "q8_0,q4_k_m,q4_0", rounds = "3"] = process.argv.slice(2);
const [PROMPT, ANSWER] = [256, 48];
const { bench, libraries } = buildPeers(["bench"]);
const source = await resolveModel("smollm2-135m-instruct", { encoding: "f32" });
const variants = await makeVariants({ source, types: types.split(","), files: {} });
const engine = await settleEngine(
  { ...DEFAULT_ENGINE, device: "cpu" },
  variants.map(({ path }) => path),
);

async function ours(path, settings) {
  const worker = startCompareProcess(settings);
  try {
    const { facts } = await worker.call("open", [path, settings, {}]);
    const prompt = Array.from({ length: PROMPT }, (_, at) => (48_271 * (at + 1)) % facts.vocabularySize);
    await worker.call("speed", [prompt.slice(0, 16), 1]);
    const { readSeconds, generatedTokens, generatingSeconds } = await worker.call("speed", [prompt, ANSWER]);
    return [PROMPT / readSeconds, generatedTokens / generatingSeconds];
  } finally {
    await worker.end();
  }
}

function theirs(path) {
  const flags = ["-m", path, "-p", PROMPT, "-n", ANSWER, "-t", engine.threads, "-r", 1, "-o", "json"];
  const same = ["-fa", 0, "-ngl", 0];
  const { stdout, stderr, status } = spawnSync(bench, [...flags, ...same].map(String), {
    encoding: "utf8",
    cwd: libraries,
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(stderr.slice(-2000));
  const rate = (wanted) =>
    JSON.parse(stdout).find((one) => one.n_prompt === wanted[0] && one.n_gen === wanted[1]).avg_ts;
  return [rate([PROMPT, 0]), rate([0, ANSWER])];
}

const measured = variants.map(() => ({ own: [], llamaCpp: [], llamaBench: [] }));
for (let round = 0; round < Number(rounds); round++) {
  for (const turn of variants.keys()) {
    const at = (turn + round) % variants.length;
    const { path } = variants[at];
    measured[at].own.push(await ours(path, engine));
    measured[at].llamaCpp.push(await ours(path, { ...engine, forward: "llama.cpp" }));
    measured[at].llamaBench.push(theirs(path));
  }
}
const middle = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
for (const [at, { name }] of variants.entries()) {
  const rates = Object.fromEntries(
    Object.entries(measured[at]).map(([who, all]) => [
      who,
      {
        reads: Number(middle(all.map(([one]) => one)).toFixed(1)),
        writes: Number(middle(all.map(([, one]) => one)).toFixed(1)),
      },
    ]),
  );
  process.stdout.write(
    `${JSON.stringify({ file: name, threads: engine.threads, rounds: Number(rounds), ...rates })}\n`,
  );
}
