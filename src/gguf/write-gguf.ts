/** The bytes of a GGUF header, version 3, little-endian. */

import { createHash } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { type ErrorCode, InwardError } from "../errors.js";
import type { ReencodeOptions } from "./derived-copies.js";
import { GGML_TYPES, type GgmlTypeName, tensorBytes } from "./encodings.js";
import { dominantEncoding } from "./inspect-gguf.js";
import {
  alignUp,
  DEFAULT_ALIGNMENT,
  type GgufArray,
  type GgufFile,
  type GgufTensor,
  type GgufValue,
  type GgufValueType,
  readGguf,
  SOURCE_ENCODING_KEY,
  SOURCE_SHA256_KEY,
  VALUE_TYPES,
} from "./read-gguf.js";
import { OpenWeights } from "./split-model.js";

/** A tensor before its place in the file is known. */
export interface TensorShape {
  readonly name: string;
  /** Elements per dimension, the contiguous one first. */
  readonly dimensions: readonly number[];
  readonly type: GgmlTypeName;
}

export interface EncodedHeader {
  /** Up to where tensor data begins, padding included. */
  readonly bytes: Uint8Array;
  /** Where each tensor begins, counted from the end of `bytes`, and how long it is. */
  readonly tensors: readonly { readonly offset: number; readonly byteLength: number }[];
}

const VERSION = 3;
const RANGES: Partial<Record<GgufValueType, readonly [number, number]>> = {
  u8: [0, 0xff],
  i8: [-0x80, 0x7f],
  u16: [0, 0xffff],
  i16: [-0x8000, 0x7fff],
  u32: [0, 0xffffffff],
  i32: [-0x80000000, 0x7fffffff],
};

/**
 * @param metadata values, or their bytes as a file had them (type tag included), in order
 * @param alignment bytes; must agree with general.alignment when the metadata has it
 * @throws InwardError INTERNAL for a value outside its type or a tensor that does not fill whole blocks
 */
export function encodeHeader(
  metadata: ReadonlyMap<string, GgufValue | Uint8Array>,
  tensors: readonly TensorShape[],
  alignment: number,
): EncodedHeader {
  const parts: Uint8Array[] = [Buffer.from("GGUF"), u32(VERSION), u64(tensors.length), u64(metadata.size)];
  for (const [key, value] of metadata) {
    parts.push(...text(key));
    // One by one: a real vocabulary has more pieces than a call takes arguments.
    for (const piece of value instanceof Uint8Array ? [value] : encode(value)) parts.push(piece);
  }
  const places: { offset: number; byteLength: number }[] = [];
  let offset = 0;
  for (const { name, dimensions, type } of tensors) {
    const elements = dimensions.reduce((product, dimension) => product * dimension, 1);
    const byteLength = tensorBytes(type, elements);
    if (byteLength === undefined || (dimensions[0] ?? 1) % GGML_TYPES[type].blockElements !== 0) {
      throw new InwardError("INTERNAL", `tensor ${name} [${dimensions.join(", ")}] does not fill whole ${type} blocks`);
    }
    parts.push(...text(name), u32(dimensions.length), ...dimensions.map(u64), u32(GGML_TYPES[type].id), u64(offset));
    places.push({ offset, byteLength });
    offset = alignUp(offset + byteLength, alignment);
  }
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  parts.push(new Uint8Array(alignUp(length, alignment) - length));
  return { bytes: Buffer.concat(parts), tensors: places };
}

/** The type tag and the value. */
function encode(value: GgufValue): Uint8Array[] {
  return [
    u32(VALUE_TYPES.indexOf(value.type)),
    ...(value.type === "array" ? array(value) : scalar(value.type, value.value)),
  ];
}

function array({ elementType, value }: GgufArray): Uint8Array[] {
  const parts: Uint8Array[] = [u32(VALUE_TYPES.indexOf(elementType)), u64(value.length)];
  for (const element of value) {
    if (typeof element !== "object") parts.push(...scalar(elementType, element));
    else if (elementType === "array") parts.push(...array(element));
    else throw new InwardError("INTERNAL", `an array among values of type ${elementType}`);
  }
  return parts;
}

