/** A quantized file rounds activations to 8 bits, and the last bit of a sum decides how: batched answers must come from the very sums that strict ones come from. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Engine, NativeEngineOptions } from "../../native/index.js";
import { uniformDraw } from "../../src/model/engines/engine.js";
import { type Answered, answer, type Item, openEngine, workOf } from "../helpers/native-engine.js";
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

/** 48 prompts over a tree: a long common beginning, four strings, endings of several lengths; some equal, some a part of others, one longer than a batch. */
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

const ENCODINGS: readonly TinyEncoding[] = ["Q4_1", "Q5_1", "Q4_0", "Q5_0", "Q8_0"];

describe.each(ENCODINGS)("%s", (encoding) => {
  const path = join(folder, `${encoding}.gguf`);
  test.each(["f32", "f16"] as const)("keys and values as %s", async (cacheType) => {
    await writeTinyModel(path, { seed: 5, encoding, width: 128, feedForward: 256 });
    const alone = answer(await open(path, { strict: true, cacheType }), work()).answers;
    for (const options of [{ sequences: 16 }, { sequences: 3 }, { sequences: 1 }, { mostCells: 300 }, { mostCells: 130 }]) {
      const { answers, counts } = answer(await open(path, { cacheType, ...options }), work());
      let bad = 0, max = 0;
      answers.forEach((one, i) => { const o = alone[i] as Answered; one.topLogprobs.forEach((v, k) => { const d = Math.abs(v - (o.topLogprobs[k] as number)); if (d > 0) bad++; max = Math.max(max, d); }); });
      console.log(encoding, cacheType, JSON.stringify(options), JSON.stringify(answers) === JSON.stringify(alone), bad, max, JSON.stringify(counts));
    }
    const shared = answer(await open(path, { cacheType, sequences: 16, separateSequences: false }), work()).answers;
    console.log("shared", JSON.stringify(shared) === JSON.stringify(alone), shared.filter((one, i) => JSON.stringify(one.tokenIds) !== JSON.stringify((alone[i] as Answered).tokenIds)).length);
  });
});
