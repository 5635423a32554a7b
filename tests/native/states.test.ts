/**
 * States that are captured are what they are called: our own forward pass against llama.cpp's graph, against a float64 reference, and
 * against each other; and no bit of a logit changes by it.
 */
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { NativeEngineOptions } from "../../native/index.js";
import { type GgufValue, readGguf } from "../../src/gguf/read-gguf.js";
import { writeGguf } from "../../src/gguf/write-gguf.js";
import { captureOf, parseSites, STATE_PARTS, type StateShape, stateShapeOf } from "../../src/model/sites.js";
import { ARCHITECTURE_VARIANTS, loudGates } from "../helpers/architecture-variants.js";
import { ASKED_ARCHITECTURES, writeAskedModel } from "../helpers/asked-architectures.js";
import { type CapturedGroup, type CapturedItem, capture, statesApart } from "../helpers/captured-states.js";
import { type Answered, answer, type Item, openEngine, workOf } from "../helpers/native-engine.js";
import { Matrix } from "../helpers/reference/matrix.js";
import { rmsNorm } from "../helpers/reference/rms-norm.js";
import { capped } from "../helpers/reference/soft-cap.js";
import { type ReferenceModel, readReferenceModel } from "../helpers/reference/reference-model.js";
import { referenceHiddenStates } from "../helpers/reference/reference-pass.js";
import { writeTinyAdapter } from "../helpers/tiny-adapter.js";
import { TINY_ARCHITECTURES } from "../helpers/tiny-architectures.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

/** F32 throughout, as a share of a tensor's size: sums in another order. */
const ROUNDING = 2e-5;
/** Of what is added, and the sum of both: one rounding each, and in our own pass a sum begun from the residual. */
const SUM_ROUNDING = 2e-6;
const ROUNDING_NATS = 5e-5;
const EVERYTHING = "all,attention_weights";
const folder = mkdtempSync(join(tmpdir(), "inward-states-"));
let files = 0;
const fresh = () => join(folder, `${files++}.gguf`);

/** They begin alike, some are answered, and one is longer than any window. */
const PROMPT = [1, ...Array.from({ length: 29 }, (_, at) => 20 + ((at * 37) % 200))];
const ITEMS: readonly Item[] = [
  { ids: PROMPT, maxTokens: 4 },
  { ids: [...PROMPT.slice(0, 9), 77], maxTokens: 3 },
  { ids: PROMPT.slice(0, 12) },
  { ids: [60, 61], maxTokens: 2 },
];

async function shapeOf(model: string): Promise<StateShape> {
  return stateShapeOf(await readGguf(model), model);
}

async function captured(
  model: string,
  sites: string,
  options: Partial<NativeEngineOptions> = {},
  chosen?: Parameters<typeof capture>[5],
  items = ITEMS,
): Promise<CapturedGroup> {
  const engine = await openEngine(model, { architecture: "tiny", ...options });
  try {
    return capture(engine, items, await shapeOf(model), sites, { topTokens: 265 }, chosen);
  } finally {
    engine.dispose();
  }
}

async function uncaptured(model: string, options: Partial<NativeEngineOptions>) {
  const engine = await openEngine(model, options);
  try {
    return answer(engine, workOf(ITEMS, { topTokens: 265 }));
  } finally {
    engine.dispose();
  }
}

/** Largest |a + b − sum| as a share of the sum's size, over all tokens and layers that have the three. */
function sumsApart(states: readonly CapturedItem[]): number {
  let worst = 0;
  for (const { sites } of states) {
    for (const [one, other, sum] of [
      ["residual_before", "attention_output", "residual_middle"],
      ["residual_middle", "mlp_output", "residual_after"],
    ] as const) {
      for (let layer = 0; sites[`${sum}.${layer}`] !== undefined; layer++) {
        sites[`${sum}.${layer}`]?.forEach((row, token) => {
          const [a, b] = [sites[`${one}.${layer}`]?.[token], sites[`${other}.${layer}`]?.[token]] as Float32Array[];
          const most = row.reduce((greatest, value) => Math.max(greatest, Math.abs(value)), 0);
          row.forEach((value, at) => {
            worst = Math.max(worst, Math.abs((a?.[at] as number) + (b?.[at] as number) - value) / most);
          });
        });
      }
    }
  }
  return worst;
}

