/**
 * Our own forward pass computes every architecture that it claims: what stock llama.cpp says of the same file, with and without
 * adapters, at prompts many times longer than a local layer's window, and the same bytes however they are evaluated.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { NativeEngineOptions } from "../../native/index.js";
import { LORA_TARGETS } from "../../src/study/schema.js";
import { ARCHITECTURE_VARIANTS, loudGates } from "../helpers/architecture-variants.js";
import { type LlamaCpp, startLlamaCpp } from "../helpers/llama-cpp-logits.js";
import { type Answered, answer, type Item, openEngine, workOf } from "../helpers/native-engine.js";
import { type ReferenceAdapter, randomAdapter } from "../helpers/reference/adapter.js";
import { writeSteadyModel } from "../helpers/reference/steady-model.js";
import { writeReferenceAdapter } from "../helpers/reference/write-adapter.js";
import { writeTinyAdapter } from "../helpers/tiny-adapter.js";
import { TINY_ARCHITECTURES } from "../helpers/tiny-architectures.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const VOCABULARY = 265;
/** F32 throughout: sums in another order, and single-precision exponentials. */
const ROUNDING_NATS = 2e-5;
const PROMPT = [1, ...Array.from({ length: 49 }, (_, at) => 20 + ((at * 37) % 200))];
/** Longer than every window still. Models that are steady on more tokens are looked for too long. */
const SHORT = PROMPT.slice(0, 12);
/** Beginnings whose whole distribution is compared: around the windows' ends, and the whole. */
const BEGINNINGS = [1, 6, 7, 8, 23];

const folder = mkdtempSync(join(tmpdir(), "inward-architectures-"));
let files = 0;
const fresh = () => join(folder, `${files++}.gguf`);
let llama: LlamaCpp;
beforeAll(async () => {
  llama = await startLlamaCpp();
});
afterAll(() => llama.dispose());

interface Asked {
  readonly options?: Partial<NativeEngineOptions>;
  readonly adapter?: string | undefined;
}

async function answers(
  model: string,
  items: readonly Item[],
  { options = {}, adapter }: Asked = {},
): Promise<Answered[]> {
  const engine = await openEngine(model, { forward: "own", ...options });
  try {
    engine.setAdapters(adapter === undefined ? [] : [{ path: adapter, scale: 1 }]);
    return answer(engine, workOf(items, { topTokens: VOCABULARY })).answers;
  } finally {
    engine.dispose();
  }
}

/** In double precision. */
function logprobs(logits: Float32Array): number[] {
  const greatest = logits.reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY);
  const total = greatest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - greatest), 0));
  return Array.from(logits, (logit) => logit - total);
}

/** The largest difference from stock llama.cpp, of the distributions after some beginnings and of each token of the prompt. */
async function fromLlamaCpp(model: string, prompt: readonly number[], adapter?: string): Promise<number> {
  const theirs = (await llama.logits(model, prompt, adapter)).map(logprobs);
  const lengths = [...BEGINNINGS.filter((length) => length < prompt.length), prompt.length];
  const items = lengths.map((length) => ({ ids: prompt.slice(0, length), maxTokens: 1, scoreFrom: 1 }));
  const ours = await answers(model, items, { adapter });
  const differences = ours.flatMap(({ topIds, topLogprobs, scores }, index) => {
    expect(topIds).toHaveLength(VOCABULARY);
    const after = theirs[(lengths[index] as number) - 1] as number[];
    return [
      ...topIds.map((id, at) => (topLogprobs[at] as number) - (after[id] as number)),
      ...scores.map((score, at) => score - (theirs[at]?.[prompt[at + 1] as number] as number)),
    ];
  });
  expect(differences.every(Number.isFinite)).toBe(true);
  return Math.max(...differences.map(Math.abs));
}

test.each(ARCHITECTURE_VARIANTS)("%s, as stock llama.cpp", async (_, options) => {
  const path = fresh();
  const gelu = options.architecture?.startsWith("gemma") ?? false;
  await writeTinyModel(path, { ...options, ...(gelu ? { adjust: loudGates } : {}) });
  expect(await fromLlamaCpp(path, PROMPT)).toBeLessThan(ROUNDING_NATS);
});

describe.each(TINY_ARCHITECTURES)("%s", (architecture) => {
  test("with usual gates and an adapter of all its matrices, as stock llama.cpp", async () => {
    const { path, adapter } = await writeSteadyModel(fresh(), { architecture }, SHORT, (base) =>
      randomAdapter(base, { rank: 3, alpha: 5, targets: LORA_TARGETS }, 0.2),
    );
    const file = fresh();
    await writeReferenceAdapter(file, adapter as ReferenceAdapter, 5, architecture);
    expect(await fromLlamaCpp(path, SHORT, file)).toBeLessThan(ROUNDING_NATS);
    const end = [{ ids: SHORT, maxTokens: 1 }];
    expect(await answers(path, end, { adapter: file })).not.toEqual(await answers(path, end));
  });

  test("the same bytes whatever else is evaluated, and in what pieces", async () => {
    const { path } = await writeTinyModel(fresh(), { architecture });
    // Branches after more than a window, and long answers: paths whose cells lie apart.
    const items: Item[] = Array.from({ length: 12 }, (_, index) => ({
      ids: [...PROMPT.slice(0, 5 + 3 * index), 60 + index, 70],
      maxTokens: 1 + (index % 3) * 6,
    }));
    const usual = JSON.stringify(await answers(path, items));
    const others: Partial<NativeEngineOptions>[] = [
      { strict: true },
      { sequences: 12, batchTokens: 7, threads: 2 },
      { sequences: 3, mostCells: 170 },
    ];
    for (const options of others) expect(JSON.stringify(await answers(path, items, { options }))).toBe(usual);
    const turned = await answers(path, [...items].reverse());
    expect(JSON.stringify(turned.reverse())).toBe(usual);
  });
});

describe("refused", () => {
  const gate = { "blk.0.ffn_gate.weight": [64, 128] } as const;

  test("an adapter for another architecture, though its shapes fit", async () => {
    const [model, adapter] = [fresh(), fresh()];
    await writeTinyModel(model, { architecture: "qwen2" });
    await writeTinyAdapter(adapter, { weights: gate });
    await expect(answers(model, [{ ids: SHORT }], { adapter })).rejects.toMatchObject({
      code: "ADAPTER_INVALID",
      message: expect.stringMatching(/architecture "llama"; this one is qwen2/),
    });
  });

  test("a gate that is no number: its GELU is none either, and the logits say so", async () => {
    const [model, adapter] = [fresh(), fresh()];
    await writeTinyModel(model, { architecture: "gemma" });
    const metadata = { "general.architecture": { type: "string", value: "gemma" } } as const;
    await writeTinyAdapter(adapter, { weights: gate, b: Number.NaN, metadata });
    await expect(answers(model, [{ ids: SHORT, maxTokens: 1 }], { adapter })).rejects.toMatchObject({
      code: "ENGINE_NOT_FINITE",
    });
  });
});

test("a Phi with two sets of RoPE factors is as long as its first is for", async () => {
  const model = fresh();
  await writeTinyModel(model, { architecture: "phi3" });
  const engine = await openEngine(model, { forward: "own" });
  expect(engine.describe().contextTokens).toBe(256);
  engine.dispose();
});
