/**
 * Reads a safetensors file: 8 bytes of header length (little-endian), a JSON header, the data. Nothing that the header claims is
 * believed before it was compared with the file's length.
 */

import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { z } from "zod";
import { writeError } from "../../base/files.js";
import { decodeUtf8, parseStrictJson, shown } from "../../base/untrusted.js";
import { InwardError } from "../../errors.js";
import { dequantize, GGML_TYPES } from "../../gguf/encodings.js";
import { openGguf, readFully } from "../../gguf/read-gguf.js";
import { adapterFailure } from "./adapter.js";

export interface SafeTensor {
  /** Slowest first, as in PyTorch. */
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** The format's own limit. */
const MAX_HEADER_BYTES = 100_000_000;
/** Names stand in messages: no control character, and no page of text, reaches a terminal by way of one. */
const MOST_NAME = 300;
const size = z.int().min(0);
const entrySchema = z.strictObject({
  dtype: z.enum(["F32", "F16", "BF16", "F64"]),
  shape: z.array(size).max(8),
  data_offsets: z.tuple([size, size]),
});
type Entry = z.infer<typeof entrySchema>;

/**
 * @param wanted of which names the numbers are read; of all where absent
 * @returns tensors by name in the data's order, as float32; doubles rounded
 * @throws InwardError ADAPTER_NOT_FOUND · ADAPTER_INVALID (not safetensors, truncated, a hole or an overlap, another number type)
 */
export function readSafetensors(
  path: string,
  wanted: (name: string) => boolean = () => true,
): Promise<Map<string, SafeTensor>> {
  return opened(path, async (file, invalid) => {
    const { entries, dataStart } = await readEntries(file, path, invalid);
    const tensors = new Map<string, SafeTensor>();
    for (const [name, { dtype, shape, data_offsets }] of entries) {
      if (!wanted(name)) continue;
      const [begin, end] = data_offsets;
      const bytes = new Uint8Array(end - begin);
      if ((await readFully(file, bytes, dataStart + begin)) < bytes.length)
        throw invalid(`it became shorter while tensor ${name} was read`);
      tensors.set(name, { shape, values: singlesOf(dtype, bytes) });
    }
    return tensors;
  });
}

/** @returns the shape of each tensor by its name; no number is read @throws as readSafetensors */
export function readSafetensorsShapes(path: string): Promise<Map<string, readonly number[]>> {
  return opened(path, async (file, invalid) => {
    const { entries } = await readEntries(file, path, invalid);
    return new Map(entries.map(([name, { shape }]) => [name, shape]));
  });
}

/** @returns the header's `__metadata__`; empty where there is none @throws as readSafetensors */
export function readSafetensorsMetadata(path: string): Promise<Readonly<Record<string, string>>> {
  return opened(path, async (file, invalid) => {
    const { header } = await readHeader(file, invalid);
    const { __metadata__: metadata = {} } = parseObject(header, path, invalid) as { readonly __metadata__?: unknown };
    const parsed = z.record(z.string(), z.string()).safeParse(metadata);
    if (!parsed.success) throw invalid("its metadata are not texts by name");
    return parsed.data;
  });
}

type Invalid = (what: string) => InwardError;

async function opened<Result>(
  path: string,
  work: (file: FileHandle, invalid: Invalid) => Promise<Result>,
): Promise<Result> {
  try {
    const file = await openGguf(path);
    try {
      return await work(file, (what) => new InwardError("ADAPTER_INVALID", `${path} is no safetensors file: ${what}`));
    } finally {
      await file.close();
    }
  } catch (error) {
    throw adapterFailure(error);
  }
}

async function readHeader(
  file: FileHandle,
  invalid: Invalid,
): Promise<{ readonly header: Buffer; readonly fileBytes: number }> {
  const fileBytes = (await file.stat()).size;
  const prefix = Buffer.alloc(8);
  if ((await readFully(file, prefix, 0)) < 8) throw invalid(`it has ${fileBytes} bytes`);
  const headerBytes = prefix.readBigUInt64LE();
  if (headerBytes > MAX_HEADER_BYTES || 8n + headerBytes > BigInt(fileBytes))
    throw invalid(`its header claims ${headerBytes} bytes, the file has ${fileBytes}`);
  const header = Buffer.alloc(Number(headerBytes));
  await readFully(file, header, 8);
  return { header, fileBytes };
}

async function readEntries(file: FileHandle, path: string, invalid: Invalid) {
  const { header, fileBytes } = await readHeader(file, invalid);
  const dataStart = 8 + header.length;
  return { entries: safetensorsHeader(header, fileBytes - dataStart, path, invalid), dataStart };
}

/** Doubles are rounded to single precision, as PEFT does when it loads them into its own matrices. */
export function singlesOf(dtype: Entry["dtype"], bytes: Uint8Array): Float32Array {
  if (dtype !== "F64") return dequantize(dtype, bytes, bytes.length / GGML_TYPES[dtype].blockBytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.length / 8 }, (_, at) => view.getFloat64(8 * at, true));
}

