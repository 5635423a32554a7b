/**
 * Weights of a tensor as float32. Layouts are those of ggml-quants.c. No intermediate rounding is needed: a scale has 11 significant
 * bits and its factors at most 14 more, so in double precision every product and sum is exact, and storing into the Float32Array
 * rounds once, just where ggml's float32 arithmetic does (its products are exact in 24 bits but for Q6_K's last one, which it rounds).
 */
import { InwardError } from "../../errors.js";
import { dequantizeQ2K, dequantizeQ3K, dequantizeQ4K, dequantizeQ5K, dequantizeQ6K } from "./dequantize-k.js";
import { halfAt } from "./half.js";
import { GGML_TYPES, type GgmlTypeName } from "./tensor-types.js";

/** Decodes `blocks` whole blocks of `bytes` into `out`. */
type BlockDecoder = (bytes: Uint8Array, blocks: number, out: Float32Array) => void;

const DECODERS: Partial<Record<GgmlTypeName, BlockDecoder>> = {
  F32: (bytes, elements, out) => new Uint8Array(out.buffer, out.byteOffset, 4 * elements).set(bytes),
  F16: dequantizeF16,
  BF16: dequantizeBF16,
  Q4_0: dequantizeQ4_0,
  Q4_1: dequantizeQ4_1,
  Q5_0: dequantizeQ5_0,
  Q5_1: dequantizeQ5_1,
  Q8_0: dequantizeQ8_0,
  Q2_K: dequantizeQ2K,
  Q3_K: dequantizeQ3K,
  Q4_K: dequantizeQ4K,
  Q5_K: dequantizeQ5K,
  Q6_K: dequantizeQ6K,
};

export function canDequantize(type: GgmlTypeName): boolean {
  return DECODERS[type] !== undefined;
}

/**
 * @param bytes exactly `elements` weights in whole blocks
 * @param out at least `elements` long; made when absent
 * @returns the first `elements` of `out`
 * @throws InwardError MODEL_TENSOR_TYPE for a type that is not decoded here
 */
export function dequantize(
  type: GgmlTypeName,
  bytes: Uint8Array,
  elements: number,
  out: Float32Array = new Float32Array(elements),
): Float32Array {
  const decode = DECODERS[type];
  if (decode === undefined)
    throw new InwardError("MODEL_TENSOR_TYPE", `weights of type ${type} cannot be decoded here`);
  const { blockElements, blockBytes } = GGML_TYPES[type];
  const blocks = elements / blockElements;
  if (bytes.length !== blocks * blockBytes || out.length < elements) {
    throw new InwardError(
      "INTERNAL",
      `${elements} weights of type ${type} in ${bytes.length} bytes, room for ${out.length}`,
    );
  }
  decode(bytes, blocks, out);
  return out.subarray(0, elements);
}

function dequantizeF16(bytes: Uint8Array, elements: number, out: Float32Array): void {
  for (let i = 0; i < elements; i++) out[i] = halfAt(bytes, 2 * i);
}

function dequantizeBF16(bytes: Uint8Array, elements: number, out: Float32Array): void {
  const bits = new Uint32Array(out.buffer, out.byteOffset, elements);
  for (let i = 0; i < elements; i++) {
    bits[i] = ((bytes[2 * i] as number) << 16) | ((bytes[2 * i + 1] as number) << 24);
  }
}

/** half scale, 16 bytes: low nibbles are weights 0-15, high ones 16-31, both offset by 8. */
function dequantizeQ4_0(bytes: Uint8Array, blocks: number, out: Float32Array): void {
  for (let block = 0, at = 0, o = 0; block < blocks; block++, at += 18, o += 32) {
    const d = halfAt(bytes, at);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 2 + i] as number;
      out[o + i] = ((pair & 15) - 8) * d;
      out[o + 16 + i] = ((pair >>> 4) - 8) * d;
    }
  }
}

/** half scale, half minimum, nibbles as Q4_0 without the offset. */
function dequantizeQ4_1(bytes: Uint8Array, blocks: number, out: Float32Array): void {
  for (let block = 0, at = 0, o = 0; block < blocks; block++, at += 20, o += 32) {
    const d = halfAt(bytes, at);
    const m = halfAt(bytes, at + 2);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 4 + i] as number;
      out[o + i] = (pair & 15) * d + m;
      out[o + 16 + i] = (pair >>> 4) * d + m;
    }
  }
}

/** half scale, 32 fifth bits, nibbles; offset by 16. */
function dequantizeQ5_0(bytes: Uint8Array, blocks: number, out: Float32Array): void {
  for (let block = 0, at = 0, o = 0; block < blocks; block++, at += 22, o += 32) {
    const d = halfAt(bytes, at);
    const high = wordAt(bytes, at + 2);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 6 + i] as number;
      out[o + i] = (((pair & 15) | (((high >>> i) & 1) << 4)) - 16) * d;
      out[o + 16 + i] = (((pair >>> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16) * d;
    }
  }
}

/** half scale, half minimum, 32 fifth bits, nibbles. */
function dequantizeQ5_1(bytes: Uint8Array, blocks: number, out: Float32Array): void {
  for (let block = 0, at = 0, o = 0; block < blocks; block++, at += 24, o += 32) {
    const d = halfAt(bytes, at);
    const m = halfAt(bytes, at + 2);
    const high = wordAt(bytes, at + 4);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 8 + i] as number;
      out[o + i] = ((pair & 15) | (((high >>> i) & 1) << 4)) * d + m;
      out[o + 16 + i] = ((pair >>> 4) | (((high >>> (i + 16)) & 1) << 4)) * d + m;
    }
  }
}

/** half scale, 32 signed bytes. */
function dequantizeQ8_0(bytes: Uint8Array, blocks: number, out: Float32Array): void {
  for (let block = 0, at = 0, o = 0; block < blocks; block++, at += 34, o += 32) {
    const d = halfAt(bytes, at);
    for (let i = 0; i < 32; i++) out[o + i] = (((bytes[at + 2 + i] as number) << 24) >> 24) * d;
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}
