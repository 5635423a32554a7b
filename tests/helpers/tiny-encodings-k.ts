/** Plain encoders of three K-quants: superblocks of 256 weights whose sub-blocks have small integer scales. */
import { floatsToHalves, HALF_TO_FLOAT } from "../../src/gguf/encodings.js";

/** half scale, half minimum scale, 12 bytes of scales and minima, 128 bytes of nibbles. Sub-blocks of 32. */
export function encodeQ4KBlock(block: Float32Array, out: Uint8Array): void {
  const quants = encodeScalesAndMinima(block, out, 15);
  setNibbles(quants, out.subarray(16));
}

/** As Q4_K with 32 bytes of fifth bits before the nibbles: bit s of byte i belongs to weight i of sub-block s. */
export function encodeQ5KBlock(block: Float32Array, out: Uint8Array): void {
  const quants = encodeScalesAndMinima(block, out, 31);
  for (const [index, quant] of quants.entries()) {
    const at = 16 + (index & 31);
    out[at] = (out[at] as number) | ((quant >>> 4) << (index >>> 5));
  }
  setNibbles(quants, out.subarray(48));
}

/** 128 bytes of low nibbles, 64 bytes of high 2 bits, 16 signed scales, half scale. Sub-blocks of 16, offset by 32. */
export function encodeQ6KBlock(block: Float32Array, out: Uint8Array): void {
  const wanted = Array.from({ length: 16 }, (_, sub) => {
    const part = block.subarray(16 * sub, 16 * sub + 16);
    return Math.max(...part.map(Math.abs)) / 31;
  });
  const unit = setHalf(out, 208, Math.max(...wanted) / 127);
  for (let sub = 0; sub < 16; sub++) {
    const scale = unit === 0 ? 0 : Math.min(127, Math.round((wanted[sub] as number) / unit));
    out[192 + sub] = scale;
    for (let i = 0; i < 16; i++) {
      const steps = scale === 0 ? 0 : Math.round((block[16 * sub + i] as number) / (unit * scale));
      const quant = Math.min(63, Math.max(0, steps + 32));
      const low = 64 * (sub >>> 3) + 16 * (sub & 3) + i;
      const high = 128 + 32 * (sub >>> 3) + 16 * (sub & 1) + i;
      out[low] = (out[low] as number) | ((quant & 15) << ((sub & 4) === 0 ? 0 : 4));
      out[high] = (out[high] as number) | ((quant >>> 4) << (2 * ((sub >>> 1) & 3)));
    }
  }
}

/** Fills the first 16 bytes of a Q4_K or Q5_K block. @returns the 256 quants, 0 to `greatest` */
function encodeScalesAndMinima(block: Float32Array, out: Uint8Array, greatest: 15 | 31): number[] {
  const parts = Array.from({ length: 8 }, (_, sub) => block.subarray(32 * sub, 32 * sub + 32));
  // What is subtracted is never negative, so a sub-block of positive weights begins at 0.
  const depths = parts.map((part) => Math.max(0, -Math.min(...part)));
  const widths = parts.map((part, sub) => Math.max(0, Math.max(...part) + (depths[sub] as number)) / greatest);
  const scaleUnit = setHalf(out, 0, Math.max(...widths) / 63);
  const minimumUnit = setHalf(out, 2, Math.max(...depths) / 63);
  return parts.flatMap((part, sub) => {
    const scale = scaleUnit === 0 ? 0 : Math.min(63, Math.round((widths[sub] as number) / scaleUnit));
    const minimum = minimumUnit === 0 ? 0 : Math.min(63, Math.round((depths[sub] as number) / minimumUnit));
    setScaleAndMinimum(out.subarray(4, 16), sub, scale, minimum);
    return Array.from(part, (value) => {
      const steps = scale === 0 ? 0 : Math.round((value + minimumUnit * minimum) / (scaleUnit * scale));
      return Math.min(greatest, Math.max(0, steps));
    });
  });
}

/** Six bits each: sub-blocks 0-3 lie whole, of 4-7 the low nibbles share a byte and the high bits stand above those of 0-3. */
function setScaleAndMinimum(out: Uint8Array, sub: number, scale: number, minimum: number): void {
  if (sub < 4) {
    out[sub] = scale;
    out[4 + sub] = minimum;
    return;
  }
  out[4 + sub] = (scale & 15) | ((minimum & 15) << 4);
  out[sub - 4] = (out[sub - 4] as number) | ((scale >>> 4) << 6);
  out[sub] = (out[sub] as number) | ((minimum >>> 4) << 6);
}

/** Per pair of sub-blocks 32 bytes: the even one's weights in the low nibbles, the odd one's in the high ones. */
function setNibbles(quants: readonly number[], out: Uint8Array): void {
  for (const [index, quant] of quants.entries()) {
    const at = 32 * (index >>> 6) + (index & 31);
    out[at] = (out[at] as number) | ((quant & 15) << (4 * ((index >>> 5) & 1)));
  }
}

/** @returns the value as half precision holds it */
function setHalf(out: Uint8Array, at: number, value: number): number {
  const half = new Uint16Array(1);
  if (floatsToHalves(Float32Array.of(value), half) !== -1)
    throw new Error(`a scale of ${value} is beyond half precision`);
  out.set(new Uint8Array(half.buffer), at);
  return HALF_TO_FLOAT[half[0] as number] as number;
}
