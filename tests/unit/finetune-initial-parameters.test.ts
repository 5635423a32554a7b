import { describe, expect, test } from "vitest";
import { initialParameters } from "../../src/finetune/initial-adapter.js";

const A = { name: "blk.0.attn_q.weight.lora_a", dimensions: [64, 16], offset: 0 } as const;
const B = { name: "blk.0.attn_q.weight.lora_b", dimensions: [16, 32], offset: 1024 } as const;
const NEXT = { name: "blk.1.attn_q.weight.lora_a", dimensions: [64, 16], offset: 1536 } as const;
const TENSORS = [A, B, NEXT];
const make = (seed: number) => initialParameters(TENSORS, 2560, seed);

describe("initialParameters", () => {
  test("A is uniform within ±1/√in, B is zero", () => {
    const values = make(3);
    const [a, b] = [values.subarray(0, 1024), values.subarray(1024, 1536)];
    expect(b.every((value) => value === 0)).toBe(true);
    expect(a.every((value) => Math.abs(value) < 1 / 8)).toBe(true);
    // Of 1,024 values per eighth of the range 128, standard deviation 11.
    const eighths = Array<number>(8).fill(0);
    for (const value of a)
      eighths[Math.floor((value + 1 / 8) * 32)] = (eighths[Math.floor((value + 1 / 8) * 32)] ?? 0) + 1;
    expect(eighths.every((count) => count > 80 && count < 176) && eighths.length).toBe(8);
    // Uniform on ±1/8: mean 0 ± 0.0023, variance 1/192.
    const mean = a.reduce((sum, value) => sum + value, 0) / a.length;
    expect(Math.abs(mean)).toBeLessThan(0.01);
    expect(a.reduce((sum, value) => sum + value * value, 0) / a.length).toBeCloseTo(1 / 192, 3);
  });

  test("seed and name decide, neither order nor place", () => {
    const values = make(3);
    expect(make(3)).toEqual(values);
    expect(make(4).subarray(0, 1024)).not.toEqual(values.subarray(0, 1024));
    expect(values.subarray(1536, 2560)).not.toEqual(values.subarray(0, 1024));
    const moved = initialParameters(
      [
        { ...NEXT, offset: 0 },
        { ...A, offset: 1024 },
      ],
      2048,
      3,
    );
    expect(moved.subarray(1024)).toEqual(values.subarray(0, 1024));
    expect(moved.subarray(0, 1024)).toEqual(values.subarray(1536));
  });

  test.each([
    { ...A, name: "blk.0.attn_q.weight" },
    { ...A, offset: 1 },
    { ...A, offset: -1 },
  ])("a tensor that cannot be is refused: $name at $offset", (tensor) => {
    expect(() => initialParameters([tensor], 1024, 0)).toThrow(expect.objectContaining({ code: "TRAIN_SHAPE" }));
  });
});
