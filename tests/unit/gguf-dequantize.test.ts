/** Decoded weights and half-precision rounding against numbers of an independent implementation (tests/fixtures/gguf). */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { dequantize, floatsToHalves, GGML_TYPES, type GgmlTypeName, HALF_TO_FLOAT } from "../../src/gguf/encodings.js";

interface Fixture {
  readonly types: Readonly<Record<string, { readonly bytes: string; readonly weights: string }>>;
  readonly rounding: { readonly floats: string; readonly halves: string };
}

const fixture = JSON.parse(
  readFileSync(new URL("../fixtures/gguf/dequantize.json", import.meta.url), "utf8"),
) as Fixture;

/** In an ArrayBuffer of their own, so that they can be viewed as wider numbers. */
const decode = (base64: string) => Uint8Array.from(Buffer.from(base64, "base64"));

function roundOne(value: number): number | "refused" {
  const half = new Uint16Array(1);
  return floatsToHalves(Float32Array.of(value), half) === -1 ? (half[0] as number) : "refused";
}

describe("dequantize", () => {
  test.each(Object.keys(fixture.types))("%s: every bit as gguf-py has it", (name) => {
    const entry = fixture.types[name] as { bytes: string; weights: string };
    const expected = new Uint32Array(decode(entry.weights).buffer);
    const weights = dequantize(name as GgmlTypeName, decode(entry.bytes), expected.length);
    expect([...new Uint32Array(weights.buffer, 0, weights.length)]).toEqual([...expected]);
  });

  test.each(["IQ3_S", "TQ1_0", "Q8_K", "I32", "MXFP4"] as const)("%s is refused, not guessed", (name) => {
    const { blockElements, blockBytes } = GGML_TYPES[name];
    const act = () => dequantize(name, new Uint8Array(blockBytes), blockElements);
    expect(act).toThrow(expect.objectContaining({ code: "MODEL_TENSOR_TYPE", message: expect.stringContaining(name) }));
  });

  test("bytes that are not the weights' number are refused", () => {
    const act = () => dequantize("Q4_1", new Uint8Array(39), 64);
    expect(act).toThrow(expect.objectContaining({ code: "INTERNAL" }));
  });
});

describe("floatsToHalves", () => {
  test("rounds as numpy does, ties and subnormals included", () => {
    const floats = new Float32Array(decode(fixture.rounding.floats).buffer);
    const expected = new Uint16Array(decode(fixture.rounding.halves).buffer);
    const halves = new Uint16Array(floats.length);
    expect(floatsToHalves(floats, halves)).toBe(-1);
    expect([...halves]).toEqual([...expected]);
  });

  test.each([
    [0, 0x0000],
    [-0, 0x8000],
    [1, 0x3c00],
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
    [1 + 2 ** -11 + 2 ** -20, 0x3c01],
    [2 - 2 ** -12, 0x4000],
    [65504, 0x7bff],
    [65519.99, 0x7bff],
    [-65519.99, 0xfbff],
    [2 ** -14, 0x0400],
    [2 ** -14 - 2 ** -26, 0x0400],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000],
    [2 ** -25 + 2 ** -40, 0x0001],
    [3 * 2 ** -25, 0x0002],
    [1e-45, 0x0000],
    [-1e-45, 0x8000],
  ])("%d is 0x%s", (value, half) => {
    expect(roundOne(value)).toBe(half);
  });

  test.each([65520, -65520, 1e30, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN])(
    "%d is refused",
    (value) => {
      expect(roundOne(value)).toBe("refused");
    },
  );

  test("names the first value that does not fit", () => {
    expect(floatsToHalves(Float32Array.of(1, 2, 1e6, 1e7), new Uint16Array(4))).toBe(2);
  });

  test("every finite half float comes back as itself", () => {
    for (let half = 0; half < 65_536; half++) {
      if ((half & 0x7c00) === 0x7c00) continue;
      if (roundOne(HALF_TO_FLOAT[half] as number) !== half) expect.fail(`half 0x${half.toString(16)}`);
    }
  });

  test("no half float is nearer than the one chosen", () => {
    fc.assert(
      fc.property(fc.float({ min: -65504, max: 65504, noNaN: true }), (value) => {
        const half = roundOne(value) as number;
        const distance = Math.abs((HALF_TO_FLOAT[half] as number) - value);
        for (const other of [half - 1, half + 1]) {
          if (other >= 0 && other < 65_536 && (other & 0x7c00) !== 0x7c00) {
            expect(distance).toBeLessThanOrEqual(Math.abs((HALF_TO_FLOAT[other] as number) - value));
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});
