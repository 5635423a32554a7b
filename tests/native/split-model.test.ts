/** A model of several files computes what the whole file computes: asked by both forward passes, trained, re-encoded by llama.cpp. */
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { writeInSourceOrder } from "../../src/gguf/write-gguf.js";
import { findBinaries, loadAddon } from "../../src/model/native/addon.js";
import { FORWARDS, openEngine, workOf } from "../helpers/native-engine.js";
import { openTrainer, wholeSequence } from "../helpers/native-trainer.js";
import { splitModel } from "../helpers/split-model.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;
let whole: string;
let parts: string[];
const PROMPT = [5, 9, 14, 20, 31];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-split-"));
  // Everything that stands outside the layers is in other parts than the layers are.
  whole = (await writeTinyModel(join(folder, "whole.gguf"), { encoding: "Q8_0", ropeFreqs: true, biases: true })).path;
  parts = await splitModel(whole, folder, "m", 4);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

test.each(FORWARDS)("answers of %s are the whole file's, bit for bit", async (forward) => {
  const answers = [];
  for (const path of [whole, parts[0] as string]) {
    const engine = await openEngine(path, { forward });
    engine.begin(workOf([{ ids: PROMPT, maxTokens: 8 }], { topTokens: 5 }));
    while (engine.step());
    answers.push(engine.take());
    engine.dispose();
  }
  expect(answers[1]).toEqual(answers[0]);
  expect(answers[0]?.tokenIds.length).toBeGreaterThan(0);
});

test("gradients are the whole file's, bit for bit", async () => {
  const gradients = [];
  for (const path of [whole, parts[0] as string]) {
    const trainer = await openTrainer(path);
    const state = trainer.state();
    trainer.setState({ ...state, parameters: Float32Array.from(state.parameters, (_, at) => ((at % 7) - 3) / 100) });
    trainer.accumulate(wholeSequence(PROMPT), 0);
    gradients.push(trainer.gradients());
    trainer.dispose();
  }
  expect(gradients[1]).toEqual(gradients[0]);
  expect(gradients[0]?.some((value) => value !== 0)).toBe(true);
});

test("llama.cpp's re-encoding of the parts has the bytes of the whole file's", async () => {
  const binariesFolder = findBinaries("cpu").folder;
  const { requantize } = await loadAddon(binariesFolder);
  const written = [];
  for (const [at, input] of [whole, parts[0] as string].entries()) {
    const output = join(folder, `made-${at}.gguf`);
    requantize({ binariesFolder, input, output, type: "q4_0", threads: 1 });
    const target = join(folder, `ordered-${at}.gguf`);
    written.push(await writeInSourceOrder(await readGguf(input), output, target, { sourceSha256: "cd".repeat(32) }));
  }
  expect(written[1]).toEqual(written[0]);
});

describe("the core itself", () => {
  test("refuses a part that stands in another's place", async () => {
    const spoilt = await splitModel(whole, folder, "spoilt", 3);
    await copyFile(spoilt[1] as string, spoilt[2] as string);
    await expect(openTrainer(spoilt[0] as string)).rejects.toMatchObject({ code: "MODEL_PARTS" });
  });

  test("refuses to begin with another part", async () => {
    await expect(openTrainer(parts[1] as string)).rejects.toMatchObject({ code: "MODEL_PARTS" });
  });

  test("refuses a model whose part is gone", async () => {
    const spoilt = await splitModel(whole, folder, "gone", 3);
    await rm(spoilt[2] as string);
    await expect(openTrainer(spoilt[0] as string)).rejects.toMatchObject({ code: "MODEL_NOT_GGUF" });
  });
});
