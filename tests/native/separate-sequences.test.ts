/**
 * A quantized file has activations rounded to 8 bits, and the last bit of a sum decides which way: in a cache that sequences share,
 * attention sums in another order for each company, and a few such bits are a tenth of a nat at the end. With cells of their own,
 * answers made together come from the very sums that an answer made alone comes from.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Engine, NativeEngineOptions } from "../../native/index.js";
import { uniformDraw } from "../../src/model/engines/engine.js";
import { startEngine } from "../../src/model/engines/start-engine.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import { answer, type Item, openEngine, workOf } from "../helpers/native-engine.js";
import { type TinyEncoding, writeTinyModel } from "../helpers/tiny-model.js";

const MAX_TOKENS = 6;
const folder = mkdtempSync(join(tmpdir(), "inward-separate-"));
const opened: Engine[] = [];
afterAll(() => {
  for (const engine of opened) engine.dispose();
});

async function open(path: string, options: Partial<NativeEngineOptions> = {}): Promise<Engine> {
  const engine = await openEngine(path, { separateSequences: true, ...options });
  opened.push(engine);
  return engine;
}

/** 48 prompts over a tree: a long common beginning, four strings, several lengths; some equal, some a part of others, one longer than a batch. */
const items: Item[] = Array.from({ length: 48 }, (_, index) => ({
  ids: [
    ...Array.from({ length: 24 }, (_, at) => 70 + (at % 40)),
    ...[70 + Math.floor(index / 12), 71, 72],
    ...Array.from({ length: index === 30 ? 90 : index % 12 }, (_, at) => 60 + ((index * 7 + at * (index % 4)) % 9)),
  ],
  maxTokens: MAX_TOKENS,
  draws: index % 3 === 0 ? Array.from({ length: MAX_TOKENS }, (_, at) => uniformDraw(`7/${index}`, at)) : [],
}));
const work = () => workOf(items, { topTokens: 8 });

// llama.cpp has one kernel for these, however many rows there are, on every processor.
const ONE_KERNEL: readonly TinyEncoding[] = ["Q4_1", "Q5_1"];

describe.each(ONE_KERNEL)("%s", (encoding) => {
  const path = join(folder, `${encoding}.gguf`);

  test("made together, answers have the bytes of strict ones", async () => {
    await writeTinyModel(path, { seed: 5, encoding, width: 256, feedForward: 256, blocks: 1 });
    const alone = JSON.stringify(answer(await open(path, { strict: true }), work()).answers);
    for (const options of [{ sequences: 16 }, { sequences: 3 }, { sequences: 1 }, { cacheType: "f16" as const }]) {
      const reference =
        "cacheType" in options
          ? JSON.stringify(answer(await open(path, { strict: true, ...options }), work()).answers)
          : alone;
      const { answers, counts } = answer(await open(path, options), work());
      expect(JSON.stringify(answers), JSON.stringify(options)).toBe(reference);
      expect(counts.mostSequences).toBe(options.sequences ?? 4);
    }
  });
});

// These it packs anew at load, or takes in tiles: four rows together may have another order of sums than one row has.
test.each<TinyEncoding>(["Q4_0", "Q8_0", "Q4_K"])(
  "%s: what is left comes from the number of rows",
  async (encoding) => {
    const path = join(folder, `rows-${encoding}.gguf`);
    await writeTinyModel(path, { seed: 5, encoding, width: 256, feedForward: 256, blocks: 1 });
    const alone = answer(await open(path, { strict: true }), work()).answers;
    const { answers } = answer(await open(path, { sequences: 16 }), work());
    const first = answers.flatMap(({ topLogprobs }, index) =>
      topLogprobs.map((logprob, at) => Math.abs(logprob - (alone[index]?.topLogprobs[at] as number))),
    );
    // F32 sums of another order in one layer.
    expect(Math.max(...first)).toBeLessThan(1e-5);
  },
);

describe("what is shared and what there is room for", () => {
  const path = join(folder, "Q4_1.gguf");

  test("a beginning is evaluated once and copied", async () => {
    const { counts } = answer(await open(path, { sequences: 16 }), work());
    const all = items.reduce((sum, { ids }) => sum + ids.length, 0);
    expect(counts.evaluatedTokens).toBeLessThan(all / 2);
  });

  test.each([300, 130])("in %i cells fewer answers are made at once, and they are the same", async (mostCells) => {
    const alone = answer(await open(path, { strict: true }), work()).answers;
    const { answers, counts } = answer(await open(path, { sequences: 4, mostCells }), work());
    expect(JSON.stringify(answers)).toBe(JSON.stringify(alone));
    expect(counts.cells).toBeLessThanOrEqual(mostCells);
    expect(counts.cells).toBeLessThan(counts.wantedCells);
    expect(counts.mostSequences).toBe(mostCells === 300 ? 2 : 1);
  });

  test("a kept prompt goes on to serve the next group", async () => {
    const engine = await open(path, { sequences: 4 });
    const prompt = Array.from({ length: 40 }, (_, at) => 70 + (at % 40));
    const paths = [[], [61], [62], [61, 63], [61, 64, 65]];
    const group = () =>
      workOf(
        paths.map((path) => ({ ids: [...prompt, ...path] })),
        { topTokens: 8, keep: prompt.length },
      );
    const first = answer(engine, group());
    const again = answer(engine, group());
    expect(again.counts.evaluatedTokens).toBeLessThan(prompt.length);
    const alone = answer(
      await open(path, { strict: true }),
      workOf(
        paths.map((path) => ({ ids: [...prompt, ...path] })),
        { topTokens: 8 },
      ),
    );
    for (const { answers } of [first, again]) {
      expect(answers.map(({ topIds }) => topIds)).toEqual(alone.answers.map(({ topIds }) => topIds));
    }
  });
});

test("an engine takes them for a quantized file on a CPU, and for no other", async () => {
  const unified = async (encoding: TinyEncoding, strict = false) => {
    const path = join(folder, `engine-${encoding}.gguf`);
    await writeTinyModel(path, { encoding });
    const model = await startEngine(path, {
      ...DEFAULT_ENGINE,
      device: "cpu",
      engine: "native",
      forward: "llama.cpp",
      threads: 1,
      strict,
    });
    await model.dispose();
    return model.manifest.kvUnified;
  };
  expect(await unified("Q4_1")).toBe(false);
  expect(await unified("Q8_0", true)).toBe(true);
  expect(await unified("F16")).toBe(true);
});