/** Attention weights: every head's row sums to one; what a layer begins with is what the one before it ends with, to the bit. */
function expectLawful({ states }: CapturedGroup, heads: number): void {
  for (const { sites } of states) {
    for (const [name, rows] of Object.entries(sites)) {
      const [part, layer] = name.split(".") as [string, string];
      if (part === "residual_before" && layer !== "0")
        expect(rows).toEqual(sites[`residual_after.${Number(layer) - 1}`]);
      if (part !== "attention_weights") continue;
      for (const row of rows) {
        const keys = row.length / heads;
        for (let head = 0; head < heads; head++) {
          const sum = row.subarray(head * keys, (head + 1) * keys).reduce((total, weight) => total + weight, 0);
          expect(Math.abs(sum - 1)).toBeLessThan(1e-5);
        }
      }
    }
  }
}

/** Of what norm and unembedding make of the last layer's residual at a prompt's end, in double precision, from the logprobs that were asked. */
function logitsApart(model: ReferenceModel, { answers, states }: CapturedGroup): number {
  const { outputNorm, output, outputBias, logitScale, logitCap, normEpsilon } = model;
  return Math.max(
    ...ITEMS.map(({ ids }, item) => {
      const last = states[item]?.sites[`residual_after.${model.blocks.length - 1}`]?.[ids.length - 1] as Float32Array;
      const residual = new Matrix(1, last.length).map((_, _row, at) => last[at] as number);
      const normed = rmsNorm(residual, outputNorm, normEpsilon).output;
      const logits = Array.from({ length: output.rows }, (_, id) => {
        const sum = Array.from(last, (_, at) => normed.at(0, at) * output.at(id, at)).reduce(
          (all, one) => all + one,
          0,
        );
        return capped(logitScale * (sum + (outputBias?.at(0, id) ?? 0)), logitCap);
      });
      const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
      const { topIds, topLogprobs, logSumExp } = answers[item] as Answered;
      expect(topIds).toHaveLength(output.rows);
      const apart = topIds.map((id, at) => Math.abs((topLogprobs[at] as number) + total - (logits[id] as number)));
      return Math.max(...apart, Math.abs(logSumExp - total));
    }),
  );
}

describe.each(ARCHITECTURE_VARIANTS)("%s", (name, options) => {
  const gelu = options.architecture?.startsWith("gemma") ?? false;
  const written = (async () => {
    const path = fresh();
    await writeTinyModel(path, { ...options, ...(gelu ? { adjust: loudGates } : {}) });
    return path;
  })();

  test("every part of every layer is llama.cpp's, the parts sum, and residuals are those of float64", async () => {
    const model = await written;
    const shape = await shapeOf(model);
    const own = await captured(model, EVERYTHING, { forward: "own" });
    const theirs = await captured(model, "all");
    const strict = await captured(model, EVERYTHING, { strict: true });
    expect(own.states.map(({ positions }) => positions.length)).toEqual(
      ITEMS.map(({ ids }, item) => ids.length + Math.max(0, (own.answers[item]?.tokenIds.length ?? 0) - 1)),
    );
    expect(Object.keys(own.states[0]?.sites ?? {})).toHaveLength(STATE_PARTS.length * shape.layers);
    const withoutWeights = own.states.map(({ positions, sites }) => ({
      positions,
      sites: Object.fromEntries(Object.entries(sites).filter(([name]) => !name.startsWith("attention_weights"))),
    }));
    expect(statesApart(withoutWeights, theirs.states)).toMatchObject({
      worst: expect.toSatisfy((worst) => worst < ROUNDING),
    });
    expect(statesApart(own.states, strict.states)).toMatchObject({
      worst: expect.toSatisfy((worst) => worst < ROUNDING),
    });
    for (const one of [own, theirs, strict]) {
      expect(sumsApart(one.states)).toBeLessThan(SUM_ROUNDING);
      expectLawful(one, shape.heads[0] as number);
    }
    const reference = await readReferenceModel(model, { halfGelu: true });
    const hidden = referenceHiddenStates(reference, PROMPT);
    const residuals = Array.from({ length: shape.layers + 1 }, (_, at) => hidden[at]);
    const expected = residuals.map((matrix) =>
      PROMPT.map((_, token) =>
        Float32Array.from({ length: shape.embedding }, (_, at) => matrix?.at(token, at) as number),
      ),
    );
    const taken = own.states[0] as CapturedItem;
    const names = ["residual_before.0", ...expected.slice(1).map((_, layer) => `residual_after.${layer}`)];
    const compared = (rows: (name: string, at: number) => Float32Array[]) => [
      { positions: PROMPT, sites: Object.fromEntries(names.map((name, at) => [name, rows(name, at)])) },
    ];
    const apart = statesApart(
      compared((_, at) => expected[at] as Float32Array[]),
      compared((name) => (taken.sites[name] as Float32Array[]).slice(0, PROMPT.length)),
    );
    expect(apart).toMatchObject({ worst: expect.toSatisfy((worst) => worst < ROUNDING) });
    for (const one of [own, theirs]) expect(logitsApart(reference, one)).toBeLessThan(ROUNDING_NATS);
  });

  // Of an architecture's variants its plain one is enough.
  test.each(TINY_ARCHITECTURES.includes(name) ? (["own", "llama.cpp"] as const) : [])(
    "%s: no bit of a logit changes",
    async (forward) => {
      const model = await written;
      const plain = await uncaptured(model, { forward });
      const watched = await captured(model, "all", { forward });
      expect(JSON.stringify(watched.answers)).toBe(JSON.stringify(plain.answers));
      expect(watched.evaluatedTokens).toBe(plain.counts.evaluatedTokens);
    },
  );
});

