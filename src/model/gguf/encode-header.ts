/** The bytes of a GGUF header, version 3, little-endian. Pure. */
import { InwardError } from "../../errors.js";
import { alignUp, type GgufArray, type GgufValue, type GgufValueType, VALUE_TYPES } from "./gguf-file.js";
import { GGML_TYPES, type GgmlTypeName, tensorBytes } from "./tensor-types.js";

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
  for (const [key, value] of metadata)
    parts.push(...text(key), ...(value instanceof Uint8Array ? [value] : encode(value)));
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
    const bytes = number(type, value);
    if (bytes !== undefined) return [bytes];
  }
  throw new InwardError("INTERNAL", `${String(value)} is no value of GGUF type ${type}`);
}

function number(type: GgufValueType, value: number): Uint8Array | undefined {
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
