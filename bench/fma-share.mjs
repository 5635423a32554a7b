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
const { resolveModel } = await import("../dist/model/resolve-model.js");
const { openOwnForward, operationsOf, readPrompts } = await import("./engine/read-prompts.mjs");
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
for (const path of files) {
  const engine = openOwnForward(path, { threads: 1, sequences: PROMPTS });
  const { kernels } = engine.describe();
  const wanted = (await operationsOf(path))(PROMPTS, TOKENS);
  const rates = Array.from({ length: ROUNDS }, () => wanted / readPrompts(engine, PROMPTS, TOKENS).cpu / 1e9);
  engine.dispose();
  const best = Math.max(...rates);
  const peak = JSON.parse(run(program, []))[kernels] ?? 0;
  const share = peak > 0 ? `${(best / peak).toFixed(2)} of ${peak} GFLOP/s` : "no peak is measured for these kernels";
  const tokens = (best * 1e9 * PROMPTS * TOKENS) / wanted;
  console.log(`${path}: ${kernels}, ${tokens.toFixed(0)} tokens/s, ${best.toFixed(1)} GFLOP/s, ${share}`);
}
rmSync(folder, { recursive: true, force: true });