function scalar(type: GgufValueType, value: number | bigint | boolean | string): Uint8Array[] {
  if (type === "string" && typeof value === "string") return text(value);
  if (type === "bool" && typeof value === "boolean") return [Uint8Array.of(value ? 1 : 0)];
  if ((type === "u64" || type === "i64") && typeof value === "bigint") {
    if ((type === "u64" ? BigInt.asUintN(64, value) : BigInt.asIntN(64, value)) === value) {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
      return [bytes];
    }
  } else if (typeof value === "number") {
    const bytes = numberBytes(type, value);
    if (bytes !== undefined) return [bytes];
  }
  throw new InwardError("INTERNAL", `${String(value)} is no value of GGUF type ${type}`);
}

function numberBytes(type: GgufValueType, value: number): Uint8Array | undefined {
  if (type === "f32" || type === "f64") {
    const bytes = Buffer.alloc(type === "f32" ? 4 : 8);
    if (type === "f32") bytes.writeFloatLE(value);
    else bytes.writeDoubleLE(value);
    return bytes;
  }
  const range = RANGES[type];
  if (range === undefined || !Number.isInteger(value) || value < range[0] || value > range[1]) return undefined;
  const bytes = Buffer.alloc(type.endsWith("8") ? 1 : type.endsWith("16") ? 2 : 4);
  if (range[0] < 0) bytes.writeIntLE(value, 0, bytes.length);
  else bytes.writeUIntLE(value, 0, bytes.length);
  return bytes;
}

function text(value: string): Uint8Array[] {
  const bytes = Buffer.from(value, "utf8");
  return [u64(bytes.length), bytes];
}

function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

// Writes a GGUF file in one pass, tensor by tensor, under a temporary name: under its own name it is whole or absent.

/** A tensor and where its bytes come from. Chunks are written before the next one is asked for, so a buffer may be reused. */
export interface TensorSource extends TensorShape {
  chunks(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

export interface WriteGgufOptions {
  /** Bytes of the finished file, so far and in all. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  /** Aborting removes the unfinished file and throws INTERRUPTED. */
  readonly signal?: AbortSignal;
}

export interface WrittenGguf {
  readonly bytes: number;
  /** Of the whole file, hex. */
  readonly sha256: string;
}

/**
 * @param metadata values, or their bytes as another file had them, in the order to write
 * @throws InwardError STORE_DISK_FULL · STORE_UNWRITABLE · INTERRUPTED · whatever a tensor's `chunks` throws
 */
export async function writeGguf(
  path: string,
  metadata: ReadonlyMap<string, GgufValue | Uint8Array>,
  tensors: readonly TensorSource[],
  options: WriteGgufOptions & { readonly alignment?: number } = {},
): Promise<WrittenGguf> {
  const alignment = options.alignment ?? DEFAULT_ALIGNMENT;
  const header = encodeHeader(metadata, tensors, alignment);
  const last = header.tensors.at(-1);
  const totalBytes = header.bytes.length + (last === undefined ? 0 : alignUp(last.offset + last.byteLength, alignment));
  const partial = `${path}.partial-${process.pid}`;
  const output = await Output.open(partial, totalBytes, options);
  try {
    await output.write(header.bytes);
    for (const [index, tensor] of tensors.entries()) {
      const { offset, byteLength } = header.tensors[index] as { offset: number; byteLength: number };
      for await (const chunk of tensor.chunks()) await output.write(chunk);
      const end = header.bytes.length + offset + byteLength;
      if (output.bytes !== end)
        throw new InwardError("INTERNAL", `tensor ${tensor.name} ends at ${output.bytes}, not ${end}`);
      await output.write(new Uint8Array(alignUp(byteLength, alignment) - byteLength));
    }
    const sha256 = await output.finish();
    await inDisk(path, () => rename(partial, path));
    await syncFolder(dirname(path));
    return { bytes: output.bytes, sha256 };
  } catch (error) {
    await output.close();
    await rm(partial, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** An operating system's refusal to write as one of inward's codes. */
export function writeFailure(error: unknown, path: string): InwardError {
  const code = (error as NodeJS.ErrnoException).code;
  const family: ErrorCode = code === "ENOSPC" || code === "EDQUOT" ? "STORE_DISK_FULL" : "STORE_UNWRITABLE";
  const what = family === "STORE_DISK_FULL" ? "the disk is full" : "cannot be written";
  return new InwardError(family, `${path}: ${what} (${code ?? String(error)})`, { cause: error });
}

class Output {
  bytes = 0;
  private readonly hash = createHash("sha256");
  private open = true;

  private constructor(
    private readonly file: FileHandle,
    private readonly path: string,
    private readonly totalBytes: number,
    private readonly options: WriteGgufOptions,
  ) {}

  static async open(path: string, totalBytes: number, options: WriteGgufOptions): Promise<Output> {
    return new Output(await inDisk(path, () => open(path, "w")), path, totalBytes, options);
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.options.signal?.aborted) throw new InwardError("INTERRUPTED", `stopped while writing ${this.path}`);
    if (chunk.length === 0) return;
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await inDisk(this.path, () => this.file.write(chunk, done, chunk.length - done));
      done += bytesWritten;
    }
    this.hash.update(chunk);
    this.bytes += chunk.length;
    this.options.onProgress?.(this.bytes, this.totalBytes);
  }

  async finish(): Promise<string> {
    await inDisk(this.path, () => this.file.sync());
    await this.close();
    return this.hash.digest("hex");
  }

  async close(): Promise<void> {
    if (!this.open) return;
    this.open = false;
    await inDisk(this.path, () => this.file.close());
  }
}

async function inDisk<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw writeFailure(error, path);
  }
}

/** The rename itself survives a power cut only once the folder is on disk; where folders cannot be synced, the file still is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r").catch(() => undefined);
  await folder?.sync().catch(() => undefined);
  await folder?.close().catch(() => undefined);
}

const CHUNK_BYTES = 4 * 2 ** 20;

/** A tensor's bytes as they are, in pieces; each piece is good until the next one is asked for. @throws InwardError MODEL_TRUNCATED */
export async function* copyTensor(weights: OpenWeights, tensor: GgufTensor): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(Math.min(CHUNK_BYTES, tensor.byteLength));
  for (let done = 0; done < tensor.byteLength; done += buffer.length) {
    const chunk = buffer.subarray(0, Math.min(buffer.length, tensor.byteLength - done));
    await weights.read(tensor, chunk, done);
    yield chunk;
  }
}

