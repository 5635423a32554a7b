/**
 * What is written into states is what was asked for: our own forward pass against llama.cpp's graph and a float64 reference, and what
 * changes nothing changes no bit. What is asked beside it, and what lies before it, stays what it is.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Engine, NativeEngineOptions } from "../../native/index.js";
import { hashOf } from "../../src/base/files.js";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { nextTokensWork } from "../../src/model/engines/native.js";
import { type Intervention, withInterventions } from "../../src/model/interventions.js";
import { type Site, type StateShape, siteName, siteNumbers, stateShapeOf } from "../../src/model/sites.js";
import { loudGates } from "../helpers/architecture-variants.js";
import { ASKED_ARCHITECTURES, writeAskedModel } from "../helpers/asked-architectures.js";
import { type CapturedItem, capture } from "../helpers/captured-states.js";
import {
  byId,
  everyIntervention,
  type IntervenedPrompt,
  intervenedWork,
  logprobsApart,
  someValues,
  WRITTEN_PARTS,
} from "../helpers/intervened.js";
import { type Answered, answer, openEngine, workOf } from "../helpers/native-engine.js";
import { intervening } from "../helpers/reference/intervene.js";
import { readReferenceModel } from "../helpers/reference/reference-model.js";
import { referenceResiduals } from "../helpers/reference/reference-pass.js";
import { writeTinyAdapter } from "../helpers/tiny-adapter.js";
import { TINY_ARCHITECTURES } from "../helpers/tiny-architectures.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

/** Nats; F32 throughout, sums in another order, over the whole vocabulary, whose improbable tokens have all of it. */
const ROUNDING_NATS = 1e-4;
const VOCABULARY = 265;
const folder = mkdtempSync(join(tmpdir(), "inward-interventions-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const fresh = () => join(folder, `${files++}.gguf`);

const PROMPT = [1, ...Array.from({ length: 11 }, (_, at) => 20 + ((at * 37) % 200))];
const DONOR = [1, ...Array.from({ length: 11 }, (_, at) => 30 + ((at * 53) % 190))];

interface Opened {
  readonly engine: Engine;
  readonly shape: StateShape;
  /** The whole vocabulary after each prompt, in one group. */
  readonly ask: (items: readonly IntervenedPrompt[]) => Answered[];
  readonly states: (
    ids: readonly number[],
    sites?: string,
    interventions?: readonly Intervention[],
    last?: boolean,
  ) => CapturedItem;
}

async function open(model: string, options: Partial<NativeEngineOptions> = {}): Promise<Opened> {
  const engine = await openEngine(model, { architecture: "tiny", sequences: 8, ...options });
  const shape = stateShapeOf(await readGguf(model), model);
  return {
    engine,
    shape,
    ask: (items) => answer(engine, intervenedWork(items, shape, { topTokens: VOCABULARY })).answers,
    states: (ids, sites = "all", interventions = [], last = false) => {
      const { interventions: table } = intervenedWork([{ ids, interventions }], shape);
      const more = table ? { interventions: table } : {};
      const { states } = capture(engine, [{ ids }], shape, sites, more, (_, at) => !last || at === ids.length - 1);
      engine.setCapture({
        parts: new Int32Array(0),
        layers: new Int32Array(0),
        widths: new Int32Array(0),
        modelLayers: shape.layers,
        dtype: "f32",
      });
      return states[0] as CapturedItem;
    },
  };
}

/** Replaces what a site holds of the tokens that were captured. */
function put(site: Site, { positions, sites }: CapturedItem): Intervention {
  const rows = sites[siteName(site)] as Float32Array[];
  const values = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0));
  rows.reduce((at, row) => {
    values.set(row, at);
    return at + row.length;
  }, 0);
  return { site, tokens: positions, operation: "replace", values };
}

/** Of a prompt's tokens; of the last layer its last one's: what llama.cpp makes of it there has other last bits beside others. */
function stateOf({ states, shape }: Opened, site: Site, ids: readonly number[]): Intervention {
  const last = site.layer + 1 === shape.layers && site.part !== "residual_before";
  return put(site, states(ids, siteName(site), [], last));
}

