/** Control vectors: what llama.cpp adds by its own means is what interventions add, through both evaluators; files in and out. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { hashOf } from "../../src/base/files.js";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { type TensorSource, writeGguf } from "../../src/gguf/write-gguf.js";
import { openNativeEngine } from "../../src/model/engines/native.js";
import { stateShapeOf } from "../../src/model/sites.js";
import {
  type ControlVector,
  controlInterventions,
  readControlVector,
  writeControlVector,
} from "../../src/probe/control-vector.js";
import { turns } from "../../src/run/open-model.js";
import { type SteeredLine, steer } from "../../src/run/steer-prompts.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import { byId, intervenedWork, logprobsApart, someValues } from "../helpers/intervened.js";
import { type Answered, answer, type Item, openEngine, workOf } from "../helpers/native-engine.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-control-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const fresh = () => join(folder, `${files++}.gguf`);
const PROMPT = [1, ...Array.from({ length: 11 }, (_, at) => 20 + ((at * 37) % 200))];
const WIDTH = 64;
const VECTOR: ControlVector = {
  width: WIDTH,
  modelHint: "llama",
  directions: new Map([1, 3].map((layer) => [layer, someValues(WIDTH, layer)])),
};

test("what is written is read; llama.cpp adds it by itself as interventions do, through its graph to the bit", async () => {
  const [path, model] = [fresh(), fresh()];
  await writeControlVector(path, VECTOR);
  const vector = await readControlVector(path);
  expect(vector).toEqual(VECTOR);
  const header = await readGguf(path);
  expect(header.tensors.map(({ name }) => name)).toEqual(["direction.1", "direction.3"]);
  expect(header.metadata.get("general.architecture")).toEqual({ type: "string", value: "controlvector" });
  for (const architecture of ["llama", "olmo2"]) {
    await writeTinyModel(model, { architecture, blocks: 4 });
    const shape = stateShapeOf(await readGguf(model), model);
    const strength = -1.7;
    const interventions = controlInterventions(vector, { strength });
    const engine = await openEngine(model, { architecture, strict: true });
    const own = await openEngine(model, { forward: "own" });
    const asked = { topTokens: 265 };
    const item = { ids: PROMPT, maxTokens: 5 };
    const plain = answer(engine, workOf([item], asked)).answers[0] as Answered;
    const [ours, graph] = [own, engine].map(
      (one) => answer(one, intervenedWork([{ ...item, interventions }], shape, asked)).answers[0] as Answered,
    );
    // As llama.cpp's loader hands it on: layers from 1 on, nothing where there is none, times the strength.
    const values = new Float32Array(3 * WIDTH);
    for (const [layer, direction] of vector.directions)
      values.set(
        direction.map((one) => one * Math.fround(strength)),
        (layer - 1) * WIDTH,
      );
    engine.setControlVector({ values, width: WIDTH, first: 1, last: 3 });
    const theirs = answer(engine, workOf([item], asked)).answers[0] as Answered;
    expect(hashOf(graph)).toBe(hashOf(theirs));
    expect(ours?.tokenIds).toEqual(theirs.tokenIds);
    expect(logprobsApart(byId(ours as Answered), byId(theirs))).toBeLessThan(1e-4);
    expect(logprobsApart(byId(plain), byId(theirs))).toBeGreaterThan(0.1);
    // Of one layer alone, and taken away again.
    engine.setControlVector({ values, width: WIDTH, first: 3, last: 3 });
    const third = answer(engine, workOf([item], asked)).answers[0] as Answered;
    const alone = controlInterventions(vector, { strength, layers: [3] });
    engine.setControlVector({ values: new Float32Array(0), width: WIDTH, first: 1, last: 3 });
    const again = answer(engine, workOf([item], asked)).answers[0] as Answered;
    const written = answer(engine, intervenedWork([{ ...item, interventions: alone }], shape, asked)).answers[0];
    expect(hashOf(written)).toBe(hashOf(third));
    expect(hashOf(again)).toBe(hashOf(plain));
    expect(() => own.setControlVector({ values, width: WIDTH, first: 1, last: 3 })).toThrow(
      expect.objectContaining({ code: "ENGINE_UNAVAILABLE" }),
    );
    for (const wrong of [{ width: 63 }, { first: 0 }, { values: new Float32Array(WIDTH * 9) }]) {
      expect(() => engine.setControlVector({ values, width: WIDTH, first: 1, last: 3, ...wrong })).toThrow(
        expect.objectContaining({ code: "PROBE_INVALID" }),
      );
    }
  }
});

test("steer adds a whole file at once, at every token and layer, as llama.cpp adds it, to the bit", async () => {
  const [path, model] = [fresh(), fresh()];
  await writeControlVector(path, VECTOR);
  await writeTinyModel(model, { blocks: 4 });
  const asked = ["the cat", "a dog and a bird"].map((text, at) => ({ id: `${at}`, messages: turns("", text) }));
  const engine = { device: "cpu", threads: 1, forward: "llama.cpp", strict: true, cache: false } as const;
  const settings = { engine, vector: path, strengths: [-1.5], span: "all", randomSeeds: 1, maxTokens: 5 };
  const steered = await steer(asked, model, { ...settings, out: `${path}.jsonl` });
  const [first, third] = [...VECTOR.directions.values()] as [Float32Array, Float32Array];
  const length = (vector: Float32Array) => Math.hypot(...vector);
  expect(steered.sites).toEqual([
    { site: "residual_after.1", normAtOne: expect.closeTo(length(first), 6) },
    { site: "residual_after.3", normAtOne: expect.closeTo(length(third), 6) },
  ]);
  const rows = readFileSync(steered.out, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as SteeredLine);
  const renders = await openNativeEngine(model, {
    ...{ ...DEFAULT_ENGINE, engine: "native", device: "cpu", threads: 1, sequences: 2, forward: "own" },
  });
  const items: Item[] = [];
  for (const { messages } of asked) items.push({ ids: (await renders.render(messages)).tokenIds, maxTokens: 5 });
  await renders.dispose();
  const theirs = await openEngine(model, { strict: true });
  const values = new Float32Array(3 * WIDTH);
  for (const [layer, direction] of VECTOR.directions)
    values.set(
      direction.map((one) => one * -1.5),
      (layer - 1) * WIDTH,
    );
  const plain = answer(theirs, workOf(items)).answers;
  theirs.setControlVector({ values, width: WIDTH, first: 1, last: 3 });
  const { answers } = answer(theirs, workOf(items));
  theirs.dispose();
  for (const [at, { id }] of asked.entries()) {
    const of = (arm: string) => {
      const row = rows.find((one) => one.id === id && one.arm === arm);
      return { tokenIds: row?.tokenIds, logprobs: row?.logprobs };
    };
    const said = ({ tokenIds, logprobs }: Answered) => ({ tokenIds: [...tokenIds], logprobs: [...logprobs] });
    expect(of("vector")).toEqual(said(answers[at] as Answered));
    expect(of("none")).toEqual(said(plain[at] as Answered));
    expect(of("vector")).not.toEqual(of("none"));
  }
  // One layer of it, by its name, and none that it has not.
  const one = await steer(asked, model, { ...settings, site: "residual_after.3", out: `${path}.one.jsonl` });
  expect(one.sites.map(({ site }) => site)).toEqual(["residual_after.3"]);
  await expect(
    steer(asked, model, { ...settings, site: "residual_after.2", out: `${path}.none.jsonl` }),
  ).rejects.toMatchObject({ code: "PROBE_SITE" });
});

describe("refused", () => {
  const tensor = (
    name: string,
    values: Float32Array,
    dimensions: readonly number[] = [values.length],
  ): TensorSource => ({
    name,
    dimensions,
    type: "F32",
    chunks: () => [new Uint8Array(values.buffer)],
  });
  const row = () => new Float32Array(4).fill(1);
  test.each<[string, readonly TensorSource[], RegExp]>([
    ["nothing", [], /no direction\.N/],
    [
      "layer 0, to which llama.cpp adds nothing",
      [tensor("direction.0", row())],
      /"direction\.0"; they are direction\.N/,
    ],
    ["another tensor", [tensor("direction.1", row()), tensor("output.weight", row())], /"output\.weight"/],
    ["a layer that is no number", [tensor("direction.1x", row())], /direction\.1x/],
    ["several rows", [tensor("direction.1", new Float32Array(8), [4, 2])], /4 × 2 numbers/],
    [
      "two widths",
      [tensor("direction.1", row()), tensor("direction.2", new Float32Array(5))],
      /of 4 numbers, and direction\.2 of 5/,
    ],
    ["no number", [tensor("direction.1", Float32Array.of(1, Number.NaN))], /number 2 is NaN/],
    [
      "halves",
      [{ name: "direction.1", dimensions: [4], type: "F16", chunks: () => [new Uint8Array(8)] }],
      /of F16; llama\.cpp reads F32/,
    ],
  ])("a file with %s", async (_, tensors, message) => {
    const path = fresh();
    await writeGguf(path, new Map([["general.architecture", { type: "string", value: "controlvector" }]]), tensors);
    await expect(readControlVector(path)).rejects.toMatchObject({
      code: "PROBE_INVALID",
      message: expect.stringMatching(message),
    });
  });

  test.each<[string, ControlVector, RegExp]>([
    ["no layer", { width: 4, directions: new Map() }, /says nothing/],
    ["layer 0", { width: 4, directions: new Map([[0, row()]]) }, /nothing to layer 0/],
    ["another width", { width: 5, directions: new Map([[1, row()]]) }, /has 4 numbers; 5/],
    ["no number", { width: 1, directions: new Map([[1, Float32Array.of(Number.NaN)]]) }, /finite/],
  ])("to write %s", async (_, vector, message) => {
    await expect(writeControlVector(fresh(), vector)).rejects.toMatchObject({
      code: "PROBE_INVALID",
      message: expect.stringMatching(message),
    });
  });

  test("on another model", () => {
    const shape = { architecture: "llama", layers: 3, embedding: WIDTH, heads: [4, 4, 4], headWidth: 16 };
    const put = (vector: ControlVector, embedding = WIDTH) =>
      intervenedWork([{ ids: PROMPT, interventions: controlInterventions(vector) }], { ...shape, embedding });
    expect(() => put(VECTOR)).toThrow(/add at residual_after\.3: there is no such site.*layers 0 to 2/);
    expect(() => put({ ...VECTOR, directions: new Map([[1, row()]]) })).toThrow(/4 values are no rows of 64/);
    expect(() => controlInterventions(VECTOR, { layers: [2] })).toThrow(/no layer 2/);
  });
});