describe("what is captured", () => {
  const model = (async () => {
    const path = fresh();
    await writeTinyModel(path, { seed: 5, blocks: 3, normSpread: 0.1 });
    return path;
  })();

  test.each<[string, Partial<NativeEngineOptions>]>([
    ["own", { forward: "own" }],
    ["own, in other pieces", { forward: "own", batchTokens: 5, sequences: 1, threads: 2 }],
    ["llama.cpp", {}],
    ["llama.cpp, each sequence by itself", { separateSequences: true }],
    ["llama.cpp, strict", { strict: true }],
    ["llama.cpp, evaluations of one shape", { invariant: true }],
  ])(
    "%s: chosen tokens alone, though prompts share their beginning, are what they are among all",
    async (_, options) => {
      // Of the first only its end, of those that go on from it other tokens: cells that are shared have no record, and are evaluated anew.
      const chosen = (item: number, token: number, length: number) =>
        item === 0 ? token === length - 1 : token % 3 === item % 3;
      const some = await captured(await model, "residual,mlp_output.1", options, chosen);
      const all = await captured(await model, "residual,mlp_output.1", { forward: "own" });
      const wanted = all.states.map(({ positions, sites }, item) => {
        const length = ITEMS[item]?.ids.length as number;
        const keep = positions.map((at) => at >= length || chosen(item, at, length));
        const only = <One>(list: readonly One[]) => list.filter((_, at) => keep[at]);
        return {
          positions: only(positions),
          sites: Object.fromEntries(Object.entries(sites).map(([name, rows]) => [name, only(rows)])),
        };
      });
      const { worst, at } = statesApart(some.states, wanted);
      if (options.forward === "own") expect(some.states).toEqual(wanted);
      expect({ at, right: worst < ROUNDING }).toEqual({ at, right: true });
    },
  );

  test("encoded weights, and an adapter: our own pass and llama.cpp's graph", async () => {
    const path = fresh();
    await writeTinyModel(path, { seed: 5, encoding: "Q8_0" });
    const adapter = fresh();
    await writeTinyAdapter(adapter, { a: 0.2, b: 0.2 });
    const under = async (options: Partial<NativeEngineOptions>) => {
      const engine = await openEngine(path, { architecture: "llama", ...options });
      try {
        const shape = await shapeOf(path);
        const bare = capture(engine, ITEMS, shape, "all");
        engine.setAdapters([{ path: adapter, scale: 1 }]);
        const worn = capture(engine, ITEMS, shape, "all");
        expect(statesApart(bare.states.slice(2, 3), worn.states.slice(2, 3)).worst).toBeGreaterThan(0.01);
        return worn;
      } finally {
        engine.dispose();
      }
    };
    const [own, theirs] = [await under({ forward: "own" }), await under({ separateSequences: true })];
    // llama.cpp rounds activations to eight bits before each product.
    expect(statesApart(own.states.slice(2, 3), theirs.states.slice(2, 3)).worst).toBeLessThan(0.1);
    expect(sumsApart(own.states)).toBeLessThan(SUM_ROUNDING);
  });

  test("states alone want no logits, and are evaluated once", async () => {
    const items = ITEMS.map(({ ids }) => ({ ids }));
    for (const forward of ["own", "llama.cpp"] as const) {
      const engine = await openEngine(await model, { forward, architecture: "llama" });
      const shape = await shapeOf(await model);
      const alone = capture(engine, items, shape, "residual");
      const asked = capture(engine, ITEMS, shape, "residual");
      engine.dispose();
      const prompts = asked.states.map(({ sites }, item) => ({
        positions: Array.from(items[item]?.ids as number[], (_, at) => at),
        sites: Object.fromEntries(
          Object.entries(sites).map(([name, rows]) => [name, rows.slice(0, items[item]?.ids.length)]),
        ),
      }));
      expect(statesApart(alone.states, prompts).worst).toBeLessThan(forward === "own" ? 1e-30 : ROUNDING);
    }
  });

  test("half precision rounds, and what does not fit it is refused with its number", async () => {
    const path = fresh();
    await writeTinyModel(path, {
      seed: 5,
      adjust: ({ name, values }) => (name === "blk.1.ffn_down.weight" ? values.map((value) => 1e7 * value) : values),
    });
    const shape = await shapeOf(path);
    const engine = await openEngine(path, { forward: "own" });
    const work = workOf(ITEMS, { capture: new Uint8Array(ITEMS.flatMap(({ ids }) => ids).length).fill(1) });
    engine.setCapture(captureOf(parseSites("residual_after.0", shape), shape, "f16"));
    engine.begin(work);
    while (engine.step()) {}
    expect(engine.take().siteStates?.length).toBe(2 * shape.embedding * work.tokenIds.length);
    engine.setCapture(captureOf(parseSites("residual", shape), shape, "f16"));
    engine.begin(work);
    expect(() => {
      while (engine.step()) {}
    }).toThrow(/residual_after\.1 of token \d+ at position \d+ holds -?\d{5,}\.\d+, and half precision ends at 65504/);
    engine.dispose();
  });
});

