/** Files of lenses: what PyTorch wrote (tests/fixtures/lenses/make.py) is read to the last bit, and what is no plain data is refused by name. */
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { writeSafetensors } from "../../src/finetune/adapter/safetensors.js";
import { LensFile } from "../../src/probe/lens-file.js";
import { affineLens } from "../../src/probe/lens-tuned.js";
import { openPlannedLens } from "../../src/run/lens-files.js";
import { lensFault, mapFor } from "../../src/study/lens-facts.js";
import { jacobianFile, named, type Saved, torchFile, unicode } from "../helpers/made-torch-file.js";

const FIXTURES = fileURLToPath(new URL("../fixtures/lenses", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "inward-lens-file-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** As make.py has them. */
const WIDTH = 4;
const matrix = (layer: number) =>
  Float32Array.from({ length: WIDTH ** 2 }, (_, at) => {
    return (((37 * Math.floor(at / WIDTH) + 11 * (at % WIDTH) + 5 * layer) % 64) - 32) / 16;
  });
const bias = (layer: number) => Float32Array.from({ length: WIDTH }, (_, at) => (at - 2 * layer) / 8);
const coded = (message: RegExp) =>
  expect.objectContaining({ code: "LENS_FILE", message: expect.stringMatching(message) });

async function read(path: string) {
  const file = await LensFile.open(path);
  try {
    const maps = [];
    for (const layer of file.facts.layers) maps.push(await file.map(layer));
    return { facts: file.facts, maps };
  } finally {
    await file.close();
  }
}

/** A file beside a config.json of the tuned lens. */
function placed(name: string, content: Buffer | string, config: object = {}): string {
  const place = mkdtempSync(join(folder, "tuned-"));
  const said = JSON.parse(readFileSync(join(FIXTURES, "tuned/config.json"), "utf8"));
  writeFileSync(join(place, "config.json"), JSON.stringify({ ...said, ...config }));
  writeFileSync(join(place, name), content);
  return join(place, name);
}

describe("what PyTorch wrote", () => {
  const says = { baseModel: "someone/tiny-4", unembedHash: "0f".repeat(32) };
  test.each(["", "bfloat16.pt", "double-protocol-4.pt", "parameters.pt"])("a tuned lens: %s", async (name) => {
    const { facts, maps } = await read(join(FIXTURES, "tuned", name));
    expect(facts).toEqual({ kind: "tuned", width: WIDTH, layers: [0, 1, 2], says });
    expect(maps).toEqual(
      [0, 1, 2].map((layer) => ({ width: WIDTH, weights: matrix(layer), bias: bias(layer), adds: true })),
    );
  });

  test("a Jacobian lens", async () => {
    const { facts, maps } = await read(join(FIXTURES, "jacobian.pt"));
    expect(facts).toEqual({ kind: "jacobian", width: WIDTH, layers: [0, 1], says: { prompts: 1000 } });
    expect(maps).toEqual([0, 1].map((layer) => ({ width: WIDTH, weights: matrix(layer), adds: false })));
  });

  test("matrices that are views of one storage, turned over and from its middle; what TransformerLens says of a lens", async () => {
    const { facts, maps } = await read(join(FIXTURES, "jacobian-views.pt"));
    expect(facts.says).toEqual({ baseModel: "someone/tiny-4", revision: "main", prompts: 1000, targetLayer: 2 });
    expect(maps.map(({ weights }) => weights)).toEqual([matrix(0), matrix(1)]);
  });

  test.each([
    ["tuned/before-1.6.pt", /it is neither safetensors nor the archive .* save it again: python -c/],
    ["tuned/module.pt", /its pickle asks for "torch\.nn\.modules\.container\.ModuleList"/],
    ["checkpoint.pt", /it has "jacobian_sum" where a tuned lens has/],
  ])("%s is refused", async (name, message) => {
    await expect(read(join(FIXTURES, name))).rejects.toEqual(coded(message));
  });

  test("x + W·x + b and J·h, as written out", async () => {
    const states = { width: WIDTH, values: Float32Array.of(1, -2, 0.5, 3) };
    const product = (layer: number, row: number) =>
      [...states.values].reduce((sum, value, at) => sum + value * (matrix(layer)[WIDTH * row + at] as number), 0);
    const { maps: tuned } = await read(join(FIXTURES, "tuned"));
    const { maps: jacobian } = await read(join(FIXTURES, "jacobian.pt"));
    const rows = [0, 1, 2, 3];
    expect([...affineLens(tuned[1] as never).apply(states).values]).toEqual(
      rows.map((row) => (states.values[row] as number) + product(1, row) + (bias(1)[row] as number)),
    );
    expect([...affineLens(jacobian[1] as never).apply(states).values]).toEqual(rows.map((row) => product(1, row)));
  });
});

describe("safetensors of the same tensors", () => {
  const tensors = (names: (layer: number) => string, layers: number[]) =>
    layers.map((layer) => [names(layer), { shape: [WIDTH, WIDTH], values: matrix(layer) }] as const);

  test("a tuned lens, without biases", async () => {
    const path = placed("params.safetensors", "", { bias: false });
    await writeSafetensors(path, new Map(tensors((layer) => `${layer}.weight`, [0, 1, 2])));
    const { facts, maps } = await read(path);
    expect(facts).toMatchObject({ kind: "tuned", layers: [0, 1, 2] });
    expect(maps).toEqual([0, 1, 2].map((layer) => ({ width: WIDTH, weights: matrix(layer), adds: true })));
  });

  test("a Jacobian lens", async () => {
    const path = join(folder, "jacobian.safetensors");
    await writeSafetensors(path, new Map(tensors((layer) => `J.${layer}`, [1, 0])), {
      n_prompts: "12",
      model_name: "m",
      note: "x",
    });
    const { facts, maps } = await read(path);
    expect(facts).toEqual({
      ...{ kind: "jacobian", width: WIDTH, layers: [0, 1] },
      says: { baseModel: "m", prompts: 12, unread: ['"note"'] },
    });
    expect(maps.map(({ weights }) => weights)).toEqual([matrix(0), matrix(1)]);
  });

  test("what is in neither is refused", async () => {
    const path = placed("other.safetensors", "");
    await writeSafetensors(path, new Map(tensors((layer) => `lens.${layer}`, [0])));
    await expect(read(path)).rejects.toEqual(coded(/it has "lens\.0" where a tuned lens has/));
    writeFileSync(path, readFileSync(path).subarray(0, 60));
    await expect(read(path)).rejects.toEqual(coded(/no safetensors file/));
  });
});

const square = (layer: number, more: object = {}): Saved => ({ shape: [WIDTH, WIDTH], values: matrix(layer), ...more });
const jacobian = (more: [string, Saved][] = [], matrices: Saved = new Map([[0, square(0)]])) =>
  torchFile(
    new Map<string, Saved>([["J", matrices], ["n_prompts", 7], ["source_layers", [0]], ["d_model", WIDTH], ...more]),
  );
/** The pickle in the place of a lens's. */
const pickled = (...parts: Buffer[]) =>
  torchFile(new Map(), (all) =>
    all.map((member) => {
      if (member.name !== "archive/data.pkl") return member;
      return { ...member, content: Buffer.concat([Buffer.of(0x80, 2), ...parts]) };
    }),
  );
const text = (latin: string) => Buffer.from(latin, "latin1");

test("nothing that a pickle asks for is called", async () => {
  const mark = join(folder, "called");
  const hostile = pickled(named("posix", "system"), text("("), unicode(`touch ${mark}`), text("tR."));
  await expect(read(placed("h.pt", hostile))).rejects.toEqual(coded(/its pickle asks for "posix\.system"/));
  const builtins = pickled(text("\x8c\x08builtins\x8c\x04exec\x93."));
  await expect(read(placed("h.pt", builtins))).rejects.toEqual(coded(/its pickle asks for "builtins\.exec"/));
  expect(() => readFileSync(mark)).toThrow(/ENOENT/);
});

test.each<[string, Buffer, RegExp]>([
  ["an instruction that makes objects", pickled(text("(i__main__\nX\n.")), /the instruction INST/],
  ["one of protocol 2", pickled(text("}}\x81.")), /the instruction NEWOBJ/],
  ["none at all", pickled(text("\xff.")), /the instruction 0xff/],
  ["a pickle that ends early", pickled(text("}")), /its pickle is cut off/],
  ["bytes behind its end", pickled(text("}.}")), /1 bytes behind its end/],
  ["two values", pickled(text("}}.")), /more than one value/],
  ["a mark that is left", pickled(text("}(.")), /more than one value/],
  ["an empty stack", pickled(text("s.")), /values that are not there/],
  ["values below a mark", pickled(text("}}}(s.")), /values that are not there/],
  ["no mark", pickled(text("}u.")), /no mark where one is needed/],
  ["an empty place of the memo", pickled(text("h\x05.")), /nothing at place 5/],
  ["a key that is a dictionary", pickled(text("}}}s.")), /a key that is no text or number/],
  ["a key twice", pickled(text("}K\x01NsK\x01Ns.")), /the key 1 twice/],
  ["a tuple that is appended to", pickled(text(")K\x01a.")), /appends to what is no list/],
  ["a dictionary that holds itself", pickled(text("}q\x00K\x01h\x00s.")), /it has "1" where a tuned lens has/],
  ["a whole number without end", pickled(text("\x8a\x0aaaaaaaaaaa.")), /a whole number of 10 bytes/],
  ["a text that is none", pickled(text("\x8c\x01\xff.")), /not UTF-8/],
  ["attributes of a list", pickled(text("]}b.")), /attributes of what has none/],
  ["a call of what is none", pickled(text("])R.")), /calls what is no function/],
  ["a storage that is none", pickled(text(")Q.")), /refers to what is no storage/],
  ["a number for a lens", pickled(text("K\x05.")), /holds no dictionary/],
  ["no tensors", pickled(text("}.")), /it has nothing where a tuned lens has/],
  [
    "a storage that is not there",
    torchFile(new Map([["J", square(0)]]), (all) => all.filter(({ name }) => !name.endsWith("data/0"))),
    /lacks the storage "0"/,
  ],
  [
    "a storage of another size",
    torchFile(new Map([["J", square(0)]]), (all) =>
      all.map((one) => (one.name.endsWith("data/0") ? { ...one, content: Buffer.alloc(60) } : one)),
    ),
    /60 bytes, and its pickle says 16 numbers/,
  ],
  [
    "strides beyond the storage",
    jacobian([], new Map([[0, square(0, { strides: [5, 1] })]])),
    /ends at number 19 of a storage of 16/,
  ],
  ["an offset beyond it", jacobian([], new Map([[0, square(0, { offset: 1 })]])), /ends at number 17/],
  [
    "one number for all",
    jacobian([], new Map([[0, { shape: [WIDTH, WIDTH], strides: [0, 0], values: Float32Array.of(1) }]])),
    /of a storage of 1 numbers/,
  ],
  [
    "a name with a way out",
    torchFile(new Map(), (all) => all.map((one) => ({ ...one, name: `../${one.name}` }))),
    /0 members data\.pkl/,
  ],
  ["a member twice", torchFile(new Map(), (all) => [...all, ...all]), /"archive\/data\.pkl" twice/],
  [
    "a packed member",
    torchFile(new Map(), (all) => all.map((one) => ({ ...one, method: 8 }))),
    /packed, and torch\.save packs nothing/,
  ],
  [
    "a damaged pickle",
    torchFile(new Map(), (all) => all.map((one) => ({ ...one, crc: 1 }))),
    /the CRC-32 does not match/,
  ],
  [
    "numbers the other way round",
    torchFile(new Map(), (all) =>
      all.map((one) => (one.name.endsWith("byteorder") ? { ...one, content: Buffer.from("big") } : one)),
    ),
    /byte order "big"/,
  ],
  [
    "code",
    torchFile(new Map(), (all) => [...all, { name: "archive/constants.pkl", content: Buffer.from("x"), method: 0 }]),
    /TorchScript/,
  ],
  ["a layer that is no number", jacobian([], new Map([["last", square(0)]])), /its J has the layer "last"/],
  [
    "other layers than it says",
    jacobian(
      [],
      new Map([
        [0, square(0)],
        [1, square(1)],
      ]),
    ),
    /source_layers are not the layers of J, 0, 1/,
  ],
  [
    "another width",
    jacobian([], new Map<number, Saved>([[0, { shape: [2, 8], values: matrix(0) }]])),
    /its J\[0\] has the shape \[2,8\], and \[4,4\] is expected/,
  ],
  ["a text for a matrix", jacobian([], new Map([[0, "matrix"]])), /"J\[0\]" is no tensor/],
  ["metadata that are none", jacobian([["metadata", "x"]]), /metadata are no dictionary/],
])("%s is refused", async (_, content, message) => {
  await expect(read(placed("lens.pt", content))).rejects.toEqual(coded(message));
});

test.each<[object, RegExp]>([
  [{ num_hidden_layers: 4 }, /says 4 layers with biases, and of layer 3 it has no matrix/],
  [{ num_hidden_layers: 2 }, /says 2 layers, and it has 6 tensors, not 4/],
  [{ bias: false }, /without biases, and of layer 0 it has a bias/],
  [{ d_model: 5 }, /its 0\.weight has the shape \[4,4\], and \[5,5\] is expected/],
  [{ lens_type: "mlp" }, /it is of the type "mlp"/],
  [{ d_model: "4" }, /config\.json: d_model/],
])("a config.json that says %j is refused", async (config, message) => {
  const path = placed("params.pt", readFileSync(join(FIXTURES, "tuned/params.pt")), config);
  await expect(read(path)).rejects.toEqual(coded(message));
});

test("a tuned lens without config.json, a number that is none, a flipped bit, and no file", async () => {
  const alone = join(folder, "alone");
  cpSync(join(FIXTURES, "tuned/params.pt"), join(alone, "params.pt"));
  await expect(read(alone)).rejects.toEqual(coded(/config\.json is not there/));
  const odd = matrix(0);
  odd[5] = Number.NaN;
  const path = join(folder, "nan.pt");
  writeFileSync(path, jacobianFile(WIDTH, new Map([[0, odd]])));
  await expect(read(path)).rejects.toEqual(coded(/number 6 of the matrix of layer 0 is NaN/));
  const whole = readFileSync(join(FIXTURES, "jacobian.pt"));
  const numbers = whole.indexOf(Buffer.from(new Uint16Array([0xc000]).buffer), whole.indexOf("data/0"));
  whole[numbers] = (whole[numbers] as number) ^ 1;
  writeFileSync(path, whole);
  await expect(read(path)).rejects.toEqual(coded(/jacobian\/data\/0 is damaged: the CRC-32 does not match/));
  await expect(read(join(folder, "none.pt"))).rejects.toEqual(coded(/ENOENT/));
});

test("a file that was changed since its study was planned is refused", async () => {
  const path = join(folder, "planned.pt");
  cpSync(join(FIXTURES, "jacobian.pt"), path);
  const sha256 = createHash("sha256").update(readFileSync(path)).digest("hex");
  const { facts } = await read(path);
  const planned = { ...facts, name: "x", file: "planned.pt", model: "m", sha256 };
  const open = await openPlannedLens(planned, path);
  await open.map(0);
  const content = readFileSync(path);
  writeFileSync(path, Buffer.concat([content, Buffer.from("another's")]));
  await expect(open.map(0)).rejects.toEqual(coded(/has changed since the study was planned/));
  await open.close();
  content[content.length - 1] = 1;
  writeFileSync(path, content);
  await expect(openPlannedLens(planned, path)).rejects.toEqual(coded(/has changed since the study was planned/));
  rmSync(path);
  await expect(openPlannedLens(planned, path)).rejects.toEqual(coded(/its file ENOENT/));
});

test("of which model a lens can be, and which of its maps reads a site", () => {
  const says = {};
  const tuned = { kind: "tuned" as const, width: 4, layers: [0, 1, 2], says };
  const other = { kind: "jacobian" as const, width: 4, layers: [0, 1], says };
  expect(lensFault(tuned, { width: 4, layers: 3 })).toBeUndefined();
  expect(lensFault(other, { width: 4, layers: 3 })).toBeUndefined();
  expect(lensFault(tuned, { width: 8, layers: 3 })).toBe("it is 4 wide, and the model 8");
  expect(lensFault(tuned, { width: 4, layers: 4 })).toBe("it is of a model of 3 layers, and the model has 4");
  expect(lensFault(other, { width: 4, layers: 2 })).toMatch(/a matrix of layer 1, and the last one before/);
  expect(lensFault({ ...other, says: { targetLayer: 1 } }, { width: 4, layers: 3 })).toMatch(/the end of layer 1/);
  // What layer 0 ends with is what layer 1 begins with.
  expect(mapFor(tuned, "residual_before.0")).toEqual({ ok: true, layer: 0 });
  expect(mapFor(tuned, "residual_after.0")).toEqual({ ok: true, layer: 1 });
  expect(mapFor(other, "residual_after.0")).toEqual({ ok: true, layer: 0 });
  expect(mapFor(other, "residual_before.1")).toEqual({ ok: true, layer: 0 });
  expect(mapFor(other, "residual_before.0")).toMatchObject({
    ok: false,
    reason: "the lens has no map for the embedding",
  });
  expect(mapFor(other, "residual_after.2")).toMatchObject({ ok: false });
  expect(mapFor(tuned, "residual_middle.1")).toMatchObject({ ok: false });
});