function everySite({ layers }: StateShape): Site[] {
  return Array.from({ length: layers }, (_, layer) => WRITTEN_PARTS.map((part) => ({ part, layer }))).flat();
}

describe.each(TINY_ARCHITECTURES)("%s", (architecture) => {
  const written = (async () => {
    const path = fresh();
    await writeTinyModel(path, { architecture, ...(architecture.startsWith("gemma") ? { adjust: loudGates } : {}) });
    return path;
  })();

  test("each operation at each part: our own pass, llama.cpp's graph and float64", async () => {
    const model = await written;
    const [own, theirs] = [await open(model, { forward: "own" }), await open(model)];
    const items = everyIntervention(own.shape, PROMPT.length).map((one) => ({ ids: PROMPT, interventions: [one] }));
    const group = [...items, { ids: PROMPT }];
    const [ours, graph] = [own.ask(group).map(byId), theirs.ask(group).map(byId)];
    const reference = await readReferenceModel(model, { halfGelu: true });
    const plain = ours.at(-1) as Float64Array;
    for (const [at, { interventions }] of items.entries()) {
      const what = JSON.stringify({ ...interventions[0], values: undefined });
      const [one, other] = [ours[at] as Float64Array, graph[at] as Float64Array];
      const { logits } = referenceResiduals(reference, PROMPT, intervening(interventions, own.shape));
      const last = Array.from({ length: logits.columns }, (_, id) => logits.at(logits.rows - 1, id));
      const total = Math.log(last.reduce((sum, logit) => sum + Math.exp(logit), 0));
      const exact = last.map((logit) => logit - total);
      expect({ what, right: logprobsApart(one, other) < ROUNDING_NATS }).toEqual({ what, right: true });
      expect({ what, right: logprobsApart(one, exact) < ROUNDING_NATS }).toEqual({ what, right: true });
      // What is done to the first token's last state is nobody's.
      if (logprobsApart(one, plain) < 1e-3) expect(what).toMatch(/"layer":\d,?.*"tokens":\[[037,]+\]/);
    }
    expect(items.filter((_, at) => logprobsApart(ours[at] as Float64Array, plain) > 1e-3).length).toBeGreaterThan(12);
  });

  test.each<[string, Partial<NativeEngineOptions>]>([
    ["own", { forward: "own" }],
    ["llama.cpp", { strict: true }],
  ])(
    "%s: the own state in its place, a scale of 1 and an addition of nothing change no bit; a donor's makes the donor's",
    async (_, options) => {
      const opened = await open(await written, options);
      const { ask, shape, engine } = opened;
      const sites = everySite(shape);
      const plain = hashOf(ask([{ ids: PROMPT }])[0]);
      const donors = hashOf(ask([{ ids: DONOR }])[0]);
      const nothing = sites.map((site): Intervention[] => [
        { site, tokens: { from: 0 }, operation: "scale", factor: 1 },
        {
          site,
          tokens: { from: 0 },
          operation: "add",
          factor: 0,
          values: new Float32Array(siteNumbers(site, shape, 1)).fill(3),
        },
      ]);
      const own = sites.map((site) => stateOf(opened, site, PROMPT));
      const patches = [...own.map((one) => [one]), own, ...nothing];
      for (const [at, one] of ask(patches.map((interventions) => ({ ids: PROMPT, interventions }))).entries())
        expect({ at, answer: hashOf(one) }).toEqual({ at, answer: plain });
      const residuals = sites.filter(({ part }) => part === "residual_before" || part === "residual_after");
      const given = residuals.map((site) => ({ ids: PROMPT, interventions: [stateOf(opened, site, DONOR)] }));
      for (const one of ask(given)) expect(hashOf(one)).toBe(donors);
      engine.dispose();
    },
  );
});

const MODEL = (async () => {
  const path = fresh();
  await writeTinyModel(path, { seed: 5, blocks: 3, normSpread: 0.1 });
  return path;
})();

