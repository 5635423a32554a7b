/** The shapes of a GGUF file: typed metadata values, tensor entries, the header as a whole. Little-endian, versions 2 and 3. */
import type { GgmlTypeName } from "./tensor-types.js";

/** Metadata value types in the order of their ids in the file (0 to 12). */
export const VALUE_TYPES = [
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "f32",
  "bool",
  "string",
  "array",
  "u64",
  "i64",
  "f64",
] as const;

export type GgufValueType = (typeof VALUE_TYPES)[number];

/** An array of one element type; an array of arrays holds values of this same shape. */
export interface GgufArray {
  readonly type: "array";
  readonly elementType: GgufValueType;
  readonly value: readonly (number | bigint | boolean | string | GgufArray)[];
}

/** A value with the type it has in the file, so that it can be written back as it was. */
export type GgufValue =
  | { readonly type: "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "f32" | "f64"; readonly value: number }
  | { readonly type: "u64" | "i64"; readonly value: bigint }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | GgufArray;

export interface GgufTensor {
  readonly name: string;
  /** Elements per dimension, the contiguous one first (ggml's order: a matrix is [columns, rows]). */
  readonly dimensions: readonly number[];
  readonly type: GgmlTypeName;
  /** Product of the dimensions. */
  readonly elements: number;
  /** Bytes from `dataOffset` to the tensor's first byte. */
  readonly offset: number;
  readonly byteLength: number;
}

/** Everything before the weights. */
export interface GgufHeader {
  readonly version: 2 | 3;
  /** In the file's order. */
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** Each value with its type tag exactly as the file encodes it: NaN payloads and invalid UTF-8 survive a rewrite. */
  readonly encodedMetadata: ReadonlyMap<string, Uint8Array>;
  readonly tensors: readonly GgufTensor[];
  /** Bytes that every tensor's offset is a multiple of. */
  readonly alignment: number;
  /** Byte of the file where tensor data begins. */
  readonly dataOffset: number;
}

export interface GgufFile extends GgufHeader {
  readonly path: string;
  readonly fileBytes: number;
}

export const DEFAULT_ALIGNMENT = 32;

/** Keys that inward adds to a file that it re-encoded: the source file's sha256 (hex) and dominant tensor type. */
export const SOURCE_SHA256_KEY = "inward.source.sha256";
export const SOURCE_ENCODING_KEY = "inward.source.encoding";

/** Keys of a file that layers were taken out of: the sha256 of the file that had them (hex), how many it had, the numbers of the removed ones. */
export const REMOVED_LAYERS_KEYS = {
  sourceSha256: "inward.layers.source_sha256",
  of: "inward.layers.of",
  layers: "inward.layers.removed",
} as const;

/** The smallest multiple of `alignment` that is not below `bytes`. */
export function alignUp(bytes: number, alignment: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}
