/** Half-precision floats: a table for reading them, rounding to nearest even for writing them. */

/** The 65,536 half floats by bit pattern, as float32. */
export const HALF_TO_FLOAT: Float32Array = makeTable();

/** The little-endian half float at this byte, as float32. */
export function halfAt(bytes: Uint8Array, at: number): number {
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
