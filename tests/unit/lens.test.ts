/** Lenses: the end of a model on states in its middle, held against the float64 reference, plain arithmetic and planted models. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OWN_ARCHITECTURES } from "../../src/gguf/own-forward.js";
import {
  type LensReading,
  lensDivergences,
  lensTargets,
  readLens,
  targetLead,
  Unembedding,
} from "../../src/probe/lens-readings.js";
import { LensFile } from "../../src/probe/lens-file.js";
import { affineLens, TUNED_LENS_SETTINGS, TunedLens, tuneLens } from "../../src/probe/lens-tuned.js";
import { type PlantedModel, writePlantedModel } from "../../src/probe/planted-model.js";
import { besideSpans } from "../../src/run/lens-tokens.js";
import { shareOfRows } from "../../src/probe/string-estimates.js";
import { MECHANISMS } from "../../src/probe/planted-weights.js";
import { jacobianFile, type Saved, torchFile } from "../helpers/made-torch-file.js";
import { normal } from "../helpers/normal.js";
import type { Matrix } from "../helpers/reference/matrix.js";
import { readReferenceModel } from "../helpers/reference/reference-model.js";
import { referenceResiduals } from "../helpers/reference/reference-pass.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-lens-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const rowsOf = ({ values, columns }: Matrix) => ({ values, width: columns });
const TOKENS = [7, 30, 99, 12, 54, 3, 80];

/** Weights are the same F32 numbers on both sides, sums are doubles. */
const ROUNDING = 1e-9;

describe.each(OWN_ARCHITECTURES)("%s", (architecture) => {
  test("after the last layer, what is read is what the model says", async () => {
    const path = join(folder, `${architecture}.gguf`);
    const biases = architecture === "qwen2" ? { outputBias: true } : {};
    const { vocabulary } = await writeTinyModel(path, { architecture, seed: 3, ...biases });
    const model = await readReferenceModel(path);
    const { afterLayers, logits } = referenceResiduals(model, TOKENS);
    const unembedding = await Unembedding.open(path);
    const ids = [40, 41, 42];
    const targets = [
      { name: "one", tokenIds: [40] },
      { name: "three", tokenIds: ids },
    ];
    const readings = await readLens(unembedding, rowsOf(afterLayers.at(-1) as Matrix), targets);
    await unembedding.close();
    expect(readings.length).toBe(TOKENS.length);
    for (const [row, reading] of readings.entries()) {
      const all = Array.from({ length: vocabulary.tokens.length }, (_, id) => logits.at(row, id));
      const most = Math.max(...all);
      const total = all.reduce((sum, logit) => sum + Math.exp(logit - most), 0);
      const chances = all.map((logit) => Math.exp(logit - most) / total);
      const entropy = chances.reduce((sum, chance) => (chance > 0 ? sum - chance * Math.log(chance) : sum), 0);
      expect(reading.topToken).toBe(all.indexOf(most));
      expect(Math.abs(reading.entropyNats - entropy)).toBeLessThan(ROUNDING);
      for (const [at, { tokenIds }] of targets.entries()) {
        const { logprob, rank, tied } = reading.targets[at] as (typeof reading.targets)[0];
        const chance = tokenIds.reduce((sum, id) => sum + (chances[id] as number), 0);
        expect(Math.abs(logprob - Math.log(chance))).toBeLessThan(ROUNDING);
        const best = Math.max(...tokenIds.map((id) => all[id] as number));
        expect(rank).toBe(1 + all.filter((logit) => logit > best).length);
        const same = all.flatMap((logit, id) => (logit === best && !tokenIds.includes(id) ? [id] : []));
        expect(tied).toBe(same.length);
      }
    }
  });
});

