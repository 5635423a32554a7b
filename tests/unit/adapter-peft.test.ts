/** PEFT in and out, held against PEFT's own files and llama.cpp's own conversion of them (tests/fixtures/peft). */
import { cp, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exportPeft, importPeft, toHalvedRows, toInterleavedRows } from "../../src/finetune/adapter/peft.js";
import { readSafetensors } from "../../src/finetune/adapter/safetensors.js";
import { readAdapter } from "../../src/finetune/adapter/saved-adapter.js";
import { randomAdapter, TINY_SHAPE } from "../helpers/random-adapter.js";

const FIXTURE = fileURLToPath(new URL("../fixtures/peft", import.meta.url));
const BASE = { architecture: "llama", layers: 2, heads: 4, keyValueHeads: 2 };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-peft-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const code = (name: string, message = "") =>
  expect.objectContaining({ code: name, message: expect.stringContaining(message) });

describe("the order of query and key rows", () => {
  const random = xoroshiro128plus(4);
  const draw = (count: number) => Float32Array.from({ length: count }, () => random.next() / 2 ** 31);
  const inputs = 5;
  const rank = 2;
  const [heads, width] = [3, 8];
  const rows = heads * width;
  /** [rows × rank] · [rank × inputs] */
  const product = (b: Float32Array, a: Float32Array) =>
    Float32Array.from({ length: rows * inputs }, (_, at) => {
      const [row, column] = [Math.floor(at / inputs), at % inputs];
      let sum = 0;
      for (let k = 0; k < rank; k++) sum += (b[row * rank + k] as number) * (a[k * inputs + column] as number);
      return sum;
    });
  const sum = (x: Float32Array, y: Float32Array) => x.map((value, at) => value + (y[at] as number));

  test("moves as reshape(heads, 2, width / 2) with the two inner axes swapped, worked by hand for 2 heads of width 6", () => {
    const halved = Float32Array.from({ length: 12 }, (_, row) => row);
    expect([...toInterleavedRows(halved, 1, 2)]).toEqual([0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
  });

  test("moving W + B·A is moving W and B, and leaving A alone", () => {
    const [w, b, a] = [draw(rows * inputs), draw(rows * rank), draw(rank * inputs)];
    const moved = toInterleavedRows(sum(w, product(b, a)), inputs, heads);
    const separately = sum(toInterleavedRows(w, inputs, heads), product(toInterleavedRows(b, rank, heads), a));
    expect(moved).toEqual(separately);
  });

  test("there and back is where it was; twice there is not", () => {
    const b = draw(rows * rank);
    const there = toInterleavedRows(b, rank, heads);
    expect(toHalvedRows(there, rank, heads)).toEqual(b);
    expect(toInterleavedRows(there, rank, heads)).not.toEqual(b);
  });

  test("an attention score is the same: rotating halves in one order, neighbours in the other", () => {
    const [q, k] = [draw(width), draw(width)];
    const angle = (position: number, pair: number) => position / 10_000 ** ((2 * pair) / width);
    const rotate = (x: Float32Array, position: number, indices: (pair: number) => readonly [number, number]) => {
      const out = x.slice();
      for (let pair = 0; pair < width / 2; pair++) {
        const [i, j] = indices(pair);
        const [cos, sin] = [Math.cos(angle(position, pair)), Math.sin(angle(position, pair))];
        out[i] = (x[i] as number) * cos - (x[j] as number) * sin;
        out[j] = (x[i] as number) * sin + (x[j] as number) * cos;
      }
      return out;
    };
    const dot = (x: Float32Array, y: Float32Array) =>
      x.reduce((total, value, at) => total + value * (y[at] as number), 0);
    const halves = (pair: number) => [pair, pair + width / 2] as const;
    const neighbours = (pair: number) => [2 * pair, 2 * pair + 1] as const;
    const theirs = dot(rotate(q, 7, halves), rotate(k, 3, halves));
    const moved = [q, k].map((x) => toInterleavedRows(x, 1, 1)) as [Float32Array, Float32Array];
    expect(dot(rotate(moved[0], 7, neighbours), rotate(moved[1], 3, neighbours))).toBeCloseTo(theirs, 5);
    expect(dot(rotate(q, 7, neighbours), rotate(k, 3, neighbours))).not.toBeCloseTo(theirs, 2);
  });
});

describe("against PEFT and llama.cpp", () => {
  test("a PEFT folder is imported as llama.cpp converts it, every bit", async () => {
    const ours = await importPeft(FIXTURE, BASE);
    const theirs = await readAdapter(join(FIXTURE, "converted-gguf.bin"));
    expect(theirs.tensors.size).toBe(28);
    expect(ours.baseName).toBe("tiny-llama");
    expect([ours.alpha, ours.rank]).toEqual([theirs.alpha, theirs.rank]);
    expect(new Map([...ours.tensors].sort())).toEqual(new Map([...theirs.tensors].sort()));
  });

  test("with other head counts it would be another adapter", async () => {
    const theirs = await readAdapter(join(FIXTURE, "converted-gguf.bin"));
    const wrong = await importPeft(FIXTURE, { ...BASE, heads: 2 });
    const differing = [...wrong.tensors].filter(([name, { values }]) => {
      const other = theirs.tensors.get(name)?.values;
      return values.some((value, at) => value !== other?.[at]);
    });
    expect(differing.map(([name]) => name).sort()).toEqual([
      "blk.0.attn_q.weight.lora_b",
      "blk.1.attn_q.weight.lora_b",
    ]);
    await expect(importPeft(FIXTURE, { ...BASE, heads: 5 })).rejects.toThrow(
      code("ADAPTER_SHAPE", "q_proj.lora_B.weight has 24 rows, which are not 5 heads"),
    );
  });

  test("llama.cpp's conversion is exported as PEFT wrote it: the same tensors file, byte for byte but for its header", async () => {
    const out = join(folder, "exported");
    await exportPeft(out, await readAdapter(join(FIXTURE, "converted-gguf.bin")), { ...BASE, name: "tiny-llama" });
    const [ours, theirs] = await Promise.all(
      [out, FIXTURE].map((place) => readSafetensors(join(place, "adapter_model.safetensors"))),
    );
    expect(new Map([...(ours ?? [])].sort())).toEqual(new Map([...(theirs ?? [])].sort()));
    const [config, original] = await Promise.all(
      [out, FIXTURE].map(async (place) => JSON.parse(await readFile(join(place, "adapter_config.json"), "utf8"))),
    );
    // Each field that we write is one that PEFT wrote too, with the same value; dropout is not in the GGUF.
    expect({ ...config, target_modules: config.target_modules.sort() }).toEqual(
      Object.fromEntries(
        Object.entries({ ...original, lora_dropout: 0, target_modules: original.target_modules.sort() }).filter(
          ([key]) => key in config,
        ),
      ),
    );
    expect((await readdir(out)).sort()).toEqual(["adapter_config.json", "adapter_model.safetensors"]);
  });

  test.each([1, 8])("export and import of a rank-%i adapter give it back, every bit", async (rank) => {
    const out = join(folder, `rank-${rank}`);
    const adapter = randomAdapter({ rank, alpha: 2 * rank });
    await exportPeft(out, adapter, TINY_SHAPE, { dropout: 0.1, readme: "# adapter\n" });
    const back = await importPeft(out, TINY_SHAPE);
    expect(back).toEqual({
      architecture: "llama",
      baseName: "Tiny Random",
      alpha: 2 * rank,
      rank,
      tensors: expect.anything(),
    });
    expect(new Map([...back.tensors].sort())).toEqual(new Map([...adapter.tensors].sort()));
    expect(await readFile(join(out, "README.md"), "utf8")).toBe("# adapter\n");
  });

  test("an adapter on some layers names each module, for PEFT would add pairs to the others", async () => {
    const out = join(folder, "some-layers");
    const adapter = randomAdapter({ targets: ["q", "up"] });
    const tensors = new Map([...adapter.tensors].filter(([name]) => !name.startsWith("blk.0.ffn_up")));
    await exportPeft(out, { ...adapter, tensors }, TINY_SHAPE);
    const config = JSON.parse(await readFile(join(out, "adapter_config.json"), "utf8"));
    expect(config.target_modules).toEqual(["q_proj", "model.layers.1.mlp.up_proj"]);
    expect((await importPeft(out, TINY_SHAPE)).tensors.size).toBe(6);
  });

  test("a layer that the base does not have, a tensor that PEFT's Llama has no module for", async () => {
    const adapter = randomAdapter({ targets: ["q"] });
    const out = join(folder, "refused");
    await expect(exportPeft(out, adapter, { ...TINY_SHAPE, layers: 1 })).rejects.toThrow(
      code("ADAPTER_INVALID", "blk.1.attn_q"),
    );
    const [a, b] = [...adapter.tensors.values()];
    const tensors = new Map([
      ["output.weight.lora_a", a as NonNullable<typeof a>],
      ["output.weight.lora_b", b as NonNullable<typeof b>],
    ]);
    await expect(exportPeft(out, { ...adapter, tensors }, TINY_SHAPE)).rejects.toThrow(
      code("ADAPTER_INVALID", "output.weight"),
    );
  });
});

describe("what a plain pair of matrices cannot express is refused by name", () => {
  const fields: [string, unknown][] = [
    ["peft_type", "IA3"],
    ["r", 0],
    ["r", "3"],
    ["lora_alpha", 0],
    ["use_rslora", "yes"],
    ["use_dora", true],
    ["rank_pattern", { q_proj: 0 }],
    ["alpha_pattern", { q_proj: "4" }],
    ["layers_to_transform", [-1]],
    ["modules_to_save", ["lm_head"]],
    ["bias", "lora_only"],
    ["lora_bias", true],
    ["fan_in_fan_out", true],
    ["init_lora_weights", "pissa"],
    ["layer_replication", [[0, 2]]],
    ["trainable_token_indices", [1]],
    ["target_parameters", ["experts.0"]],
    ["alora_invocation_tokens", [5]],
    ["task_type", "SEQ_CLS"],
    ["use_qalora", true],
    ["a_field_of_next_year", { on: true }],
  ];
  const withConfig = async (change: (config: Record<string, unknown>) => unknown) => {
    const place = join(folder, "changed");
    await cp(FIXTURE, place, { recursive: true });
    const config = JSON.parse(await readFile(join(FIXTURE, "adapter_config.json"), "utf8"));
    const changed = change(config);
    await writeFile(
      join(place, "adapter_config.json"),
      typeof changed === "string" ? changed : JSON.stringify(changed),
    );
    return place;
  };

  test.each(fields)("%s = %j", async (field, value) => {
    const place = await withConfig((config) => ({ ...config, [field]: value }));
    await expect(importPeft(place, BASE)).rejects.toThrow(
      code("ADAPTER_INVALID", `${field} is ${JSON.stringify(value)}`),
    );
  });

  test("a missing r, another r than the tensors', no object, no JSON", async () => {
    const none = await withConfig(({ r: _r, ...config }) => config);
    await expect(importPeft(none, BASE)).rejects.toThrow(code("ADAPTER_INVALID", "r is missing"));
    const other = await withConfig((config) => ({ ...config, r: 4 }));
    await expect(importPeft(other, BASE)).rejects.toThrow(code("ADAPTER_INVALID", "r is 4, its tensors have rank 3"));
    for (const text of ["[]", "3", "{"]) {
      await expect(importPeft(await withConfig(() => text), BASE)).rejects.toThrow(code("ADAPTER_INVALID"));
    }
  });

  test.each<[string, Record<string, unknown>, string]>([
    ["a list of targets", { target_modules: ["q_proj", "v_proj"] }, "target_modules leaves out model.layers.0"],
    ["no targets, which for a Llama are q and v", { target_modules: null }, "target_modules leaves out model.layers.0"],
    ["a pattern of targets", { target_modules: ".*(q|v)_proj" }, "target_modules leaves out model.layers.0"],
    ["excluded modules", { exclude_modules: ["up_proj"] }, "exclude_modules leaves out model.layers.0.mlp.up_proj"],
    ["layers", { layers_to_transform: 0 }, "layers_to_transform leaves out model.layers.1"],
    [
      "layers under another name",
      { layers_to_transform: [0, 1], layers_pattern: "h" },
      "layers_to_transform leaves out",
    ],
    ["layers beside a pattern", { target_modules: ".*_proj", layers_to_transform: [0] }, "layers_to_transform is [0]"],
    [
      "a rank that a pattern gives",
      { rank_pattern: { "0.self_attn.q_proj": 2 } },
      "rank_pattern says 2, its tensors have rank 3",
    ],
    ["a pattern of Python's alone", { alpha_pattern: { "(?i)q_proj": 2 } }, "(?i)q_proj"],
    ["a class that JavaScript reads otherwise", { alpha_pattern: { "[]a[b]": 2 } }, "[]a[b]"],
    ["a pattern without end", { alpha_pattern: { "(\\w+\\w+)+$!": 2, "((\\w|\\.)+)+!": 3 } }, "more than 1 second"],
    ["an alpha beyond single precision", { lora_alpha: 1e300 }, "lora_alpha makes an alpha of 1e+300"],
    ["an alpha below it", { lora_alpha: 1e-300 }, "lora_alpha makes an alpha of 1e-300"],
    ["a scale that makes values infinite", { alpha_pattern: { q_proj: 1e300 } }, "is -?Infinity"],
  ])("tensors that PEFT would leave out, or scale by nobody knows what: %s", async (_, change, message) => {
    const place = await withConfig((config) => ({ ...config, ...change }));
    await expect(importPeft(place, BASE)).rejects.toMatchObject({
      code: "ADAPTER_INVALID",
      message: message.startsWith("is -?") ? expect.stringMatching(message) : expect.stringContaining(message),
    });
  });

  test("pickled weights are refused, and how to get others is said; a .safetensors is its folder's", async () => {
    const place = await withConfig((config) => config);
    const weights = join(place, "adapter_model.safetensors");
    expect(await importPeft(weights, BASE)).toEqual(await importPeft(place, BASE));
    await rename(weights, join(place, "adapter_model.bin"));
    await expect(importPeft(place, BASE)).rejects.toThrow(code("ADAPTER_INVALID", "save_pretrained"));
    await rm(join(place, "adapter_model.bin"));
  });

  test("no folder, a folder without a configuration, a folder without tensors", async () => {
    await expect(importPeft(join(folder, "none"), BASE)).rejects.toThrow(code("ADAPTER_NOT_FOUND"));
    await expect(importPeft(folder, BASE)).rejects.toThrow(code("ADAPTER_INVALID", "adapter_config.json"));
    const place = await withConfig((config) => config);
    await rm(join(place, "adapter_model.safetensors"));
    await expect(importPeft(place, BASE)).rejects.toThrow(code("ADAPTER_NOT_FOUND", "adapter_model.safetensors"));
  });
});

test.each([
  [
    "nested 20,000 deep",
    `{"peft_type":"LORA","eva_config":${"[".repeat(20_000)}${"]".repeat(20_000)}}`,
    "nested more than 64",
  ],
  ["with a key twice", '{"r":8,"r":4}', 'the key "r" stands twice'],
  ["with a long value where none may be", JSON.stringify({ r: "8".repeat(10_000) }), "peft_type is missing"],
])("a configuration %s is refused in one line", async (what, text, message) => {
  const place = join(folder, what.replace(/\W+/g, "-"));
  await cp(FIXTURE, place, { recursive: true });
  await writeFile(join(place, "adapter_config.json"), text);
  await expect(importPeft(place, BASE)).rejects.toThrow(code("ADAPTER_INVALID", message));
  await expect(importPeft(place, BASE)).rejects.toThrow(/^.{1,400}$/);
});