describe("who is asked beside it", () => {
  test("each alone has the bytes that it has among the others, answers too", async () => {
    const { engine, shape } = await open(await MODEL, { forward: "own" });
    const steered: Intervention = {
      site: { part: "residual_after", layer: 1 },
      tokens: { from: 5 },
      operation: "add",
      values: someValues(shape.embedding, 9),
    };
    const items: IntervenedPrompt[] = [
      ...everyIntervention(shape, PROMPT.length).map((one) => ({ ids: PROMPT, interventions: [one], maxTokens: 3 })),
      { ids: PROMPT, maxTokens: 3 },
      { ids: DONOR, interventions: [steered, { ...steered, tokens: [2] }], maxTokens: 4 },
      { ids: PROMPT.slice(0, 7), interventions: [steered] },
    ];
    const asked = (some: readonly IntervenedPrompt[]) =>
      answer(engine, intervenedWork(some, shape, { topTokens: 5 })).answers;
    const together = asked(items);
    for (const [at, item] of items.entries()) expect(asked([item])[0]).toEqual(together[at]);
    const elsewhere = await open(await MODEL, { forward: "own", threads: 2, sequences: 2, batchTokens: 5 });
    expect(answer(elsewhere.engine, intervenedWork(items, shape, { topTokens: 5 })).answers).toEqual(together);
  });

  test.each<[string, Partial<NativeEngineOptions>]>([
    ["each sequence by itself", { separateSequences: true }],
    ["strict", { strict: true }],
    ["filled up", { leastRows: 9 }],
    ["in small batches", { batchTokens: 7, sequences: 3 }],
  ])("llama.cpp, %s: as ever", async (_, options) => {
    const [own, theirs] = [await open(await MODEL, { forward: "own" }), await open(await MODEL, options)];
    const items = everyIntervention(own.shape, PROMPT.length).map((one) => ({ ids: PROMPT, interventions: [one] }));
    const [ours, graph] = [own.ask(items), theirs.ask(items)];
    for (const at of items.keys())
      expect(logprobsApart(byId(ours[at] as Answered), byId(graph[at] as Answered))).toBeLessThan(ROUNDING_NATS);
  });

  test("what prompts begin with is evaluated once up to the first token that is intervened in, and further where it is the same", async () => {
    for (const forward of ["own", "llama.cpp"] as const) {
      const { engine, shape } = await open(await MODEL, { forward });
      const at = (token: number, factor: number): Intervention => ({
        site: { part: "mlp_output", layer: 0 },
        tokens: [token],
        operation: "scale",
        factor,
      });
      const counted = (...all: Intervention[]) => {
        const items = all.map((one) => ({ ids: PROMPT, interventions: [one] }));
        return answer(engine, intervenedWork(items, shape, { topTokens: 1 })).counts.evaluatedTokens;
      };
      expect(counted(...[0, 2, 3, 4, 5].map((factor) => at(9, factor)))).toBe(9 + 5 * 3);
      expect(counted(at(9, 0), at(9, 0), at(9, 2), at(3, 2))).toBe(9 + 3 + 3 + 9);
      expect(counted(at(11, 0), at(11, 0))).toBe(12);
    }
  });

  test("a prompt that is kept serves the next group where the very same is done to it", async () => {
    for (const forward of ["own", "llama.cpp"] as const) {
      const { engine, shape } = await open(await MODEL, { forward });
      const scaled = (factor: number): Intervention[] => [
        { site: { part: "residual_after", layer: 0 }, tokens: { from: 4 }, operation: "scale", factor },
      ];
      const next = (paths: readonly (readonly number[])[], interventions: readonly Intervention[] = []) => {
        const work = withInterventions(
          nextTokensWork(PROMPT, paths, 5),
          paths.map(() => ({ promptIds: PROMPT, interventions })),
          () => shape,
        );
        return answer(engine, work);
      };
      const first = next([[]], scaled(2));
      expect(first.counts.evaluatedTokens).toBe(12);
      const second = next([[40], [41]], scaled(2));
      expect(second.counts.evaluatedTokens).toBe(2);
      const whole = answer(
        engine,
        intervenedWork([{ ids: [...PROMPT, 41], interventions: scaled(2) }], shape, { topTokens: 5 }),
      );
      expect(logprobsApart(second.answers[1]?.topLogprobs ?? [], whole.answers[0]?.topLogprobs ?? [])).toBeLessThan(
        forward === "own" ? 1e-30 : ROUNDING_NATS,
      );
      next([[]], scaled(2));
      expect(next([[40]], scaled(3)).counts.evaluatedTokens).toBe(13);
      expect(next([[40]]).counts.evaluatedTokens).toBe(13);
      expect(next([[42]]).counts.evaluatedTokens).toBe(1);
    }
  });
});

