/** The K-quants: superblocks of 256 weights whose sub-blocks have small integer scales. Layouts are those of ggml-quants.c. */
import { halfAt } from "./half.js";

/** 16 bytes of scale and minimum nibbles, 64 bytes of 2-bit weights, half scale, half minimum scale. Sub-blocks of 16. */
export function dequantizeQ2K(bytes: Uint8Array, blocks: number, out: Float32Array): void {
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
export function dequantizeQ3K(bytes: Uint8Array, blocks: number, out: Float32Array): void {
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
export function dequantizeQ4K(bytes: Uint8Array, blocks: number, out: Float32Array): void {
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
export function dequantizeQ5K(bytes: Uint8Array, blocks: number, out: Float32Array): void {
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
export function dequantizeQ6K(bytes: Uint8Array, blocks: number, out: Float32Array): void {
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
