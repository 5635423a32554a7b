/** GGUF files of strangers, and files about them: what is let pass is what a second reader finds there, and an engine computes numbers of it. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { InwardError } from "../../src/errors.js";
import { GGML_TYPES, type GgmlTypeName } from "../../src/gguf/encodings.js";
import { readImatrix } from "../../src/gguf/imatrix.js";
import { inspectGguf, requireRunnable } from "../../src/gguf/inspect-gguf.js";
import { type GgufValue, readGguf, VALUE_TYPES } from "../../src/gguf/read-gguf.js";
import { BaseFile, encodeBaseHeader, encodeBaseRow, scoredPositions } from "../../src/quantize/base-file.js";
import { startEngine } from "../../src/model/engines/start-engine.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import { ENGINES } from "../helpers/engines.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { changeBytes, type Dice, fuzz } from "./mutations.js";

let folder: string;
let model: Buffer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-fuzz-gguf-"));
  vi.stubEnv("INWARD_MODELS", join(folder, "models"));
  model = await readFile((await writeTinyModel(join(folder, "good.gguf"), { seed: 3, blocks: 1 })).path);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value: bigint) => Buffer.from(BigUint64Array.of(BigInt.asUintN(64, value)).buffer);
const WIDTHS = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
const [STRING, ARRAY] = [8, 9];
const LIES = [0n, 1n, 3n, 63n, 64n, 255n, 65_536n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];

/** Writes headers as the format says, and now and then something else. */
class Grammar {
  readonly parts: Buffer[] = [];

  constructor(
    private readonly dice: Dice,
    /** One lie in so many numbers; none where it is 0. */
    private readonly liesOnceIn: number,
  ) {}

  private lies(): boolean {
    return this.liesOnceIn > 0 && this.dice.once(this.liesOnceIn);
  }

  length(honest: number): void {
    this.parts.push(u64(this.lies() ? this.dice.of(LIES) : BigInt(honest)));
  }

  int(honest: number): void {
    this.parts.push(u32(this.lies() ? Number(BigInt.asUintN(32, this.dice.of(LIES))) : honest));
  }

  text(bytes: Buffer): void {
    this.length(bytes.length);
    this.parts.push(bytes);
  }

  word(): Buffer {
    const { dice } = this;
    const words = [
      "a",
      "general.alignment",
      "general.architecture",
      "llama",
      "é😀",
      "",
      "\0",
      "x".repeat(70),
      "split.count",
    ];
    return dice.once(3)
      ? Buffer.from([dice.below(256), dice.below(256)])
      : Buffer.from(`${dice.of(words)}${dice.below(9)}`);
  }

  value(type: number, depth = 0): void {
    const { dice } = this;
    const width = WIDTHS[type] ?? 4;
    if (type === STRING) {
      this.text(this.word());
      return;
    }
    if (type !== ARRAY) {
      this.parts.push(
        Buffer.from(Array.from({ length: width }, () => dice.of([0, 1, 0x7f, 0x80, 0xff, dice.below(256)]))),
      );
      return;
    }
    const inner = depth > 2 ? dice.below(9) : dice.below(13);
    const count = dice.below(5);
    this.int(inner);
    this.length(count);
    for (let at = 0; at < count; at++) this.value(inner, depth + 1);
  }

