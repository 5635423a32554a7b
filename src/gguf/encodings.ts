import { InwardError } from "../errors.js";

/** What a whole model file can be re-encoded as, by llama.cpp's name in lower case. */
export const FILE_TYPE_NAMES = [
  "f32",
  "f16",
  "bf16",
  "q8_0",
  "q6_k",
  "q5_k_m",
  "q5_k_s",
  "q5_1",
  "q5_0",
  "q4_k_m",
  "q4_k_s",
  "q4_1",
  "q4_0",
  "iq4_nl",
  "iq4_xs",
  "q3_k_l",
  "q3_k_m",
  "q3_k_s",
  "q2_k",
] as const;

export type FileTypeName = (typeof FILE_TYPE_NAMES)[number];

/** Those that are made with an importance matrix only: without one llama.cpp refuses most of them, and the others are worse than a Q3_K. */
export const IMATRIX_TYPE_NAMES = [
  "iq3_m",
  "iq3_s",
  "iq3_xs",
  "iq3_xxs",
  "q2_k_s",
  "iq2_m",
  "iq2_s",
  "iq2_xs",
  "iq2_xxs",
] as const;

/** What llama.cpp's quantizer can make of a file of floats here. */
export type VariantTypeName = FileTypeName | (typeof IMATRIX_TYPE_NAMES)[number];

// The table of ggml's tensor types: id in the file, elements per block, bytes per block. Ids that ggml removed are unknown here too.

interface GgmlType {
  readonly id: number;
  /** Elements that share one block; a row is a whole number of blocks. */
  readonly blockElements: number;
  readonly blockBytes: number;
}

const type = (id: number, blockElements: number, blockBytes: number): GgmlType => ({ id, blockElements, blockBytes });

export const GGML_TYPES = {
  F32: type(0, 1, 4),
  F16: type(1, 1, 2),
  Q4_0: type(2, 32, 18),
  Q4_1: type(3, 32, 20),
  Q5_0: type(6, 32, 22),
  Q5_1: type(7, 32, 24),
  Q8_0: type(8, 32, 34),
  Q8_1: type(9, 32, 36),
  Q2_K: type(10, 256, 84),
  Q3_K: type(11, 256, 110),
  Q4_K: type(12, 256, 144),
  Q5_K: type(13, 256, 176),
  Q6_K: type(14, 256, 210),
  Q8_K: type(15, 256, 292),
  IQ2_XXS: type(16, 256, 66),
  IQ2_XS: type(17, 256, 74),
  IQ3_XXS: type(18, 256, 98),
  IQ1_S: type(19, 256, 50),
  IQ4_NL: type(20, 32, 18),
  IQ3_S: type(21, 256, 110),
  IQ2_S: type(22, 256, 82),
  IQ4_XS: type(23, 256, 136),
  I8: type(24, 1, 1),
  I16: type(25, 1, 2),
  I32: type(26, 1, 4),
  I64: type(27, 1, 8),
  F64: type(28, 1, 8),
  IQ1_M: type(29, 256, 56),
  BF16: type(30, 1, 2),
  TQ1_0: type(34, 256, 54),
  TQ2_0: type(35, 256, 66),
  MXFP4: type(39, 32, 17),
  NVFP4: type(40, 64, 36),
  Q1_0: type(41, 128, 18),
} as const satisfies Record<string, GgmlType>;

export type GgmlTypeName = keyof typeof GGML_TYPES;

const NAME_OF_ID = new Map<number, GgmlTypeName>(
  (Object.keys(GGML_TYPES) as GgmlTypeName[]).map((name) => [GGML_TYPES[name].id, name]),
);

/** The type with this id in the file, or undefined when ggml knows none. */
export function typeOfId(id: number): GgmlTypeName | undefined {
  return NAME_OF_ID.get(id);
}

/** Bytes of a tensor of this many elements, or undefined when they do not fill whole blocks. */
export function tensorBytes(name: GgmlTypeName, elements: number): number | undefined {
  const { blockElements, blockBytes } = GGML_TYPES[name];
  return elements % blockElements === 0 ? (elements / blockElements) * blockBytes : undefined;
}

// The tensor type that most of a file of each type has. Vectors and norms stay F32; in the mixtures (`_k_m`, `q3_k_m`, `q2_k`) some
// matrices are finer, and so is an output or tied embedding of every quantized file.