describe("where it is done, and where not", () => {
  test.each(["own", "llama.cpp"] as const)(
    "%s: what lies before it is untouched; what is captured there is what was written; later layers and tokens read it",
    async (forward) => {
      const { states, shape } = await open(await MODEL, { forward });
      const plain = states(PROMPT);
      for (const site of everySite(shape)) {
        const width = plain.sites[siteName(site)]?.[0]?.length as number;
        const values = someValues(width, 3);
        const changed = states(PROMPT, "all", [{ site, tokens: [6], operation: "replace", values }]);
        const order = (name: string) => everySite(shape).findIndex((one) => siteName(one) === name);
        // Heads stand after what they gather, and before what is made of it.
        const inLayer = [
          "residual_before",
          "head_values",
          "attention_output",
          "residual_middle",
          "mlp_output",
          "residual_after",
        ];
        const when = (name: string) => {
          const [part, layer] = name.split(".") as [string, string];
          return 10 * Number(layer) + inLayer.indexOf(part);
        };
        expect(order(siteName(site))).toBeGreaterThanOrEqual(0);
        for (const [name, rows] of Object.entries(changed.sites)) {
          rows.forEach((row, token) => {
            const before = plain.sites[name]?.[token] as Float32Array;
            const isBefore =
              token < 6 ||
              when(name) < when(siteName(site)) ||
              (token > 6 && when(name) <= 10 * site.layer + 10 && when(name) <= when(siteName(site)));
            if (name === siteName(site) && token === 6) expect(row).toEqual(values);
            else if (isBefore) expect({ name, token, row }).toEqual({ name, token, row: before });
          });
        }
        const end = changed.sites[`residual_after.${shape.layers - 1}`] as Float32Array[];
        expect(end[6]).not.toEqual(plain.sites[`residual_after.${shape.layers - 1}`]?.[6]);
      }
    },
  );

  test("a head that is knocked out is a head whose columns of the output matrix are 0", async () => {
    const without = fresh();
    const [head, headWidth] = [2, 16];
    await writeTinyModel(without, {
      seed: 5,
      blocks: 3,
      normSpread: 0.1,
      adjust: ({ name, values, dimensions }) =>
        name === "blk.1.attn_output.weight"
          ? values.map((value, at) => (Math.floor((at % (dimensions[0] as number)) / headWidth) === head ? 0 : value))
          : values,
    });
    for (const forward of ["own", "llama.cpp"] as const) {
      const knocked = (await open(await MODEL, { forward })).ask([
        {
          ids: PROMPT,
          interventions: [
            {
              site: { part: "head_values", layer: 1 },
              tokens: { from: 0 },
              operation: "scale",
              factor: 0,
              heads: [head],
            },
          ],
        },
        { ids: PROMPT },
      ]);
      const [gone] = (await open(without, { forward })).ask([{ ids: PROMPT }]);
      const [one, plain] = knocked.map(byId) as [Float64Array, Float64Array];
      expect(logprobsApart(one, byId(gone as Answered))).toBeLessThan(ROUNDING_NATS);
      expect(logprobsApart(one, plain)).toBeGreaterThan(0.01);
    }
  });

  test("of an answer's tokens what is done from one on is done to each: generated or given, they are equally likely", async () => {
    for (const forward of ["own", "llama.cpp"] as const) {
      const { engine, shape } = await open(await MODEL, { forward, strict: forward === "llama.cpp" });
      const steered = (from: number): Intervention[] => [
        {
          site: { part: "residual_after", layer: 1 },
          tokens: { from },
          operation: "add",
          values: someValues(shape.embedding, 4),
          factor: 3,
        },
      ];
      const generate = (interventions: readonly Intervention[]) =>
        answer(engine, intervenedWork([{ ids: PROMPT, maxTokens: 6, interventions }], shape)).answers[0] as Answered;
      const [plain, reply, all] = [generate([]), generate(steered(PROMPT.length)), generate(steered(2))];
      // The reply's first token comes of the prompt alone.
      expect(reply.tokenIds[0]).toBe(plain.tokenIds[0]);
      expect(reply.tokenIds).not.toEqual(plain.tokenIds);
      expect(all.tokenIds).not.toEqual(reply.tokenIds);
      for (const [said, from] of [
        [reply, PROMPT.length],
        [all, 2],
      ] as const) {
        const ids = [...PROMPT, ...said.tokenIds];
        const given = withInterventions(
          intervenedWork([{ ids, scoreFrom: PROMPT.length }], shape),
          [{ promptIds: PROMPT, interventions: steered(from) }],
          () => shape,
        );
        const { scores } = answer(engine, given).answers[0] as Answered;
        expect(logprobsApart(scores, said.logprobs)).toBeLessThan(forward === "own" ? 1e-30 : ROUNDING_NATS);
      }
    }
  });

  test("encoded weights with an adapter: no bit changes by what changes nothing, and a donor's states make the donor's", async () => {
    const [path, adapter] = [fresh(), fresh()];
    await writeTinyModel(path, { seed: 5, encoding: "Q8_0" });
    await writeTinyAdapter(adapter, { a: 0.2, b: 0.2 });
    for (const options of [{ forward: "own" }, { strict: true }] as const) {
      const opened = await open(path, options);
      const { engine, ask, shape } = opened;
      const bare = hashOf(ask([{ ids: PROMPT }])[0]);
      engine.setAdapters([{ path: adapter, scale: 1 }]);
      const plain = ask([{ ids: PROMPT }, { ids: DONOR }]).map(hashOf);
      expect(plain[0]).not.toBe(bare);
      for (const site of everySite(shape)) {
        const [same] = ask([{ ids: PROMPT, interventions: [stateOf(opened, site, PROMPT)] }]);
        expect({ site, answer: hashOf(same) }).toEqual({ site, answer: plain[0] });
      }
      const [given] = ask([
        { ids: PROMPT, interventions: [stateOf(opened, { part: "residual_before", layer: 0 }, DONOR)] },
      ]);
      expect(hashOf(given)).toBe(plain[1]);
    }
  });
});