  file(): Buffer {
    const { dice } = this;
    const [entries, tensors] = [dice.below(7), dice.below(5)];
    this.parts.push(Buffer.from(this.lies() ? dice.of(["GGUF", "GGML", "gguf", "GG"]) : "GGUF"));
    this.int(dice.of([2, 3]));
    this.length(tensors);
    this.length(entries);
    for (let at = 0; at < entries; at++) {
      this.text(this.lies() ? Buffer.from("twice") : Buffer.from(`key.${at}.${dice.below(99)}`));
      const type = dice.below(13);
      this.int(type);
      this.value(type);
    }
    let offset = 0;
    for (let at = 0; at < tensors; at++) {
      this.text(this.lies() ? Buffer.from("twice") : Buffer.from(`tensor.${at}`));
      const dimensions = Array.from({ length: 1 + dice.below(4) }, () => dice.of([1, 2, 32]));
      const type = dice.of(["F32", "F16", "I8"] as const satisfies GgmlTypeName[]);
      this.int(dimensions.length);
      for (const one of dimensions) this.length(one);
      this.int(GGML_TYPES[type].id);
      this.length(offset);
      const bytes = dimensions.reduce((product, one) => product * one, GGML_TYPES[type].blockBytes);
      offset += Math.ceil(bytes / 32) * 32;
    }
    const written = this.parts.reduce((sum, part) => sum + part.length, 0);
    const whole = Buffer.concat([...this.parts, Buffer.alloc((32 - (written % 32)) % 32), Buffer.alloc(offset)]);
    return this.lies() ? whole.subarray(0, dice.below(whole.length)) : whole;
  }
}

/** A second reader: one pass, each value as it comes, and any end of the bytes an error. */
function secondReading(bytes: Buffer) {
  let at = 0;
  const take = (count: number) => {
    if (!(at + count <= bytes.length)) throw new RangeError("the end");
    at += count;
    return bytes.subarray(at - count, at);
  };
  const length = () => Number(take(8).readBigUInt64LE());
  const text = () => take(length()).toString("utf8");
  const scalars: (() => unknown)[] = [
    () => take(1).readUInt8(),
    () => take(1).readInt8(),
    () => take(2).readUInt16LE(),
    () => take(2).readInt16LE(),
    () => take(4).readUInt32LE(),
    () => take(4).readInt32LE(),
    () => take(4).readFloatLE(),
    () => take(1).readUInt8() !== 0,
    text,
    () => {
      const type = take(4).readUInt32LE();
      const count = length();
      const all: unknown[] = [];
      for (let one = 0; one < count; one++) all.push(scalars[type]?.());
      return all;
    },
    () => take(8).readBigUInt64LE(),
    () => take(8).readBigInt64LE(),
    () => take(8).readDoubleLE(),
  ];
  take(4);
  const version = take(4).readUInt32LE();
  const [tensorCount, entryCount] = [length(), length()];
  const metadata: [string, string | undefined, unknown][] = [];
  for (let one = 0; one < entryCount; one++) {
    const key = text();
    const type = take(4).readUInt32LE();
    metadata.push([key, VALUE_TYPES[type], scalars[type]?.()]);
  }
  const tensors = [];
  for (let one = 0; one < tensorCount; one++) {
    const name = text();
    const dimensions: number[] = [];
    for (let left = take(4).readUInt32LE(); left > 0; left--) dimensions.push(length());
    tensors.push({ name, dimensions, id: take(4).readUInt32LE(), offset: length() });
  }
  return { version, metadata, tensors, dataOffset: Math.ceil(at / 32) * 32 };
}

function plain(value: GgufValue | GgufValue["value"]): unknown {
  if (typeof value === "object" && "type" in value) return plain(value.value);
  return Array.isArray(value) ? value.map((one) => plain(one)) : value;
}

test("headers of a grammar", async () => {
  const tally = await fuzz(
    "gguf header",
    (dice, at) => {
      const honest = dice.once(5);
      const bytes = new Grammar(dice, honest ? 0 : dice.of([10, 30, 60])).file();
      const path = join(folder, `h${at}.gguf`);
      const result = async () => {
        await writeFile(path, bytes);
        try {
          const file = await readGguf(path);
          await inspectGguf(path);
          return { file, bytes };
        } catch (error) {
          if (honest) throw new Error("an honest header is refused", { cause: error });
          throw error;
        } finally {
          await rm(path);
        }
      };
      return { input: () => bytes.toString("hex"), result: result() };
    },
    ({ file, bytes }) => {
      const second = secondReading(bytes);
      expect(file.version).toBe(second.version);
      const read = [...file.metadata].map(([key, value]) => [key, value.type, plain(value)]);
      expect(read).toEqual(second.metadata);
      const tensors = file.tensors.map(({ name, dimensions, type, offset }) => ({
        name,
        dimensions,
        id: GGML_TYPES[type].id,
        offset,
      }));
      expect(tensors).toEqual(second.tensors);
    },
  );
  expect(Math.min(tally.accepted, tally.refused)).toBeGreaterThan(20);
});

