/**
 * Our own forward pass computes every architecture that it claims: what stock llama.cpp says of the same file, with and without
 * adapters, at prompts longer than a local layer's window, and the same bytes however they are evaluated.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { NativeEngineOptions } from "../../native/index.js";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { type LlamaCpp, startLlamaCpp } from "../helpers/llama-cpp-logits.js";
import { type Answered, answer, type Item, openEngine, workOf } from "../helpers/native-engine.js";
import { writeTinyAdapter } from "../helpers/tiny-adapter.js";
import { TINY_ARCHITECTURES } from "../helpers/tiny-architectures.js";
import { type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";

const VOCABULARY = 265;
/** F32 throughout: sums in another order, and single-precision exponentials. */
const ROUNDING_NATS = 2e-5;
/** llama.cpp rounds what goes into GELU to half precision: where a number lies between two halves, the last bit decides. */
const HALVES_NATS = 5e-3;
/** Several times every window of these models. */
const PROMPT = [1, ...Array.from({ length: 69 }, (_, at) => 20 + ((at * 37) % 200))];
/** Beginnings of it whose whole distribution is compared; the one after the longest is at the prompt's end. */
const BEGINNINGS = [1, 6, 7, 8, 23, PROMPT.length];

const folder = mkdtempSync(join(tmpdir(), "inward-architectures-"));
let llama: LlamaCpp;
beforeAll(async () => {
  llama = await startLlamaCpp();
});
afterAll(() => llama.dispose());

async function tiny(architecture: string, options: TinyModelOptions = {}): Promise<string> {
  const path = join(folder, `${architecture}-${Object.keys(options).join("-")}.gguf`);
  await writeTinyModel(path, { seed: 11, architecture, ...options });
  return path;
}

interface Asked {
  readonly options?: Partial<NativeEngineOptions>;
  readonly adapter?: string;
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
async function fromLlamaCpp(model: string, adapter?: string): Promise<number> {
  const theirs = (await llama.logits(model, PROMPT, adapter)).map(logprobs);
  const items = BEGINNINGS.map((length) => ({ ids: PROMPT.slice(0, length), maxTokens: 1, scoreFrom: 1 }));
  const ours = await answers(model, items, adapter === undefined ? {} : { adapter });
  const differences = ours.flatMap(({ topIds, topLogprobs, scores }, index) => {
    expect(topIds).toHaveLength(VOCABULARY);
    const after = theirs[(BEGINNINGS[index] as number) - 1] as number[];
    return [
      ...topIds.map((id, at) => (topLogprobs[at] as number) - (after[id] as number)),
      ...scores.map((score, at) => score - (theirs[at]?.[PROMPT[at + 1] as number] as number)),
    ];
  });
  expect(differences.every(Number.isFinite)).toBe(true);
  return Math.max(...differences.map(Math.abs));
}

/** Pairs for all matrices of all blocks. */
async function writeAdapterFor(model: string, architecture: string): Promise<string> {
  const { tensors } = await readGguf(model);
  const path = `${model}-adapter.gguf`;
  const matrices = tensors.filter(({ name, dimensions }) => name.startsWith("blk.") && dimensions.length === 2);
  await writeTinyAdapter(path, {
    a: 0.2,
    b: 0.2,
    weights: Object.fromEntries(matrices.map(({ name, dimensions }) => [name, dimensions as [number, number]])),
    metadata: { "general.architecture": { type: "string", value: architecture } },
  });
  return path;
}

describe.each(TINY_ARCHITECTURES)("%s", (architecture) => {
  const nats = architecture.startsWith("gemma") ? HALVES_NATS : ROUNDING_NATS;
  let model: string;
  beforeAll(async () => {
    model = await tiny(architecture, { normSpread: 0.2 });
  });

  test("as stock llama.cpp", async () => {
    expect(await fromLlamaCpp(model)).toBeLessThan(nats);
  });

  test("under an adapter of all its matrices, as stock llama.cpp", async () => {
    const adapter = await writeAdapterFor(model, architecture);
    expect(await fromLlamaCpp(model, adapter)).toBeLessThan(nats);
    const ends = [{ ids: PROMPT, maxTokens: 1 }];
    expect(await answers(model, ends, { adapter })).not.toEqual(await answers(model, ends));
  });

  test("the same bytes whatever else is evaluated, and in what pieces", async () => {
    // Branches after more than a window, and long answers: paths whose cells lie apart.
    const items: Item[] = Array.from({ length: 12 }, (_, index) => ({
      ids: [...PROMPT.slice(0, 5 + 3 * index), 60 + index, 70],
      maxTokens: 1 + (index % 3) * 6,
    }));
    const usual = JSON.stringify(await answers(model, items));
    const others: Partial<NativeEngineOptions>[] = [
      { strict: true },
      { sequences: 12, batchTokens: 7, threads: 2 },
      { sequences: 3, mostCells: 170 },
    ];
    for (const options of others) expect(JSON.stringify(await answers(model, items, { options }))).toBe(usual);
    const turned = await answers(model, [...items].reverse());
    expect(JSON.stringify(turned.reverse())).toBe(usual);
  });
});