// Gives a file of llama_model_quantize the order and the metadata of the file it was made from, so that the same weights are the
// same bytes whoever encoded them.

const FILE_TYPE_KEY = "general.file_type";
const QUANTIZATION_VERSION_KEY = "general.quantization_version";

/**
 * Metadata stay as the source has them, byte for byte, but for the file type and, where weights are quantized, the version of the
 * quantization; the two keys of reencodeGguf say what the source was.
 * @param about further keys
 * @throws InwardError MODEL_TENSOR_TYPE when the tensors are not the source's, and what readGguf and writeGguf throw
 */
export async function writeInSourceOrder(
  source: GgufFile,
  madePath: string,
  targetPath: string,
  options: ReencodeOptions,
  about: ReadonlyMap<string, GgufValue> = new Map(),
): Promise<WrittenGguf> {
  const made = await readGguf(madePath);
  const byName = new Map(made.tensors.map((tensor) => [tensor.name, tensor]));
  const tensors = source.tensors.map(({ name, dimensions }) => {
    const found = byName.get(name);
    if (found === undefined || found.dimensions.join() !== dimensions.join()) {
      throw new InwardError("MODEL_TENSOR_TYPE", `llama.cpp wrote tensor ${name} of ${source.path} in another shape`);
    }
    return found;
  });
  const weights = await OpenWeights.of(made);
  try {
    const sources = tensors.map((tensor): TensorSource => ({ ...tensor, chunks: () => copyTensor(weights, tensor) }));
    const metadata = new Map([...metadataOf(source, made, options.sourceSha256), ...about]);
    return await writeGguf(targetPath, metadata, sources, {
      ...options,
      alignment: source.alignment,
    });
  } finally {
    await weights.close();
  }
}

function metadataOf(source: GgufFile, made: GgufFile, sourceSha256: string): Map<string, GgufValue | Uint8Array> {
  const metadata = new Map<string, GgufValue | Uint8Array>(source.encodedMetadata);
  const quantized = made.tensors.some((tensor) => GGML_TYPES[tensor.type].blockElements > 1);
  for (const key of quantized ? [FILE_TYPE_KEY, QUANTIZATION_VERSION_KEY] : [FILE_TYPE_KEY]) {
    const value = made.metadata.get(key);
    if (value !== undefined) metadata.set(key, value);
  }
  metadata.set(SOURCE_SHA256_KEY, { type: "string", value: sourceSha256 });
  metadata.set(SOURCE_ENCODING_KEY, { type: "string", value: dominantEncoding(source) });
  return metadata;
}