/** Where the header's names, types and numbers stand, or in the weights: any of them may be NaN. */
function changedModel(dice: Dice): Buffer {
  const headerBytes = 16_000;
  const bytes = Buffer.from(model);
  for (let left = 1 + dice.below(3); left > 0; left--) {
    const at = dice.once(4) ? headerBytes + dice.below(bytes.length - headerBytes - 8) : dice.below(headerBytes);
    if (dice.once(2)) bytes[at] = dice.below(256);
    else bytes.writeUInt32LE(dice.of([0, 1, 2, 255, 0x7fffffff, 0x7fc00000, 0x7f800000, 0xffffffff]), at);
  }
  return dice.once(12) ? bytes.subarray(0, dice.below(bytes.length)) : bytes;
}

test.runIf(ENGINES.includes("native"))("a model's bytes", async () => {
  await fuzz(
    "gguf model",
    (dice, at) => {
      const path = join(folder, `m${at}.gguf`);
      const forward = dice.of(["own", "llama.cpp"] as const);
      const result = async () => {
        await writeFile(path, changedModel(dice));
        requireRunnable(await inspectGguf(path));
        const settings = {
          ...DEFAULT_ENGINE,
          engine: "native",
          device: "cpu",
          threads: 1,
          sequences: 1,
          forward,
        } as const;
        const engine = await startEngine(path, settings);
        try {
          const messages = [{ role: "user" as const, content: "the river" }];
          return await engine.ask([{ messages, maxTokens: 2, temperature: 0, topTokens: 2 }]);
        } finally {
          await engine.dispose();
        }
      };
      return {
        input: () => `${path} ${forward}`,
        result: result().catch((error: unknown) => {
          if (error instanceof InwardError && error.code === "ENGINE_CRASHED")
            throw new Error("crash", { cause: error });
          throw error;
        }),
      };
    },
    ([reply]) => {
      expect(reply?.first.logprobs.every(Number.isFinite)).toBe(true);
      expect(Number.isFinite(reply?.first.logSumExp)).toBe(true);
    },
    8,
  );
});

// An importance matrix, in both formats.

interface Entry {
  readonly name: string;
  readonly calls: number;
  readonly sums: readonly number[];
}
const ENTRIES: readonly Entry[] = ["blk.0.attn_q.weight", "blk.0.ffn_down.weight", "blk.0.ffn_up.weight"].map(
  (name, at) => ({
    name,
    calls: 3 + at,
    sums: Array.from({ length: 8 }, (_, column) => 1 + column + at / 4),
  }),
);

function legacyMatrix(entries: readonly Entry[], behind: "nothing" | "chunks" | "text"): Buffer {
  const parts = entries.flatMap(({ name, calls, sums }) => [
    u32(name.length),
    Buffer.from(name),
    u32(calls),
    u32(sums.length),
    Buffer.from(Float32Array.from(sums).buffer),
  ]);
  const end = behind === "nothing" ? [] : behind === "chunks" ? [u32(7)] : [u32(7), u32(5), Buffer.from("a.txt")];
  return Buffer.concat([u32(entries.length), ...parts, ...end]);
}