describe("architectures that llama.cpp alone evaluates", () => {
  test.each(ASKED_ARCHITECTURES)(
    "%s: a donor's residuals make the donor's logits, wherever they are put",
    async (architecture) => {
      const path = fresh();
      await writeAskedModel(path, architecture);
      const { ask, states, shape } = await open(path, { architecture, strict: true });
      const donor = states(DONOR, "residual");
      const donors = byId(ask([{ ids: DONOR }])[0] as Answered);
      for (const name of Object.keys(donor.sites)) {
        const [part, layer] = name.split(".") as [Site["part"], string];
        const site = { part, layer: Number(layer) };
        const [given, changed] = ask([
          { ids: PROMPT, interventions: [put(site, donor)] },
          { ids: PROMPT, interventions: [{ site, tokens: { from: 0 }, operation: "scale", factor: -1 }] },
        ]);
        expect({ name, right: logprobsApart(byId(given as Answered), donors) < ROUNDING_NATS }).toEqual({
          name,
          right: true,
        });
        expect(logprobsApart(byId(given as Answered), byId(changed as Answered))).toBeGreaterThan(1e-3);
      }
      expect(shape.layers).toBeGreaterThan(0);
    },
  );

  test("what an architecture has not is said", async () => {
    const path = fresh();
    await writeAskedModel(path, "mamba");
    const { ask, shape } = await open(path, { architecture: "mamba" });
    const middle: Intervention = {
      site: { part: "residual_middle", layer: 0 },
      tokens: [0],
      operation: "replace",
      values: new Float32Array(shape.embedding),
    };
    expect(() => ask([{ ids: PROMPT, interventions: [middle] }])).toThrow(
      expect.objectContaining({
        code: "PROBE_SITE",
        message: expect.stringMatching(/graph of mamba has no residual_middle\.0 to write to/),
      }),
    );
  });
});