export const FILE_TYPES = {
  f32: "F32",
  f16: "F16",
  bf16: "BF16",
  q8_0: "Q8_0",
  q6_k: "Q6_K",
  q5_k_m: "Q5_K",
  q5_k_s: "Q5_K",
  q5_1: "Q5_1",
  q5_0: "Q5_0",
  q4_k_m: "Q4_K",
  q4_k_s: "Q4_K",
  q4_1: "Q4_1",
  q4_0: "Q4_0",
  iq4_nl: "IQ4_NL",
  iq4_xs: "IQ4_XS",
  q3_k_l: "Q3_K",
  q3_k_m: "Q3_K",
  q3_k_s: "Q3_K",
  q2_k: "Q2_K",
} as const satisfies Record<FileTypeName, GgmlTypeName>;

/** The type that most matrices have, rows of whole superblocks given; of mixtures the smaller one. */
export const VARIANT_TYPES = {
  ...FILE_TYPES,
  iq3_m: "IQ3_S",
  iq3_s: "IQ3_S",
  iq3_xs: "IQ3_XXS",
  iq3_xxs: "IQ3_XXS",
  q2_k_s: "Q2_K",
  iq2_m: "IQ2_S",
  iq2_s: "IQ2_XS",
  iq2_xs: "IQ2_XS",
  iq2_xxs: "IQ2_XXS",
} as const satisfies Record<VariantTypeName, GgmlTypeName>;

export function needsImatrix(name: VariantTypeName): boolean {
  return (IMATRIX_TYPE_NAMES as readonly string[]).includes(name);
}

/** llama.cpp's numbers in `general.file_type` of those mixtures that have their most frequent tensor type in common with another. */
const MIXTURE_IDS: Readonly<Partial<Record<FileTypeName, number>>> = {
  q2_k: 10,
  q3_k_s: 11,
  q3_k_m: 12,
  q3_k_l: 13,
  q4_k_s: 14,
  q4_k_m: 15,
  q5_k_s: 16,
  q5_k_m: 17,
};

/**
 * Whether a file is encoded so already.
 * @param most the tensor type that most of its weights have
 * @param fileType its `general.file_type`; where it does not say it, mixtures of one type cannot be told apart and count as the same
 */
export function isEncodedAs(name: FileTypeName, most: string, fileType: number | undefined): boolean {
  const id = MIXTURE_IDS[name];
  return most === FILE_TYPES[name] && (id === undefined || fileType === undefined || fileType === id);
}

// Half-precision floats: a table for reading them, rounding to nearest even for writing them.

/** The 65,536 half floats by bit pattern, as float32. */
export const HALF_TO_FLOAT: Float32Array = makeTable();

/** The little-endian half float at this byte, as float32. */
function halfAt(bytes: Uint8Array, at: number): number {
  return HALF_TO_FLOAT[(bytes[at] as number) | ((bytes[at + 1] as number) << 8)] as number;
}

/**
 * Rounds float32 values to half precision, ties to even, subnormals kept.
 * @returns index of the first value that half precision cannot hold (beyond ±65,504 after rounding, infinite or NaN), or -1
 */
export function floatsToHalves(values: Float32Array, halves: Uint16Array): number {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let index = 0; index < bits.length; index++) {
    const word = bits[index] as number;
    const sign = (word >>> 16) & 0x8000;
    const magnitude = word & 0x7fffffff;
    // 0x477ff000 is 65,520: halfway to the next half float, which would be infinity.
    if (magnitude >= 0x477ff000) return index;
    // 0x38800000 is 2^-14, the smallest normal half float; adding half a unit less one, and the odd bit, rounds ties to even.
    halves[index] =
      magnitude >= 0x38800000
        ? sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13)
        : sign | subnormalHalf(magnitude);
  }
  return -1;
}

/** The mantissa of a subnormal half: the value in units of 2^-24, rounded to nearest even. */
function subnormalHalf(magnitude: number): number {
  const shift = 126 - (magnitude >>> 23);
  // Below half a unit.
  if (shift > 24) return 0;
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const kept = mantissa >>> shift;
  const dropped = mantissa & ((1 << shift) - 1);
  const halfUnit = 1 << (shift - 1);
  return dropped > halfUnit || (dropped === halfUnit && (kept & 1) === 1) ? kept + 1 : kept;
}