/** @returns the entries where the bytes are a whole file of that form, each byte used once */
function secondMatrix(bytes: Buffer): Map<string, number[]> {
  let at = 0;
  const take = (count: number) => {
    if (!(count >= 0 && at + count <= bytes.length)) throw new RangeError("the end");
    at += count;
    return bytes.subarray(at - count, at);
  };
  const int = () => take(4).readInt32LE();
  const text = () => take(int()).toString("utf8");
  const entries = new Map<string, number[]>();
  for (let left = int(); left > 0; left--) {
    const name = text();
    const calls = int();
    if (entries.has(name) || calls < 0) throw new RangeError("an entry that cannot be");
    const values = Array.from({ length: int() }, () => take(4).readFloatLE());
    entries.set(
      name,
      values.map((sum) => Math.fround(calls > 0 ? sum / calls : sum)),
    );
  }
  if (at < bytes.length) int();
  if (at < bytes.length) text();
  expect(at).toBe(bytes.length);
  return entries;
}

function newMatrix(dice: Dice): Buffer {
  const tensors = ENTRIES.flatMap(({ name, calls, sums }) => [
    { name: `${name}.in_sum2`, dimensions: [sums.length], values: [...sums] },
    { name: `${name}.counts`, dimensions: [1], values: [calls] },
  ]);
  const changed = dice.of(tensors);
  const other = dice.of(tensors);
  switch (dice.below(6)) {
    case 0:
      changed.values[0] = dice.of([Number.NaN, Number.POSITIVE_INFINITY, -1, -0.4, 3e38]);
      break;
    case 1:
      changed.name = changed.name.replace(/.$/, dice.of(["x", "", "\0", " "]));
      break;
    case 2:
      [changed.values, other.values] = [other.values, changed.values];
      [changed.dimensions, other.dimensions] = [other.dimensions, changed.dimensions];
      break;
    case 3:
      changed.dimensions = dice.of([[2, 2], [changed.values.length], [1, 1, 1, 1]]);
      break;
    case 4:
      tensors.splice(tensors.indexOf(changed), 1);
      break;
    default:
  }
  const text = (said: string) => [u64(BigInt(Buffer.byteLength(said))), Buffer.from(said)];
  const metadata = [
    [...text("imatrix.datasets"), u32(ARRAY), u32(STRING), u64(1n), ...text("a.txt")],
    [...text("imatrix.chunk_count"), u32(dice.of([4, 6, 5])), u32(7)],
    [...text("imatrix.chunk_size"), u32(4), u32(512)],
  ].filter(() => !dice.once(30));
  let offset = 0;
  const infos = tensors.flatMap(({ name, dimensions, values }) => {
    const info = [
      ...text(name),
      u32(dimensions.length),
      ...dimensions.map((one) => u64(BigInt(one))),
      u32(0),
      u64(BigInt(offset)),
    ];
    offset += Math.ceil((4 * values.length) / 32) * 32;
    return info;
  });
  const head = Buffer.concat([
    Buffer.from("GGUF"),
    u32(3),
    u64(BigInt(tensors.length)),
    u64(BigInt(metadata.length)),
    ...metadata.flat(),
    ...infos,
  ]);
  const data = tensors.map(({ values }) => {
    const bytes = Buffer.from(Float32Array.from(values).buffer);
    return Buffer.concat([bytes, Buffer.alloc((32 - (bytes.length % 32)) % 32)]);
  });
  return Buffer.concat([head, Buffer.alloc((32 - (head.length % 32)) % 32), ...data]);
}

