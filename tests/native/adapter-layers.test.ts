/** An adapter's layers switched off and on: what is left of it is what a float64 reference computes with those pairs alone. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { adapterLayers, writeAdapterLayers } from "../../src/finetune/adapter/adapter-layers.js";
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
