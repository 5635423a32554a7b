// Prompts that share nothing, read by our own forward pass through the addon alone: what fma-share.mjs and engine-shapes.mjs time.
import { inspectGguf } from "../../dist/gguf/inspect-gguf.js";
import { readGguf } from "../../dist/gguf/read-gguf.js";
import { findBinaries, loadAddon } from "../../dist/model/native/addon.js";

const { folder: binariesFolder } = findBinaries("cpu");
const { Engine } = await loadAddon(binariesFolder);

export function openOwnForward(modelPath, { threads, sequences }) {
  return new Engine({
    modelPath,
    binariesFolder,
    device: "cpu",
    threads,
    sequences,
    batchTokens: 512,
    mostCells: 0,
    strict: false,
    cacheType: "f32",
    forward: "own",
  });
}

/** Reads so many prompts of so many tokens; answers nothing. Seconds by the clock and of the processor. */
export function readPrompts(engine, prompts, tokens) {
  const ids = Int32Array.from(
    { length: prompts * tokens },
    (_, at) => 300 + ((at * 7919 + Math.floor(at / tokens) * 131) % 16_000),
  );
  const [cpu, wall] = [process.cpuUsage(), performance.now()];
  engine.begin({
    tokenIds: ids,
    starts: Int32Array.from({ length: prompts + 1 }, (_, at) => at * tokens),
    scoreFrom: new Int32Array(prompts).fill(tokens),
    maxTokens: new Int32Array(prompts),
    draws: new Float64Array(0),
    topTokens: 1,
    readIds: new Int32Array(0),
  });
  while (engine.step()) engine.take();
  engine.take();
  const { user, system } = process.cpuUsage(cpu);
  return { wall: (performance.now() - wall) / 1000, cpu: (user + system) / 1e6 };
}

/** Floating point operations of it: after the last layer's keys and values only the last token of each prompt goes on. */
export async function operationsOf(path) {
  const { tensors } = await readGguf(path);
  const { blockCount, embeddingLength, vocabularySize } = await inspectGguf(path);
  const matrices = (layer, names) =>
    tensors.reduce((sum, { name, elements, dimensions }) => {
      const [, of, rest] = /^blk\.(\d+)\.(.*)\.weight$/.exec(name) ?? [];
      return Number(of) === layer && dimensions.length > 1 && names.test(rest) ? sum + elements : sum;
    }, 0);
  const [inputs, others] = [matrices(0, /^attn_(q|k|v|qkv)$/), matrices(0, /^(attn_output|ffn_.*)$/)];
  const queries = (tensors.find(({ name }) => name === "blk.0.attn_output.weight")?.dimensions[0] ?? 0) * 2;
  return (prompts, tokens) => {
    const whole = (blockCount - 1) * (inputs + others + (queries * (tokens + 1)) / 2);
    const last = prompts * (others + queries * tokens + embeddingLength * vocabularySize);
    return 2 * (prompts * tokens * (whole + inputs) + last);
  };
}
