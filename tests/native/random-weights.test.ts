/** Models with random weights in the place of their own: the same shape, the same prompts, another network. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { dequantize } from "../../src/gguf/encodings.js";
import { randomWeightBytes, writeRandomWeights } from "../../src/gguf/random-weights.js";
import { type GgufTensor, readGguf } from "../../src/gguf/read-gguf.js";
import { OpenWeights } from "../../src/gguf/split-model.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import { startEngine } from "../../src/model/engines/start-engine.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-random-weights-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const SOURCE = "ab".repeat(32);

async function tensorsOf(path: string): Promise<Map<string, Float32Array>> {
  const file = await readGguf(path);
  const weights = await OpenWeights.of(file);
  const read = async (tensor: GgufTensor) => {
    const bytes = new Uint8Array(tensor.byteLength);
    await weights.read(tensor, bytes, 0);
    return [tensor.name, dequantize(tensor.type, bytes, tensor.elements)] as const;
  };
  const all = new Map(await Promise.all(file.tensors.map(read)));
  await weights.close();
  return all;
}

const meanSquare = (values: Float32Array) => values.reduce((sum, value) => sum + value * value, 0) / values.length;

test.each(["llama", "gemma3", "phi3"] as const)(
  "%s: matrices are drawn to the trained mean square, norms are 1; it answers",
  async (architecture) => {
    const [source, target] = [join(folder, `${architecture}.gguf`), join(folder, `${architecture}-random.gguf`)];
    await writeTinyModel(source, { architecture, seed: 3, normSpread: 0.1 });
    const written = await writeRandomWeights(source, target, { seed: 7, sourceSha256: SOURCE });
    const [own, random] = [await tensorsOf(source), await tensorsOf(target)];
    expect([...random.keys()]).toEqual([...own.keys()]);
    for (const [name, values] of random) {
      const trained = own.get(name) as Float32Array;
      expect(values).toHaveLength(trained.length);
      if (name.endsWith("_norm.weight")) expect(new Set(values)).toEqual(new Set([1]));
      else if (/bias$/.test(name)) expect(new Set(values)).toEqual(new Set([0]));
      else if (name.startsWith("rope_")) expect(values).toEqual(trained);
      else {
        // Of 4096 numbers or more; the spread of a mean of squares of an even draw is 0.9 / √n.
        expect(meanSquare(values) / meanSquare(trained)).toBeGreaterThan(0.93);
        expect(meanSquare(values) / meanSquare(trained)).toBeLessThan(1.07);
        const along = values.reduce((sum, value, at) => sum + value * (trained[at] as number), 0);
        expect(Math.abs(along) / (values.length * meanSquare(trained))).toBeLessThan(0.1);
      }
    }
    const { tensors, dataOffset } = await readGguf(target).then(({ tensors, parts }) => ({
      tensors,
      dataOffset: parts[0]?.dataOffset ?? 0,
    }));
    expect(written.bytes - dataOffset - randomWeightBytes(tensors)).toBeLessThan(32 * tensors.length);
    const model = await startEngine(target, {
      ...DEFAULT_ENGINE,
      engine: "native",
      forward: "own",
      device: "cpu",
      threads: 1,
    });
    const [reply] = await model.ask([
      { messages: [{ role: "user", content: "river" }], maxTokens: 3, temperature: 0, topTokens: 1 },
    ]);
    expect(reply?.logprobs.every(Number.isFinite)).toBe(true);
    await model.dispose();
  },
);

test("the same seed gives the same bytes, another one other bytes", async () => {
  const source = join(folder, "seeds.gguf");
  await writeTinyModel(source, { seed: 3 });
  const bytes = async (seed: number, name: string) => {
    await writeRandomWeights(source, join(folder, name), { seed, sourceSha256: SOURCE });
    return readFileSync(join(folder, name));
  };
  const first = await bytes(1, "one.gguf");
  expect((await bytes(1, "again.gguf")).equals(first)).toBe(true);
  expect((await bytes(2, "other.gguf")).equals(first)).toBe(false);
});

test("what our own pass does not compute gets none, and nothing is left behind", async () => {
  const source = join(folder, "experts.gguf");
  await writeTinyModel(source, { metadata: { "llama.expert_count": { type: "u32", value: 4 } } });
  const target = join(folder, "experts-random.gguf");
  await expect(writeRandomWeights(source, target, { seed: 1, sourceSha256: SOURCE })).rejects.toEqual(
    expect.objectContaining({ code: "PROBE_INVALID", message: expect.stringContaining("mixture of experts") }),
  );
  expect(() => readFileSync(target)).toThrow();
});