describe("refused by the addon, whatever stands before it", () => {
  const one: Intervention = { site: { part: "residual_after", layer: 0 }, tokens: [1], operation: "scale", factor: 2 };

  test("evaluations of one shape, another model's layers and widths, and lists that do not fit", async () => {
    const begin = async (options: Partial<NativeEngineOptions>, change: object, work: object = {}) => {
      const { engine, shape } = await open(await MODEL, options);
      const made = intervenedWork([{ ids: PROMPT, interventions: [one] }], shape);
      engine.begin({ ...made, ...work, interventions: { ...made.interventions, ...change } } as typeof made);
    };
    const ints = (...all: number[]) => Int32Array.from(all);
    await expect(begin({ invariant: true }, {})).rejects.toMatchObject({ code: "ENGINE_UNAVAILABLE" });
    for (const forward of ["own", "llama.cpp"] as const) {
      await expect(begin({ forward }, { modelLayers: 4 })).rejects.toMatchObject({ code: "PROBE_SITE" });
      const wrong: [object, string][] = [
        [{ layers: ints(3) }, "PROBE_SITE"],
        [{ parts: ints(6) }, "PROBE_SITE"],
        [{ parts: ints(-1) }, "PROBE_SITE"],
        [{ operations: ints(4) }, "PROBE_INVALID"],
        [{ operations: ints(0) }, "PROBE_INVALID"],
        [{ factors: Float32Array.of(Number.NaN) }, "PROBE_INVALID"],
        [{ values: Float32Array.of(Number.POSITIVE_INFINITY) }, "PROBE_INVALID"],
        [{ widths: ints(64, 64) }, "TRAIN_SHAPE"],
        [{ setStarts: ints(0, 2) }, "TRAIN_SHAPE"],
        [{ sets: ints(7) }, "TRAIN_SHAPE"],
        [{ tokenSets: ints(0) }, "TRAIN_SHAPE"],
        [{ answerSets: ints(1) }, "TRAIN_SHAPE"],
        [
          { operations: ints(0), vectorStarts: ints(0, 1), vectors: ints(1), values: new Float32Array(64) },
          "TRAIN_SHAPE",
        ],
        [{ headStarts: ints(0, 1), heads: ints(0) }, "PROBE_INVALID"],
      ];
      for (const [change, code] of wrong)
        await expect(begin({ forward }, change), JSON.stringify(change)).rejects.toMatchObject({ code });
    }
    await expect(begin({ forward: "own" }, { widths: ints(63) })).rejects.toMatchObject({ code: "PROBE_SITE" });
    const { engine, shape } = await open(await MODEL);
    const made = intervenedWork([{ ids: PROMPT, interventions: [one] }], shape);
    engine.begin({ ...made, interventions: { ...made.interventions, widths: ints(63) } } as typeof made);
    expect(() => engine.step()).toThrow(expect.objectContaining({ code: "PROBE_SITE" }));
    // It goes on after it.
    expect(answer(engine, made).answers).toHaveLength(1);
  });

  test("numbers that are no longer finite end the group", async () => {
    const twice: Intervention = { ...one, tokens: { from: 0 }, factor: 3e38 };
    for (const forward of ["own", "llama.cpp"] as const) {
      const { ask } = await open(await MODEL, { forward });
      expect(() => ask([{ ids: PROMPT, interventions: [twice, twice] }])).toThrow(
        expect.objectContaining({ code: "ENGINE_NOT_FINITE" }),
      );
      expect(ask([{ ids: PROMPT, interventions: [one] }])).toHaveLength(1);
    }
  });

  test("batches that are filled up to so many logits have room for them", async () => {
    const { engine } = await open(await MODEL, { leastRows: 9, batchTokens: 64 });
    const ids = Array.from({ length: 64 }, (_, at) => 20 + at);
    expect(answer(engine, workOf([{ ids }], { topTokens: 3 })).answers[0]?.topIds).toHaveLength(3);
  });
});