test("an importance matrix", async () => {
  const tally = await fuzz(
    "imatrix",
    (dice, at) => {
      const isNew = dice.once(2);
      const honest = legacyMatrix(
        dice.once(8) ? [...ENTRIES, dice.of(ENTRIES)] : ENTRIES,
        dice.of(["nothing", "chunks", "text"] as const),
      );
      const legacy = dice.once(8)
        ? Buffer.concat([honest, Buffer.alloc(1 + dice.below(9))])
        : changeBytes(honest, dice);
      const made = isNew ? newMatrix(dice) : legacy;
      const bytes = dice.once(6) ? made.subarray(0, dice.below(made.length)) : made;
      const path = join(folder, `i${at}.gguf`);
      const result = async () => {
        await writeFile(path, bytes);
        try {
          return { read: await readImatrix(path), bytes, isNew };
        } finally {
          await rm(path);
        }
      };
      return { input: () => bytes.toString("hex"), result: result() };
    },
    ({ read, bytes, isNew }) => {
      const entries = [...read.entries].map(([name, values]) => [name, [...values]] as const);
      for (const [, values] of entries)
        expect(values.every((value) => Number.isFinite(value) && value >= 0)).toBe(true);
      if (!isNew) {
        expect(entries).toEqual([...secondMatrix(bytes)]);
        return;
      }
      const { tensors, dataOffset } = secondReading(bytes);
      expect(tensors).toHaveLength(2 * entries.length);
      for (const [name, values] of entries) {
        const place = (ending: string) => {
          const found = tensors.find((one) => one.name === `${name}${ending}`);
          const count = found?.dimensions.reduce((product, one) => product * one, 1) ?? 0;
          return Array.from({ length: count }, (_, one) =>
            bytes.readFloatLE(dataOffset + (found?.offset ?? 0) + 4 * one),
          );
        };
        const [sums, counts] = [place(".in_sum2"), place(".counts")];
        expect(counts.every((count) => Number.isFinite(count) && count >= 0)).toBe(true);
        const width = sums.length / counts.length;
        const means = sums.map((sum, one) => {
          const count = Math.round(counts[Math.floor(one / width)] as number);
          return count > 0 ? Math.fround(sum / count) : 1;
        });
        expect(values).toEqual(means);
      }
    },
  );
  expect(Math.min(tally.accepted, tally.refused)).toBeGreaterThan(20);
});

test("a base file of llama-perplexity", async () => {
  const [context, vocabulary, windows] = [8, 12, 2];
  const tokenIds = Int32Array.from({ length: windows * context }, (_, at) => at % vocabulary);
  const rows = Array.from({ length: windows * scoredPositions(context) }, (_, row) =>
    encodeBaseRow(Float32Array.from({ length: vocabulary }, (_, id) => Math.sin(row * 7 + id * 3) * (1 + row))),
  );
  const whole = Buffer.concat([encodeBaseHeader({ context, vocabulary, windows, tokenIds }), ...rows]);
  const tally = await fuzz(
    "base file",
    (dice, at) => {
      const changed = Buffer.from(whole);
      const [header, row] = [20 + 4 * tokenIds.length, rows[0]?.length ?? 0];
      if (dice.once(2)) {
        const place = header + row * dice.below(rows.length) + 4 * dice.below(2);
        changed.writeFloatLE(dice.of([Number.NaN, Number.NEGATIVE_INFINITY, 1, -1, 0, 1e30, -0.5]), place);
      }
      const bytes = dice.once(5)
        ? whole.subarray(0, dice.below(whole.length))
        : dice.once(2)
          ? changed
          : changeBytes(changed, dice);
      const path = join(folder, `b${at}.bin`);
      const result = async () => {
        await writeFile(path, bytes);
        const file = await BaseFile.open(path);
        try {
          const read: Float32Array[] = [];
          for await (const one of file.rows(0, file.header.windows)) read.push(one);
          return { read, header: file.header };
        } finally {
          await file.close();
          await rm(path);
        }
      };
      return { input: () => bytes.toString("hex"), result: result() };
    },
    ({ read, header }) => {
      expect(read).toHaveLength(header.windows * header.positions);
      for (const logprobs of read) {
        const sum = logprobs.reduce((all, one) => all + Math.exp(one), 0);
        expect(Math.abs(sum - 1)).toBeLessThan(0.01);
      }
    },
  );
  expect(Math.min(tally.accepted, tally.refused)).toBeGreaterThan(10);
});
