/** Plain encoders of the tiny models' weights: blocks are valid and close to the weights, not the best that could be found. */
import { floatsToHalves, GGML_TYPES } from "../../src/gguf/encodings.js";
import { encodeQ4KBlock, encodeQ5KBlock, encodeQ6KBlock } from "./tiny-encodings-k.js";

export type TinyEncoding =
  | "F32"
  | "F16"
  | "BF16"
  | "Q8_0"
  | "Q4_0"
  | "Q4_1"
  | "Q5_0"
  | "Q5_1"
  | "Q4_K"
  | "Q5_K"
  | "Q6_K";

/** Writes one block of weights into its bytes, which are zero. */
export type BlockEncoder = (block: Float32Array, out: Uint8Array) => void;

/** @param values whole rows, each a whole number of blocks (32 weights; 256 for a K-quant) */
export function encodeWeights(encoding: TinyEncoding, values: Float32Array): Uint8Array {
  if (encoding === "F32") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (encoding === "F16") return new Uint8Array(halves(values).buffer);
  if (encoding === "BF16") return new Uint8Array(brainFloats(values).buffer);
  const { blockElements, blockBytes } = GGML_TYPES[encoding];
  const blocks = values.length / blockElements;
  const bytes = new Uint8Array(blocks * blockBytes);
  for (let block = 0; block < blocks; block++) {
    BLOCK_ENCODERS[encoding](
      values.subarray(blockElements * block, blockElements * (block + 1)),
      bytes.subarray(blockBytes * block, blockBytes * (block + 1)),
    );
  }
  return bytes;
}

export function halves(values: Float32Array): Uint16Array {
  const result = new Uint16Array(values.length);
  if (floatsToHalves(values, result) !== -1) throw new Error("a weight of the tiny model is beyond half precision");
  return result;
}

/** The upper half of each float32, ties to even. */
function brainFloats(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(bits, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
}

const BLOCK_ENCODERS: Record<Exclude<TinyEncoding, "F32" | "F16" | "BF16">, BlockEncoder> = {
  Q8_0: encodeQ8Block,
  Q4_0: (block, out) => encodeSymmetricBlock(block, out, 8),
  Q4_1: encodeQ4Block,
  Q5_0: (block, out) => encodeSymmetricBlock(block, out, 16),
  Q5_1: encodeQ51Block,
  Q4_K: encodeQ4KBlock,
  Q5_K: encodeQ5KBlock,
  Q6_K: encodeQ6KBlock,
};

/** A half-precision scale, 32 signed bytes. */
function encodeQ8Block(block: Float32Array, out: Uint8Array): void {
  const scale = Math.max(...block.map(Math.abs)) / 127;
  out.set(new Uint8Array(halves(Float32Array.of(scale)).buffer));
  out.set(
    Array.from(block, (value) => (scale === 0 ? 0 : Math.round(value / scale)) & 0xff),
    2,
  );
}

/** A half-precision scale and minimum, 16 bytes of nibbles: weights 0-15 in the low ones, 16-31 in the high ones. */
function encodeQ4Block(block: Float32Array, out: Uint8Array): void {
  const minimum = Math.min(...block);
  const scale = (Math.max(...block) - minimum) / 15;
  out.set(new Uint8Array(halves(Float32Array.of(scale, minimum)).buffer));
  const quant = (index: number) => (scale === 0 ? 0 : Math.round(((block[index] as number) - minimum) / scale));
  for (let index = 0; index < 16; index++) out[4 + index] = quant(index) | (quant(index + 16) << 4);
}

/** A half-precision scale, for Q5_0 32 fifth bits, nibbles as Q4_1: `offset` (8 or 16) stands for 0. */
function encodeSymmetricBlock(block: Float32Array, out: Uint8Array, offset: 8 | 16): void {
  // The weight of greatest magnitude becomes quant 0, whatever its sign: the scale may be negative.
  const extreme = block.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
  const scale = extreme / -offset;
  out.set(new Uint8Array(halves(Float32Array.of(scale)).buffer));
  const quants = Array.from(block, (value) =>
    scale === 0 ? offset : Math.min(2 * offset - 1, Math.max(0, Math.round(value / scale) + offset)),
  );
  if (offset === 16) setFifthBits(quants, out.subarray(2, 6));
  setNibbles(quants, out.subarray(out.length - 16));
}

/** A half-precision scale and minimum, 32 fifth bits, nibbles. */
function encodeQ51Block(block: Float32Array, out: Uint8Array): void {
  const minimum = Math.min(...block);
  const scale = (Math.max(...block) - minimum) / 31;
  out.set(new Uint8Array(halves(Float32Array.of(scale, minimum)).buffer));
  const quants = Array.from(block, (value) => (scale === 0 ? 0 : Math.round((value - minimum) / scale)));
  setFifthBits(quants, out.subarray(4, 8));
  setNibbles(quants, out.subarray(8));
}

function setNibbles(quants: readonly number[], out: Uint8Array): void {
  for (let index = 0; index < 16; index++) {
    out[index] = ((quants[index] as number) & 15) | (((quants[index + 16] as number) & 15) << 4);
  }
}

/** Bit `index` of four little-endian bytes. */
function setFifthBits(quants: readonly number[], out: Uint8Array): void {
  for (const [index, quant] of quants.entries()) {
    out[index >>> 3] = (out[index >>> 3] as number) | ((quant >>> 4) << (index & 7));
  }
}
