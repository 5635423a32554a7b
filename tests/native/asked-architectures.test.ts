/**
 * Architectures that llama.cpp evaluates: what is asked together is what is asked alone, and what stock llama.cpp says in a context of
 * its own, for mixtures of experts, states, windows and RoPE's two sets of factors; and every pair of an adapter counts, or is refused.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { NativeEngineOptions, NativeWork } from "../../native/index.js";
import { keepsState } from "../../src/gguf/architectures.js";
import { inspectGguf, requireRunnable } from "../../src/gguf/inspect-gguf.js";
import type { GgufValue } from "../../src/gguf/read-gguf.js";
import { writeGguf } from "../../src/gguf/write-gguf.js";
import { ASKED_ARCHITECTURES, type AskedArchitecture, writeAskedModel } from "../helpers/asked-architectures.js";
import { type LlamaCpp, startLlamaCpp } from "../helpers/llama-cpp-logits.js";
import { type Answered, answer, type Item, openEngine, workOf } from "../helpers/native-engine.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

/** F32 throughout: sums in another order, and single-precision exponentials. */
const ROUNDING_NATS = 2e-5;
/** llama.cpp rounds what goes into GELU to half precision: where a number lies between two halves, its last bit decides. */
const HALVES_NATS = 5e-3;
const VOCABULARY = 265;

const folder = mkdtempSync(join(tmpdir(), "inward-asked-"));
let llama: LlamaCpp;
beforeAll(async () => {
  llama = await startLlamaCpp();
});
afterAll(() => llama.dispose());

const random = xoroshiro128plus(5);
const tokens = (count: number) => Array.from({ length: count }, () => (random.next() >>> 0) % VOCABULARY);
const COMMON = tokens(30);
/** Prompts that begin alike for a while, of which some are answered at length, and one that begins otherwise. */
const ITEMS: readonly Item[] = [
  ...Array.from({ length: 9 }, (_, at) => ({
    ids: [...COMMON.slice(0, 30 - 3 * (at % 5)), ...tokens(1 + ((at * 5) % 9))],
    maxTokens: at % 3 === 0 ? 3 : 24,
  })),
  { ids: tokens(4), maxTokens: 6 },
  { ids: [...COMMON, ...tokens(6)], scoreFrom: 25 },
];

async function asked(
  model: string,
  options: Partial<NativeEngineOptions> = {},
  more: Partial<NativeWork> = {},
  adapter?: string,
) {
  const engine = await openEngine(model, options);
  try {
    engine.setAdapters(adapter === undefined ? [] : [{ path: adapter, scale: 1 }]);
    return { ...answer(engine, workOf(ITEMS, { topTokens: 3, ...more })), described: engine.describe() };
  } finally {
    engine.dispose();
  }
}

/** The largest difference of any logprob; tokens must be the same ones. */
function difference(one: readonly Answered[], other: readonly Answered[]): number {
  expect(one.map(({ tokenIds }) => tokenIds)).toEqual(other.map(({ tokenIds }) => tokenIds));
  const numbers = (all: readonly Answered[]) =>
    all.flatMap(({ logprobs, scores, topLogprobs, logSumExp }) => [...logprobs, ...scores, ...topLogprobs, logSumExp]);
  const [ours, theirs] = [numbers(one), numbers(other)];
  expect(ours.length).toBe(theirs.length);
  return Math.max(...ours.map((number, at) => Math.abs(number - (theirs[at] as number))));
}

/** From stock llama.cpp, which reads each of some items and its answer in a context of its own. */
async function fromLlamaCpp(model: string, answers: readonly Answered[], adapter?: string): Promise<number> {
  let most = 0;
  for (const at of [1, 9, 10]) {
    const { ids, scoreFrom = ids.length } = ITEMS[at] as Item;
    const { tokenIds, logprobs, scores } = answers[at] as Answered;
    const read = [...ids, ...tokenIds];
    const logits = await llama.logits(model, read, adapter);
    for (const [index, logprob] of [...scores, ...logprobs].entries()) {
      const position = scoreFrom + index;
      const before = logits[position - 1] as Float32Array;
      const greatest = before.reduce((max, logit) => Math.max(max, logit));
      const total = before.reduce((sum, logit) => sum + Math.exp(logit - greatest), 0);
      const theirs = (before[read[position] as number] as number) - greatest - Math.log(total);
      most = Math.max(most, Math.abs(logprob - theirs));
    }
  }
  return most;
}