describe("architectures that llama.cpp alone evaluates", () => {
  test.each(ASKED_ARCHITECTURES)("%s", async (architecture) => {
    const path = fresh();
    await writeAskedModel(path, architecture);
    const residuals = await captured(path, "residual", { architecture });
    const reference = await captured(path, "residual", { architecture, strict: true });
    const { worst } = statesApart(residuals.states, reference.states);
    expect(worst).toBeLessThan(1e-4);
    if (architecture === "mamba") {
      await expect(captured(path, "residual_middle.0", { architecture })).rejects.toMatchObject({
        code: "PROBE_SITE",
        message: expect.stringMatching(/graph of mamba has no residual_middle\.0/),
      });
      return;
    }
    const sites =
      architecture === "lfm2"
        ? "attention_output.1,residual_middle.1,mlp_output.1,residual_before.1,residual_after.1"
        : "all";
    const all = await captured(path, sites, { architecture });
    expect(sumsApart(all.states)).toBeLessThan(SUM_ROUNDING);
    const plain = await uncaptured(path, { architecture });
    expect(JSON.stringify(all.answers)).toBe(JSON.stringify(plain.answers));
  });

  test("attention and feed-forward side by side: nothing is between them, which is said", async () => {
    const base = fresh();
    await writeTinyModel(base, { tiedOutput: true });
    const [file, path] = [await readGguf(base), fresh()];
    const key = (name: string) => name.replace(/^llama\./, "command-r.");
    const metadata = new Map<string, GgufValue>([
      ...[...file.metadata].map(([name, value]): [string, GgufValue] => [key(name), value]),
      ["general.architecture", { type: "string", value: "command-r" }],
      ["command-r.logit_scale", { type: "f32", value: 0.5 }],
      ["command-r.attention.layer_norm_epsilon", { type: "f32", value: 1e-5 }],
    ]);
    const bytes = readFileSync(base);
    const kept = file.tensors.filter(({ name }) => !name.endsWith("ffn_norm.weight"));
    await writeGguf(
      path,
      metadata,
      kept.map(({ name, dimensions, type, offset, byteLength }) => ({
        name,
        dimensions,
        type,
        chunks: () => [bytes.subarray(offset, offset + byteLength)],
      })),
    );
    const options = { architecture: "command-r" };
    const { states } = await captured(path, "residual,head_values", options);
    expect(
      statesApart(states, (await captured(path, "residual,head_values", { ...options, strict: true })).states).worst,
    ).toBeLessThan(1e-4);
    for (const part of ["residual_middle", "attention_output", "mlp_output"]) {
      await expect(captured(path, `${part}.1`, options)).rejects.toMatchObject({
        code: "PROBE_SITE",
        message: expect.stringMatching(/graph of command-r/),
      });
    }
    await expect(captured(path, "attention_weights", options)).rejects.toMatchObject({
      code: "PROBE_SITE",
      message: expect.stringMatching(/engine\.strict/),
    });
  });
});
