/**
 * Which share of the processor's peak a whole forward pass of ours reaches: 32 prompts of 40 tokens, one thread, by processor time, so that
 * others at work disturb it little. Beside it the peak: fused multiply-adds that wait for nothing. INWARD_KERNELS=avx2 holds ours back.
 *   node bench/fma-share.mjs [model.gguf …]     default: the default model as F32 and as shipped
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { prepare } from "../scripts/prepare.mjs";

prepare();
const { inspectGguf } = await import("../dist/gguf/inspect-gguf.js");
const { readGguf } = await import("../dist/gguf/read-gguf.js");
const { resolveModel } = await import("../dist/model/resolve-model.js");
const { findBinaries, loadAddon } = await import("../dist/model/native/addon.js");
const [PROMPTS, TOKENS, ROUNDS] = [32, 40, 8];

const folder = mkdtempSync(join(tmpdir(), "inward-fma-"));
const program = join(folder, "fma-peak");
const source = fileURLToPath(new URL("engine/fma-peak.cpp", import.meta.url));
const run = (command, args) => {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
  return stdout;
};
run(process.env.CXX ?? "c++", ["-O2", "-std=c++17", "-o", program, source]);

const given = process.argv.slice(2);
const files =
  given.length > 0
    ? given
    : await Promise.all(
        ["f32", "as_shipped"].map(async (encoding) => (await resolveModel("smollm2-135m-instruct", { encoding })).path),
      );
const { folder: binariesFolder } = findBinaries("cpu");
const { Engine } = await loadAddon(binariesFolder);

/** Floating point operations of one round: after the last layer's keys and values only the last token of each prompt goes on. */
async function operations(path) {
  const { tensors } = await readGguf(path);
  const { blockCount, embeddingLength, vocabularySize } = await inspectGguf(path);
  const matrices = (layer, names) =>
    tensors.reduce((sum, { name, elements, dimensions }) => {
      const [, of, rest] = /^blk\.(\d+)\.(.*)\.weight$/.exec(name) ?? [];
      return Number(of) === layer && dimensions.length > 1 && names.test(rest) ? sum + elements : sum;
    }, 0);
  const [inputs, others] = [matrices(0, /^attn_(q|k|v|qkv)$/), matrices(0, /^(attn_output|ffn_.*)$/)];
  const queries = (tensors.find(({ name }) => name === "blk.0.attn_output.weight")?.dimensions[0] ?? 0) * 2;
  const all = PROMPTS * TOKENS;
  const whole = (blockCount - 1) * (inputs + others + (queries * (TOKENS + 1)) / 2);
  const last = PROMPTS * (others + queries * TOKENS + embeddingLength * vocabularySize);
  return 2 * (all * (whole + inputs) + last);
}

function seconds(engine) {
  const ids = Int32Array.from(
    { length: PROMPTS * TOKENS },
    (_, at) => 300 + ((at * 7919 + Math.floor(at / TOKENS) * 131) % 16_000),
  );
  const begun = process.cpuUsage();
  engine.begin({
    tokenIds: ids,
    starts: Int32Array.from({ length: PROMPTS + 1 }, (_, at) => at * TOKENS),
    scoreFrom: new Int32Array(PROMPTS).fill(TOKENS),
    maxTokens: new Int32Array(PROMPTS),
    draws: new Float64Array(0),
    topTokens: 1,
    readIds: new Int32Array(0),
  });
  while (engine.step()) engine.take();
  engine.take();
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / 1e6;
}

for (const path of files) {
  const engine = new Engine({
    modelPath: path,
    binariesFolder,
    device: "cpu",
    threads: 1,
    sequences: PROMPTS,
    batchTokens: 512,
    mostCells: 0,
    strict: false,
    cacheType: "f32",
    forward: "own",
  });
  const { kernels } = engine.describe();
  const wanted = await operations(path);
  const rates = Array.from({ length: ROUNDS }, () => wanted / seconds(engine) / 1e9);
  engine.dispose();
  const best = Math.max(...rates);
  const peak = JSON.parse(run(program, []))[kernels] ?? 0;
  const share = peak > 0 ? `${(best / peak).toFixed(2)} of ${peak} GFLOP/s` : "no peak is measured for these kernels";
  const tokens = (best * 1e9 * PROMPTS * TOKENS) / wanted;
  console.log(`${path}: ${kernels}, ${tokens.toFixed(0)} tokens/s, ${best.toFixed(1)} GFLOP/s, ${share}`);
}
rmSync(folder, { recursive: true, force: true });
