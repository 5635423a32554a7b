/** An adapter's layers switched off and on: what is left of it is what a float64 reference computes with those pairs alone. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { writeAdapter } from "../../src/finetune/adapter/adapter.js";
import { adapterLayers, writeAdapterLayers } from "../../src/finetune/adapter/adapter-layers.js";
import { type AdapterVector, adapterVectors } from "../../src/probe/adapter-vectors.js";
import { readAdapter } from "../../src/finetune/adapter/saved-adapter.js";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { stateShapeOf } from "../../src/model/sites.js";
import { readDirections } from "../../src/probe/direction-file.js";
import { capture } from "../helpers/captured-states.js";
import { byId, logprobsApart } from "../helpers/intervened.js";
import { type Answered, answer, FORWARDS, openEngine, workOf } from "../helpers/native-engine.js";
import { randomAdapter } from "../helpers/reference/adapter.js";
import { readReferenceModel } from "../helpers/reference/reference-model.js";
import { referenceResiduals } from "../helpers/reference/reference-pass.js";
import { writeReferenceAdapter } from "../helpers/reference/write-adapter.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-adapter-layers-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const PROMPT = [1, ...Array.from({ length: 11 }, (_, at) => 20 + ((at * 37) % 200))];

test("each choice of layers, through both evaluators; all of them are the file itself", async () => {
  const [model, whole, cut] = ["model", "whole", "cut"].map((name) => join(folder, `${name}.gguf`)) as [
    string,
    string,
    string,
  ];
  await writeTinyModel(model, { blocks: 3, seed: 5 });
  const reference = await readReferenceModel(model);
  const adapter = randomAdapter(reference, { rank: 4, alpha: 8, targets: ["q", "v", "o", "down"] }, 0.3);
  await writeReferenceAdapter(whole, adapter, 8);
  expect(await adapterLayers(whole)).toEqual([0, 1, 2]);
  await writeAdapterLayers(whole, cut, [0, 1, 2]);
  expect(readFileSync(cut).equals(readFileSync(whole))).toBe(true);
  const engines = await Promise.all(FORWARDS.map((forward) => openEngine(model, { forward })));
  const answered = (path: string) =>
    engines.map((engine) => {
      engine.setAdapters([{ path, scale: 1 }]);
      return byId(answer(engine, workOf([{ ids: PROMPT }], { topTokens: 265 })).answers[0] as Answered);
    });
  const all = answered(whole);
  for (const layers of [[0], [2], [1, 2]]) {
    await writeAdapterLayers(whole, cut, layers);
    const tensors = new Map([...adapter.tensors].filter(([name]) => layers.includes(Number(name.split(".")[1]))));
    const { logits } = referenceResiduals(reference, PROMPT, undefined, { ...adapter, tensors });
    const last = Array.from({ length: logits.columns }, (_, id) => logits.at(logits.rows - 1, id));
    const total = Math.log(last.reduce((sum, logit) => sum + Math.exp(logit), 0));
    for (const [at, own] of answered(cut).entries()) {
      expect(
        logprobsApart(
          own,
          last.map((logit) => logit - total),
        ),
      ).toBeLessThan(1e-4);
      expect(logprobsApart(own, all[at] as Float64Array)).toBeGreaterThan(0.01);
    }
  }
  for (const engine of engines) engine.dispose();
  await expect(writeAdapterLayers(whole, cut, [3])).rejects.toMatchObject({
    code: "PROBE_INVALID",
    message: expect.stringMatching(/nothing in layer 3; it has the layers 0, 1, 2/),
  });
  await expect(writeAdapterLayers(whole, cut, [])).rejects.toMatchObject({
    code: "PROBE_INVALID",
    message: expect.stringMatching(/Nothing of .* stays/),
  });
  await expect(writeAdapterLayers(model, cut, [0])).rejects.toMatchObject({ code: "ADAPTER_INVALID" });
});

test("an adapter of rank 1 as vectors: what it adds is them, more or less, and nothing else", async () => {
  const [model, path, two, out] = ["base.gguf", "one.gguf", "two.gguf", "vectors.safetensors"].map((name) =>
    join(folder, name),
  ) as [string, string, string, string];
  await writeTinyModel(model, { blocks: 3, seed: 5 });
  const reference = await readReferenceModel(model);
  await writeReferenceAdapter(
    path,
    randomAdapter(reference, { rank: 1, alpha: 3, targets: ["q", "o", "down"] }, 0.3),
    3,
  );
  const { vectors, elsewhere } = await adapterVectors(path, model, out);
  expect(elsewhere).toEqual(["blk.0.attn_q", "blk.1.attn_q", "blk.2.attn_q"]);
  expect((await readDirections(out)).vectors).toEqual(new Map(vectors.map(({ site, values }) => [site, values])));
  const shape = stateShapeOf(await readGguf(model), model);
  for (const [layer, part] of [
    [0, "attention_output"],
    [2, "mlp_output"],
  ] as const) {
    // Below and beside the pair nothing changes, so that what differs is what it adds.
    const alone = join(folder, `${part}.gguf`);
    const { tensors, ...facts } = await readAdapter(path);
    const matrix = part === "mlp_output" ? "ffn_down" : "attn_output";
    const own = new Map([...tensors].filter(([name]) => name.startsWith(`blk.${layer}.${matrix}.`)));
    await writeAdapter(alone, { ...facts, tensors: own });
    const written = async (worn: boolean) => {
      const engine = await openEngine(model, { forward: "own" });
      if (worn) engine.setAdapters([{ path: alone, scale: 1 }]);
      const { states } = capture(engine, [{ ids: PROMPT }], shape, `${part}.${layer}`);
      engine.dispose();
      return states[0]?.sites[`${part}.${layer}`] as Float32Array[];
    };
    const [base, under] = [await written(false), await written(true)];
    const { values, norm } = vectors.find(({ site }) => site === `${part}.${layer}`) as AdapterVector;
    expect(under.length).toBe(PROMPT.length);
    for (const [at, row] of under.entries()) {
      const added = Array.from(row, (value, place) => value - (base[at]?.[place] as number));
      const length = Math.hypot(...added);
      const along = added.reduce((sum, value, place) => sum + value * (values[place] as number), 0) / norm;
      expect(length).toBeGreaterThan(1e-4);
      // Across it is what single precision rounds off of the sum.
      expect(Math.sqrt(Math.max(0, length ** 2 - along ** 2))).toBeLessThan(1e-5 * Math.hypot(...row) + 1e-6);
    }
  }
  await writeReferenceAdapter(two, randomAdapter(reference, { rank: 2, alpha: 3, targets: ["o"] }, 0.3), 3);
  const refused = (message: string) => ({ code: "PROBE_INVALID", message: expect.stringContaining(message) });
  await expect(adapterVectors(two, model)).rejects.toMatchObject(refused("its rank is 2"));
  await writeReferenceAdapter(two, randomAdapter(reference, { rank: 1, alpha: 3, targets: ["q"] }, 0.3), 3);
  await expect(adapterVectors(two, model)).rejects.toMatchObject(refused("none of its pairs writes"));
});