/** @returns entries in the order of their data, which they fill without holes or overlaps */
function safetensorsHeader(header: Buffer, dataBytes: number, path: string, invalid: Invalid): [string, Entry][] {
  const entries: [string, Entry][] = [];
  for (const [name, value] of Object.entries(parseObject(header, path, invalid))) {
    if (name === "__metadata__") continue;
    if (name.length > MOST_NAME || /\p{Cc}/u.test(name)) throw invalid(`it has a tensor named ${shown(name)}`);
    const entry = entrySchema.safeParse(value);
    if (!entry.success) {
      const issue = entry.error.issues[0];
      throw invalid(`tensor ${JSON.stringify(name)}: ${issue?.path.join(".")}: ${issue?.message}`);
    }
    entries.push([name, entry.data]);
  }
  entries.sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1]);
  let expected = 0;
  for (const [name, { dtype, shape, data_offsets }] of entries) {
    const [begin, end] = data_offsets;
    const bytes = shape.reduce((product, length) => product * length, GGML_TYPES[dtype].blockBytes);
    if (begin !== expected) throw invalid(`tensor ${name} begins at ${begin} of the data, not at ${expected}`);
    if (end - begin !== bytes)
      throw invalid(`tensor ${name} [${shape}] ${dtype} has ${end - begin} bytes, not ${bytes}`);
    expected = end;
  }
  if (expected !== dataBytes) throw invalid(`its tensors take ${expected} bytes, its data ${dataBytes}`);
  return entries;
}

function parseObject(header: Buffer, path: string, invalid: Invalid): object {
  const place = { code: "ADAPTER_INVALID", place: `${path}: its header` } as const;
  const parsed = parseStrictJson(decodeUtf8(header, place), place);
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw invalid("its header is not a JSON object");
  return parsed;
}

// Writes float32 tensors as a safetensors file, whole or not at all.

/**
 * Tensors stand sorted by name, so that equal tensors have equal bytes.
 * @param about of the file, beside its format @throws InwardError STORE_DISK_FULL, STORE_UNWRITABLE
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, SafeTensor>,
  about: Readonly<Record<string, string>> = {},
): Promise<void> {
  const sorted = [...tensors].sort(([a], [b]) => (a < b ? -1 : 1));
  const partial = `${path}.partial-${process.pid}`;
  try {
    const file = await open(partial, "w");
    try {
      await file.writeFile(
        safetensorsPrefix(
          sorted.map(([name, { shape, values }]) => ({ name, dtype: "F32", shape, bytes: values.byteLength })),
          // transformers and PEFT refuse a file that does not say whose tensors these are.
          { format: "pt", ...about },
        ),
      );
      for (const [, { values }] of sorted)
        await file.writeFile(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw writeError(error, path);
  }
}

/** A tensor of a file that is to be written. */
export interface PlannedTensor {
  readonly name: string;
  readonly dtype: "F32" | "F16";
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** What stands before the data of tensors that follow in this order. */
export function safetensorsPrefix(
  tensors: readonly PlannedTensor[],
  metadata: Readonly<Record<string, string>>,
): Buffer {
  let offset = 0;
  const entries = tensors.map(({ name, dtype, shape, bytes }) => {
    const begin = offset;
    offset += bytes;
    return [name, { dtype, shape, data_offsets: [begin, offset] }] as const;
  });
  const json = Buffer.from(JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) }));
  const padded = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, " ");
  padded.writeBigUInt64LE(BigInt(padded.length - 8));
  json.copy(padded, 8);
  return padded;
}