function makeTable(): Float32Array {
  const table = new Float32Array(65_536);
  for (let half = 0; half < 65_536; half++) {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >>> 10) & 0x1f;
    const mantissa = half & 0x3ff;
    if (exponent === 0) table[half] = sign * mantissa * 2 ** -24;
    else if (exponent < 31) table[half] = sign * (1024 + mantissa) * 2 ** (exponent - 25);
    else table[half] = mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  }
  return table;
}

// The K-quants: superblocks of 256 weights whose sub-blocks have small integer scales. Layouts are those of ggml-quants.c.

/** 16 bytes of scale and minimum nibbles, 64 bytes of 2-bit weights, half scale, half minimum scale. Sub-blocks of 16. */
function dequantizeQ2K(bytes: Uint8Array, blocks: number, out: Float32Array): void {
  for (let block = 0, at = 0, o = 0; block < blocks; block++, at += 84, o += 256) {
    const d = halfAt(bytes, at + 80);
    const dmin = halfAt(bytes, at + 82);
    for (let sub = 0; sub < 16; sub++) {
      const packed = bytes[at + sub] as number;
      const scale = d * (packed & 15);
      const minimum = dmin * (packed >>> 4);
      const quants = at + 16 + 32 * (sub >>> 3) + 16 * (sub & 1);
      const shift = 2 * ((sub >>> 1) & 3);
      for (let i = 0; i < 16; i++) {
        out[o + 16 * sub + i] = scale * (((bytes[quants + i] as number) >>> shift) & 3) - minimum;
      }
    }
  }
}

/** 32 bytes of third bits, 64 bytes of low 2 bits, 12 bytes holding 16 six-bit scales, half scale. Sub-blocks of 16. */
function dequantizeQ3K(bytes: Uint8Array, blocks: number, out: Float32Array): void {
  for (let block = 0, at = 0, o = 0; block < blocks; block++, at += 110, o += 256) {
    const d = halfAt(bytes, at + 108);
    for (let sub = 0; sub < 16; sub++) {
      const low = ((bytes[at + 96 + (sub & 7)] as number) >>> (sub < 8 ? 0 : 4)) & 15;
      const high = ((bytes[at + 104 + (sub & 3)] as number) >>> (2 * (sub >>> 2))) & 3;
      const scale = d * ((low | (high << 4)) - 32);
      const quants = at + 32 + 32 * (sub >>> 3) + 16 * (sub & 1);
      const shift = 2 * ((sub >>> 1) & 3);
      const mask = 1 << (sub >>> 1);
      for (let i = 0; i < 16; i++) {
        const thirdBit = ((bytes[at + 16 * (sub & 1) + i] as number) & mask) === 0 ? 4 : 0;
        out[o + 16 * sub + i] = scale * ((((bytes[quants + i] as number) >>> shift) & 3) - thirdBit);
      }
    }
  }
}

/** half scale, half minimum scale, 12 bytes of scales and minima, 128 bytes of nibbles. Sub-blocks of 32. */
function dequantizeQ4K(bytes: Uint8Array, blocks: number, out: Float32Array): void {
  for (let block = 0, at = 0, o = 0; block < blocks; block++, at += 144, o += 256) {
    const d = halfAt(bytes, at);
    const dmin = halfAt(bytes, at + 2);
    for (let sub = 0; sub < 8; sub++) {
      const scale = d * scaleOf(bytes, at + 4, sub);
      const minimum = dmin * minimumOf(bytes, at + 4, sub);
      const quants = at + 16 + 32 * (sub >>> 1);
      const shift = 4 * (sub & 1);
      for (let i = 0; i < 32; i++) {
        out[o + 32 * sub + i] = scale * (((bytes[quants + i] as number) >>> shift) & 15) - minimum;
      }
    }
  }
}

/** As Q4_K with 32 bytes of fifth bits before the nibbles. */
function dequantizeQ5K(bytes: Uint8Array, blocks: number, out: Float32Array): void {
  for (let block = 0, at = 0, o = 0; block < blocks; block++, at += 176, o += 256) {
    const d = halfAt(bytes, at);
    const dmin = halfAt(bytes, at + 2);
    for (let sub = 0; sub < 8; sub++) {
      const scale = d * scaleOf(bytes, at + 4, sub);
      const minimum = dmin * minimumOf(bytes, at + 4, sub);
      const quants = at + 48 + 32 * (sub >>> 1);
      const shift = 4 * (sub & 1);
      for (let i = 0; i < 32; i++) {
        const fifthBit = ((bytes[at + 16 + i] as number) >>> sub) & 1;
        out[o + 32 * sub + i] = scale * ((((bytes[quants + i] as number) >>> shift) & 15) | (fifthBit << 4)) - minimum;
      }
    }
  }
}

