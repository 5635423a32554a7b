/**
 * Interventions through llama.cpp's graph where states lie in a device's own memory, on one device and over two, between which they are copied: Mesa's
 * software device, named twice. A process of its own, because it can hold the libraries of one kind of device only.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { stateShapeOf } from "../../src/model/sites.js";
import { byId, everyIntervention, intervenedWork, logprobsApart } from "../helpers/intervened.js";
import { answer, openEngine } from "../helpers/native-engine.js";
import { binariesFolder } from "../helpers/native-trainer.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

// A software device is passed over unless it is named.
Object.assign(process.env, { GGML_VK_VISIBLE_DEVICES: "0,0", GGML_VK_DISABLE_F16: "1" });
/** Nats: what is asked without interventions is as far apart (2e-3), since the software device computes in halves here and there. */
const ROUNDING_NATS = 0.01;
const folder = mkdtempSync(join(tmpdir(), "inward-interventions-devices-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const PROMPT = [1, ...Array.from({ length: 11 }, (_, at) => 20 + ((at * 37) % 200))];

test("each operation at each part, on one device and over two, is our own pass's", async () => {
  const path = join(folder, "model.gguf");
  await writeTinyModel(path, { blocks: 4, seed: 5, normSpread: 0.1 });
  const shape = stateShapeOf(await readGguf(path), path);
  const items = [
    { ids: PROMPT },
    ...everyIntervention(shape, PROMPT.length).map((one) => ({ ids: PROMPT, interventions: [one] })),
  ];
  const asked = async (options: Parameters<typeof openEngine>[1]) => {
    const engine = await openEngine(path, {
      architecture: "llama",
      ...options,
      binariesFolder: binariesFolder("vulkan"),
    });
    const { answers } = answer(engine, intervenedWork(items, shape, { topTokens: 265 }));
    engine.dispose();
    return answers.map(byId);
  };
  const theirs: Float64Array[][] = [];
  try {
    theirs.push(await asked({ device: "vulkan" }));
    theirs.push(await asked({ device: "vulkan:0,vulkan:1", deviceLayers: [2, 3] }));
  } catch (error) {
    // No loader or no driver on this machine.
    expect(error).toMatchObject({ code: expect.stringMatching(/^(TRAIN_DEVICE|TRAIN_ADDON|ENGINE_UNAVAILABLE)$/) });
    return;
  }
  const own = await asked({ device: "cpu", forward: "own" });
  const plain = own[0] as Float64Array;
  const moved = own.filter((one) => logprobsApart(one, plain) > 20 * ROUNDING_NATS);
  expect(moved.length).toBeGreaterThan(10);
  const [one, two] = theirs as [Float64Array[], Float64Array[]];
  expect(two).toEqual(one);
  for (const [item, mine] of own.entries()) {
    const right = logprobsApart(mine, one[item] as Float64Array) < ROUNDING_NATS;
    expect({ item, right }).toEqual({ item, right: true });
  }
});