const made = new Map<AskedArchitecture, Promise<string>>();
function modelOf(architecture: AskedArchitecture): Promise<string> {
  const path = join(folder, `${architecture}.gguf`);
  const known = made.get(architecture) ?? writeAskedModel(path, architecture).then(() => path);
  made.set(architecture, known);
  return known;
}

describe.each(ASKED_ARCHITECTURES)("%s", (architecture) => {
  test("together, alone, and by stock llama.cpp: the same numbers", async () => {
    const model = await modelOf(architecture);
    const summary = await inspectGguf(model);
    expect(() => requireRunnable(summary)).not.toThrow();
    const together = await asked(model);
    const alone = await asked(model, { strict: true });
    expect(difference(together.answers, alone.answers)).toBeLessThan(ROUNDING_NATS);
    expect(await fromLlamaCpp(model, together.answers)).toBeLessThan(ROUNDING_NATS);
    // What the table says is what llama.cpp says, and prompts are shared where they can be.
    expect(together.described.wholePrompts).toBe(keepsState(architecture));
    expect(summary.asking !== undefined).toBe(keepsState(architecture));
    const evaluated = [together, alone].map(({ counts }) => counts.evaluatedTokens) as [number, number];
    if (keepsState(architecture)) expect(evaluated[0]).toBe(evaluated[1]);
    else expect(evaluated[0]).toBeLessThan(0.8 * evaluated[1]);
  });

  test("a kept prompt, as distributions ask it, gives what a whole one gives", async () => {
    const engine = await openEngine(await modelOf(architecture));
    const items = [[], [7], [7, 9], [200]].map((path) => ({ ids: [...COMMON, ...path] }));
    const kept = [items.slice(0, 2), items.slice(2)].flatMap(
      (some) => answer(engine, workOf(some, { topTokens: 3, keep: COMMON.length })).answers,
    );
    const whole = answer(engine, workOf(items, { topTokens: 3 })).answers;
    engine.dispose();
    expect(difference(kept, whole)).toBeLessThan(ROUNDING_NATS);
  });
});

describe("windows", () => {
  // Where those cells were given to other sequences, answers were off by nats.
  test.each([
    ["gemma2", HALVES_NATS],
    ["gemma3", HALVES_NATS],
    ["olmo2", ROUNDING_NATS],
  ] as const)("%s: what a sequence's window has left behind, another still sees", async (architecture, tolerance) => {
    const model = join(folder, `${architecture}-window.gguf`);
    await writeTinyModel(model, { seed: 11, architecture });
    const alone = await asked(model, { strict: true });
    expect(alone.described.window).toBeGreaterThan(0);
    // As many cells as there can be, and so few that they are used again at once.
    for (const mostCells of [0, 130]) {
      const together = await asked(model, { mostCells });
      expect(difference(together.answers, alone.answers)).toBeLessThan(tolerance);
    }
    expect(await fromLlamaCpp(model, alone.answers)).toBeLessThan(tolerance);
  });
});