test.each(["llama", "gemma2"] as const)(
  "%s: through a lens of a file, what is read is what the model would say if that stood at its end",
  async (architecture) => {
    const path = join(folder, `given-${architecture}.gguf`);
    const { vocabulary } = await writeTinyModel(path, { architecture, seed: 4 });
    const model = await readReferenceModel(path);
    const { embedded, afterLayers } = referenceResiduals(model, TOKENS);
    const width = embedded.columns;
    const draw = normal(9);
    const numbers = (count: number) => Float32Array.from({ length: count }, () => draw() / 8);
    const layers = [...afterLayers.keys()];
    // The tuned lens begins at the embedding, the Jacobian lens ends before the model does.
    const translators = layers.map(() => [numbers(width * width), numbers(width)] as const);
    const jacobians = new Map(layers.slice(0, -1).map((layer) => [layer, numbers(width * width)]));
    const place = join(folder, `given-${architecture}`);
    mkdirSync(place);
    const config = { base_model_name_or_path: "tiny", d_model: width, num_hidden_layers: layers.length };
    writeFileSync(join(place, "config.json"), JSON.stringify(config));
    const named = translators.flatMap(([weights, bias], layer): [string, Saved][] => [
      [`${layer}.weight`, { shape: [width, width], values: weights }],
      [`${layer}.bias`, { shape: [width], values: bias }],
    ]);
    writeFileSync(join(place, "params.pt"), torchFile(new Map(named)));
    writeFileSync(join(place, "lens.pt"), jacobianFile(width, jacobians));

    const borders = [embedded, ...afterLayers];
    const dot = (weights: Float32Array, states: Matrix, row: number, to: number) => {
      let sum = 0;
      for (let at = 0; at < width; at++) sum += (weights[to * width + at] as number) * states.at(row, at);
      return sum;
    };
    const unembedding = await Unembedding.open(path);
    for (const [file, maps] of [
      ["params.pt", translators.map(([weights, bias], layer) => ({ layer, border: layer, weights, bias }))],
      ["lens.pt", [...jacobians].map(([layer, weights]) => ({ layer, border: layer + 1, weights, bias: undefined }))],
    ] as const) {
      const lens = await LensFile.open(join(place, file));
      for (const { layer, border, weights, bias } of maps) {
        const states = borders[border] as Matrix;
        const moved = states.map((value, row, to) => {
          const mapped = dot(weights, states, row, to);
          return bias ? value + mapped + (bias[to] as number) : mapped;
        });
        const end = afterLayers.length - 1;
        const { logits } = referenceResiduals(model, TOKENS, (site, own) =>
          site.part === "residual_after" && site.layer === end ? moved : own,
        );
        const read = await readLens(unembedding, affineLens(await lens.map(layer)).apply(rowsOf(states)), [
          { name: "one", tokenIds: [40] },
        ]);
        for (const [row, { targets }] of read.entries()) {
          const all = Array.from({ length: vocabulary.tokens.length }, (_, id) => logits.at(row, id));
          const most = Math.max(...all);
          const total = most + Math.log(all.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
          expect(Math.abs((targets[0]?.logprob as number) - (logits.at(row, 40) - total))).toBeLessThan(ROUNDING);
        }
      }
      await lens.close();
    }
    await unembedding.close();
  },
);

describe("planted models", () => {
  const models = {} as Record<(typeof MECHANISMS)[number], PlantedModel>;
  beforeAll(async () => {
    for (const mechanism of MECHANISMS)
      models[mechanism] = await writePlantedModel(join(folder, `planted-${mechanism}.gguf`), { mechanism, items: 3 });
  });

  /** `badger acorn listed`, as a user's turn. */
  const prompt = ({ vocabulary, truth }: PlantedModel, pair: number) => [
    vocabulary.tokens.indexOf("<|user|>"),
    vocabulary.idsOf(vocabulary.firsts[Math.floor(pair / truth.items)] as string)[0],
    vocabulary.idsOf(vocabulary.seconds[pair % truth.items] as string)[1],
    vocabulary.propertyWord[1],
    vocabulary.endId,
    vocabulary.replyId,
  ];

  test.each(MECHANISMS)(
    "%s: the answer is first among answers where the table says, and level elsewhere",
    async (mechanism) => {
      const planted = models[mechanism];
      const model = await readReferenceModel(planted.path);
      const unembedding = await Unembedding.open(planted.path);
      const visible = { A: [0, 1, 2, 3], B: [], C: [0, 1], D: [], E: [2, 3] }[mechanism] as readonly number[];
      const answers = planted.answers.map((name) => ({ name, tokenIds: [...planted.vocabulary.idsOf(name)] }));
      const values = ["yes", "no"].map((name) => ({ name, tokenIds: [...planted.vocabulary.idsOf(name)] }));
      for (const [pair, string] of planted.strings.entries()) {
        const { afterLayers } = referenceResiduals(model, prompt(planted, pair));
        for (const [layer, states] of afterLayers.entries()) {
          const last = { values: states.values.subarray(-states.columns), width: states.columns };
          const [reading] = await readLens(unembedding, last, [...answers, ...values]);
          const own = answers.findIndex(({ name }) => name === string.answer);
          const lead = targetLead(reading as LensReading, own, [...answers.keys()]);
          if (visible.includes(layer)) {
            expect(lead).toBeGreaterThan(5);
            expect(reading?.targets[own]?.rank).toBeLessThanOrEqual(2);
          } else expect(Math.abs(lead)).toBeLessThan(1e-4);
          // The property, from where it is written: layer 1 of those that read the answer, 0 of those that look it up.
          const from = mechanism === "A" || mechanism === "D" ? 1 : 0;
          const value = answers.length + (string.value === "yes" ? 0 : 1);
          const said =
            reading?.targets[value]?.rank === 1 && reading.topToken === values[value - answers.length]?.tokenIds[0];
          expect(said).toBe(layer >= from);
        }
      }
      await unembedding.close();
    },
  );

  test("a dose is the share of strings whose answer the lens sees, string by string", async () => {
    const options = { mechanism: "dose", dose: 0.4, items: 5, seed: 2 } as const;
    const planted = await writePlantedModel(join(folder, "dose.gguf"), options);
    const model = await readReferenceModel(planted.path);
    const unembedding = await Unembedding.open(planted.path);
    const answers = planted.answers.map((name) => ({ name, tokenIds: [...planted.vocabulary.idsOf(name)] }));
    const width = model.outputNorm.columns;
    const values = planted.strings.flatMap((_, pair) => {
      const first = referenceResiduals(model, prompt(planted, pair)).afterLayers[0] as Matrix;
      return [...first.values.subarray(-width)];
    });
    const readings = await readLens(unembedding, { values: Float32Array.from(values), width }, answers);
    await unembedding.close();
    const seen = planted.strings.map(({ text, answer }, pair) => {
      const own = planted.answers.indexOf(answer);
      return { string: text, isSo: targetLead(readings[pair] as LensReading, own, [...answers.keys()]) > 1 };
    });
    expect(seen.map(({ isSo }) => isSo)).toEqual(planted.truth.viaAnswer);
    const share = shareOfRows(seen, { confidence: 0.95, bootstrapReplicates: 1000, bootstrapSeed: 0 });
    expect(share).toMatchObject({ ok: true, value: 0.4, n: 25, clusters: 25 });
  });

  test("tokens that are as likely are told: of an answer that is written nowhere the others", async () => {
    const unembedding = await Unembedding.open(models.B.path);
    const model = await readReferenceModel(models.B.path);
    const { embedded } = referenceResiduals(model, prompt(models.B, 0));
    const last = { values: embedded.values.subarray(-embedded.columns), width: embedded.columns };
    const [reading] = await readLens(unembedding, last, [
      { name: "a", tokenIds: [models.B.vocabulary.idsOf("amber")[0]] },
    ]);
    // Two other answers and two values; above them the end of the turn.
    expect(reading?.targets[0]).toMatchObject({ rank: 2, tied: 4 });
    await unembedding.close();
  });
});

describe("the tuned lens", () => {
  const WIDTH = 64;
  const ROWS = 240;
  let unembedding: Unembedding;
  beforeAll(async () => {
    const path = join(folder, "tuned.gguf");
    await writeTinyModel(path, { seed: 5 });
    unembedding = await Unembedding.open(path);
  });
  afterAll(() => unembedding.close());

  const draw = normal(11);
  const matrix = (rows: number) => ({ values: Float32Array.from({ length: rows * WIDTH }, draw), width: WIDTH });
  const about = Array.from({ length: ROWS }, (_, row) => {
    return { string: `s${Math.floor(row / 2)}`, split: row % 4 < 2 ? ("train" as const) : ("held_out" as const) };
  });

  test("the identity is the logit lens, to the bit", async () => {
    const states = matrix(5);
    const targets = [{ name: "a", tokenIds: [40, 41] }];
    const lensed = TunedLens.identity(WIDTH).apply(states);
    expect(lensed.values).toEqual(Float64Array.from(states.values));
    expect(await readLens(unembedding, lensed, targets)).toEqual(await readLens(unembedding, states, targets));
    expect([...(await lensDivergences(unembedding, states, lensed))]).toEqual([0, 0, 0, 0, 0]);
  });

  test("an affine map between a layer and the end is found, on strings that it has not seen", async () => {
    const states = matrix(ROWS);
    const map = matrix(WIDTH).values.map((value) => value / 8);
    const ends = {
      width: WIDTH,
      values: Float64Array.from(states.values, (value, at) => {
        const [row, column] = [Math.floor(at / WIDTH), at % WIDTH];
        let sum = value + (column % 3);
        for (let k = 0; k < WIDTH; k++)
          sum += (states.values[row * WIDTH + k] as number) * (map[k * WIDTH + column] as number);
        return sum;
      }),
    };
    const { heldOut, lens, trainStrings } = await tuneLens(unembedding, states, ends, about);
    if (!heldOut.ok) throw new Error(heldOut.reason);
    expect(trainStrings).toBe(60);
    expect(heldOut.tunedNats).toMatchObject({ ok: true, n: ROWS / 2, clusters: ROWS / 4 });
    expect(lens.ridge).toBe(1e-4);
    expect(heldOut.loweredNats.ok && heldOut.loweredNats.low).toBeGreaterThan(1);
    expect(heldOut.tunedNats.ok && heldOut.tunedNats.high).toBeLessThan(1e-3);
  });

  test("where the layers between add what nobody can foretell, the strongest ridge is taken and nothing is spoilt", async () => {
    const states = matrix(ROWS);
    const ends = { values: states.values.map((value) => value + 0.3 * draw()), width: WIDTH };
    const settings = { ...TUNED_LENS_SETTINGS, ridges: [1e-3, 1e3], folds: 3 };
    const { lens, heldOut } = await tuneLens(unembedding, states, ends, about, settings);
    expect(lens.ridge).toBe(1e3);
    if (!heldOut.ok) throw new Error(heldOut.reason);
    if (!heldOut.loweredNats.ok || !heldOut.logitLensNats.ok) throw new Error("no interval");
    expect(Math.abs(heldOut.loweredNats.value)).toBeLessThan(0.05 * heldOut.logitLensNats.value);
  });

  test("nothing held out is told; what does not match is refused", async () => {
    const train = about.map((row) => ({ ...row, split: "train" as const }));
    const { heldOut } = await tuneLens(unembedding, matrix(ROWS), matrix(ROWS), train);
    expect(heldOut).toEqual({ ok: false, reason: "no string is held out" });
    const both = about.map((row) => ({ ...row, string: "one" }));
    await expect(tuneLens(unembedding, matrix(ROWS), matrix(ROWS), both)).rejects.toThrow(/both sides/);
    await expect(tuneLens(unembedding, matrix(ROWS), matrix(8), about)).rejects.toThrow(/stand beside/);
    const few = about.map((row, at) => ({ ...row, string: `s${Math.floor(at / 60)}`, split: "train" as const }));
    await expect(tuneLens(unembedding, matrix(ROWS), matrix(ROWS), few)).rejects.toThrow(/too few/);
  });
});

test("tokens that begin several values are in no target, and told", () => {
  const { targets, shared, untold } = lensTargets({ red: [[5], [6, 1]], rose: [[6, 2], [7]], ruby: [[6]] });
  expect(targets).toEqual([
    { name: "red", tokenIds: [5] },
    { name: "rose", tokenIds: [7] },
  ]);
  expect(shared).toEqual([{ tokenId: 6, names: ["red", "rose", "ruby"] }]);
  expect(untold).toEqual(["ruby"]);
});

test("of a whole prompt and of its spans the greatest difference is told, and a span that lacks a value is a fault", () => {
  const cell = (entropyNats: number, logprob: number): LensReading => {
    return { entropyNats, topToken: 0, topLogprob: -1, targets: [{ logprob, rank: 1, tied: 0 }] };
  };
  const read = [cell(3, -2), cell(2, -1), cell(1, -0.5)];
  const sought = {
    values: [{ property: "color", value: "red" }],
    targets: [{ name: "red", tokenIds: [5] }],
    places: [{ group: "task/color", at: 1 }],
  };
  const reading = (span: string, entropyNats: number, logprobs: readonly number[]) => {
    const values = logprobs.map(() => 1);
    return {
      prompt: "p",
      span,
      entropyNats,
      topToken: 0,
      groups: { "task/color": { logprobs, ranks: values, tied: values } },
    };
  };
  const spans = { last: [2], words: [0, 1] };
  const beside = (...atSpans: ReturnType<typeof reading>[]) => besideSpans(spans, read, sought, atSpans);
  // Of words, which are several tokens, the mean state was read.
  expect(beside(reading("last", 1.125, [-9, -0.75]), reading("words", 9, [-9, -9]))).toEqual({
    besideSpans: { readings: 1, greatestNats: 0.25 },
  });
  expect(beside(reading("last", 1.5, [-9, -0.75]))).toEqual({ besideSpans: { readings: 1, greatestNats: 0.5 } });
  expect(beside(reading("words", 9, [-9, -9]))).toEqual({});
  const fault = expect.objectContaining({
    code: "INTERNAL",
    message: expect.stringContaining("value 2 of task/color"),
  });
  expect(() => beside(reading("last", 1, [-9]))).toThrow(fault);
});

test("what cannot be read is refused", async () => {
  const path = join(folder, "refused.gguf");
  await writeTinyModel(path, {});
  const unembedding = await Unembedding.open(path);
  const states = { values: new Float32Array(64).fill(1), width: 64 };
  await expect(readLens(unembedding, states, [{ name: "x", tokenIds: [] }])).rejects.toThrow(/begins with no token/);
  await expect(readLens(unembedding, states, [{ name: "x", tokenIds: [9999] }])).rejects.toThrow(/vocabulary of 265/);
  const narrow = { values: new Float32Array(32).fill(1), width: 32 };
  await expect(readLens(unembedding, narrow, [])).rejects.toThrow(/not of a model 64 wide/);
  const broken = { values: new Float32Array(64).fill(Number.NaN), width: 64 };
  await expect(readLens(unembedding, broken, [])).rejects.toThrow(/finite/);
  await unembedding.close();
  const other = join(folder, "other.gguf");
  await writeTinyModel(other, { architecture: "llama", metadata: { "llama.expert_count": { type: "u32", value: 4 } } });
  await expect(Unembedding.open(other)).rejects.toThrow(/mixture of experts/);
});