/** 128 bytes of low nibbles, 64 bytes of high 2 bits, 16 signed scales, half scale. Sub-blocks of 16. */
function dequantizeQ6K(bytes: Uint8Array, blocks: number, out: Float32Array): void {
  for (let block = 0, at = 0, o = 0; block < blocks; block++, at += 210, o += 256) {
    const d = halfAt(bytes, at + 208);
    for (let sub = 0; sub < 16; sub++) {
      const scale = d * (((bytes[at + 192 + sub] as number) << 24) >> 24);
      const lowAt = at + 64 * (sub >>> 3) + 16 * (sub & 3);
      const lowShift = (sub & 4) === 0 ? 0 : 4;
      const highAt = at + 128 + 32 * (sub >>> 3) + 16 * (sub & 1);
      const highShift = 2 * ((sub >>> 1) & 3);
      for (let i = 0; i < 16; i++) {
        const low = ((bytes[lowAt + i] as number) >>> lowShift) & 15;
        const high = ((bytes[highAt + i] as number) >>> highShift) & 3;
        out[o + 16 * sub + i] = scale * ((low | (high << 4)) - 32);
      }
    }
  }
}

/** Six-bit scale of sub-block 0-7: the first four lie whole, the others are split between two bytes. */
function scaleOf(bytes: Uint8Array, at: number, sub: number): number {
  if (sub < 4) return (bytes[at + sub] as number) & 63;
  return ((bytes[at + 4 + sub] as number) & 15) | (((bytes[at + sub - 4] as number) >>> 6) << 4);
}

function minimumOf(bytes: Uint8Array, at: number, sub: number): number {
  if (sub < 4) return (bytes[at + 4 + sub] as number) & 63;
  return ((bytes[at + 4 + sub] as number) >>> 4) | (((bytes[at + sub] as number) >>> 6) << 4);
}

// Weights of a tensor as float32. Layouts are those of ggml-quants.c. No intermediate rounding is needed: a scale has 11 significant
// bits and its factors at most 14 more, so in double precision every product and sum is exact, and storing into the Float32Array
// rounds once, just where ggml's float32 arithmetic does (its products are exact in 24 bits but for Q6_K's last one, which it rounds).

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
  IQ4_NL: dequantizeIQ4NL,
  IQ4_XS: dequantizeIQ4XS,
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

/** The 16 levels of the IQ4 types. */
const IQ4_LEVELS = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

/** half scale, nibbles as Q4_0's, each the number of a level. */
function dequantizeIQ4NL(bytes: Uint8Array, blocks: number, out: Float32Array): void {
  for (let block = 0, at = 0, o = 0; block < blocks; block++, at += 18, o += 32) {
    const d = halfAt(bytes, at);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 2 + i] as number;
      out[o + i] = d * (IQ4_LEVELS[pair & 15] as number);
      out[o + 16 + i] = d * (IQ4_LEVELS[pair >>> 4] as number);
    }
  }
}

/** half scale, two high bits of each of 8 scales, 4 bytes of their low nibbles, 128 bytes of nibbles. Sub-blocks of 32. */
function dequantizeIQ4XS(bytes: Uint8Array, blocks: number, out: Float32Array): void {
  for (let block = 0, at = 0, o = 0; block < blocks; block++, at += 136, o += 256) {
    const d = halfAt(bytes, at);
    const high = (bytes[at + 2] as number) | ((bytes[at + 3] as number) << 8);
    for (let sub = 0; sub < 8; sub++) {
      const low = ((bytes[at + 4 + (sub >>> 1)] as number) >>> (4 * (sub & 1))) & 15;
      const scale = d * ((low | (((high >>> (2 * sub)) & 3) << 4)) - 32);
      for (let i = 0; i < 16; i++) {
        const pair = bytes[at + 8 + 16 * sub + i] as number;
        out[o + 32 * sub + i] = scale * (IQ4_LEVELS[pair & 15] as number);
        out[o + 32 * sub + 16 + i] = scale * (IQ4_LEVELS[pair >>> 4] as number);
      }
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

const FLOATS: readonly GgmlTypeName[] = ["F32", "F16", "BF16"];

export function holdsFloats(name: GgmlTypeName): boolean {
  return FLOATS.includes(name);
}