describe("phi3, whose file has RoPE factors for short and for long texts", () => {
  test("they are those for short ones however much is asked at once, and longer texts are refused", async () => {
    const model = join(folder, "phi3.gguf");
    await writeTinyModel(model, { seed: 11, architecture: "phi3" });
    const summary = await inspectGguf(model);
    expect(summary).toMatchObject({ contextLength: 256, shortContext: 256 });
    const short = { shortContext: 256, architecture: "phi3" };
    const [few, many] = [
      await asked(model, { ...short, sequences: 1 }),
      await asked(model, { ...short, sequences: 32 }),
    ];
    expect(many.counts.cells).toBeGreaterThan(256);
    expect(difference(few.answers, many.answers)).toBeLessThan(ROUNDING_NATS);
    expect(await fromLlamaCpp(model, many.answers)).toBeLessThan(ROUNDING_NATS);
    // What llama.cpp does by itself: the other factors, as soon as the cache is larger than the original context.
    const unguarded = await asked(model, { sequences: 32 });
    expect(await fromLlamaCpp(model, unguarded.answers).catch(() => 1)).toBeGreaterThan(1e-3);
    const engine = await openEngine(model, short);
    expect(engine.describe().contextTokens).toBe(256);
    expect(() => engine.begin(workOf([{ ids: tokens(257) }]))).toThrow(
      expect.objectContaining({ code: "ENGINE_CONTEXT" }),
    );
    engine.dispose();
  });
});

describe("adapters made elsewhere", () => {
  const string = (value: string): GgufValue => ({ type: "string", value });

  /** A pair of rank 2 beside a weight of these dimensions. */
  async function adapterFor(architecture: string, name: string, [columns, rows, experts]: readonly number[]) {
    const path = join(folder, `adapter-${architecture}-${name}.gguf`);
    const half = (suffix: string, ...dimensions: (number | undefined)[]) => {
      const sizes = dimensions.filter((one): one is number => one !== undefined);
      const values = Float32Array.from({ length: sizes.reduce((product, one) => product * one) }, () => {
        return (random.next() / 2 ** 31) * 0.4;
      });
      return {
        name: `${name}.${suffix}`,
        dimensions: sizes,
        type: "F32" as const,
        chunks: () => [Buffer.from(values.buffer)],
      };
    };
    const metadata = new Map<string, GgufValue>([
      ["general.type", string("adapter")],
      ["general.architecture", string(architecture)],
      ["adapter.type", string("lora")],
      ["adapter.lora.alpha", { type: "f32", value: 4 }],
    ]);
    await writeGguf(path, metadata, [half("lora_a", columns, 2, experts), half("lora_b", 2, rows, experts)]);
    return path;
  }

  test.each<[AskedArchitecture, string, number[]]>([
    ["qwen3moe", "blk.1.ffn_up_exps.weight", [64, 48, 4]],
    ["qwen2moe", "blk.0.ffn_gate_inp.weight", [64, 4]],
    ["mamba", "blk.0.ssm_in.weight", [64, 256]],
    ["lfm2", "blk.0.shortconv.in_proj.weight", [64, 192]],
  ])("%s: a pair beside %s is asked as stock llama.cpp asks it", async (architecture, name, dimensions) => {
    const model = await modelOf(architecture);
    const adapter = await adapterFor(architecture, name, dimensions);
    const base = await asked(model);
    const adapted = await asked(model, {}, {}, adapter);
    expect(adapted.answers.map(({ logprobs }) => logprobs)).not.toEqual(base.answers.map(({ logprobs }) => logprobs));
    expect(await fromLlamaCpp(model, adapted.answers, adapter)).toBeLessThan(ROUNDING_NATS);
  });

  test("a pair that llama.cpp loads and computes nothing with is refused by its name, and changes nothing", async () => {
    const model = await modelOf("mamba");
    const adapter = await adapterFor("mamba", "blk.1.ssm_conv1d.weight", [4, 128]);
    const engine = await openEngine(model);
    const before = answer(engine, workOf(ITEMS)).answers;
    expect(() => engine.setAdapters([{ path: adapter, scale: 1 }])).toThrow(
      expect.objectContaining({
        code: "ADAPTER_INVALID",
        message: expect.stringContaining("blk.1.ssm_conv1d.weight.lora_a"),
      }),
    );
    expect(answer(engine, workOf(ITEMS)).answers).toEqual(before);
    engine.dispose();
  });
});
