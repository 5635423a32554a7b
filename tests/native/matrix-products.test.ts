/**
 * The trainer's products of matrices beside sums in double precision, by every kind of kernels that this processor has. Every
 * element is a sum of k products in single precision, whose error is at most k / 2^24 times the sum of the products' sizes
 * (Higham, Accuracy and Stability of Numerical Algorithms, 3.1); blocks of 256 make it far less.
 */
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { describe, expect, test } from "vitest";
import type { NativeProduct } from "../../native/index.js";
import { findBinaries, loadAddon } from "../../src/model/native/addon.js";

const { multiply } = await loadAddon(findBinaries("cpu").folder);
const KERNELS = ["avx512", "avx2", "plain"] as const;
const EMPTY = new Float32Array(0);
const here = KERNELS.filter((kernels) => {
  try {
    return multiply({ m: 0, n: 0, k: 0, a: EMPTY, b: EMPTY, c: EMPTY, factor: 1 }, kernels).length === 0;
  } catch {
    return false;
  }
});

function floats(count: number, seed: number): Float32Array {
  const random = xoroshiro128plus(seed);
  return Float32Array.from({ length: count }, () => random.next() / 2 ** 31);
}

function product(m: number, n: number, k: number, more: Partial<NativeProduct> = {}): NativeProduct {
  return { m, n, k, a: floats(m * k, 1), b: floats(k * n, 2), c: floats(m * n, 3), factor: 1, ...more };
}

/** The exact product's elements, and what each may be off by. */
function exact({ m, n, k, a, b, c, factor, turnA, turnB, add }: NativeProduct) {
  const values = new Float64Array(m * n);
  const sizes = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = add ? (c[i * n + j] as number) : 0;
      let size = Math.abs(sum);
      for (let l = 0; l < k; l++) {
        const one =
          factor * (a[turnA ? l * m + i : i * k + l] as number) * (b[turnB ? j * k + l : l * n + j] as number);
        sum += one;
        size += Math.abs(one);
      }
      values[i * n + j] = sum;
      sizes[i * n + j] = size;
    }
  }
  return { values, sizes };
}

/** The worst error in parts of the bound: k + 2 roundings, of the factor and the last addition too. */
function worst(one: NativeProduct, kernels: (typeof KERNELS)[number]): number {
  const { values, sizes } = exact(one);
  const found = multiply(one, kernels);
  expect(found).toHaveLength(values.length);
  return values.reduce((most, value, at) => {
    const bound = ((one.k + 2) * (sizes[at] as number)) / 2 ** 24;
    return Math.max(
      most,
      bound === 0 ? Math.abs(found[at] as number) : Math.abs((found[at] as number) - value) / bound,
    );
  }, 0);
}

const SIZES = [
  [1, 1, 1],
  [1, 16, 5],
  [3, 17, 7],
  [5, 33, 256],
  [11, 15, 257],
  [12, 32, 64],
  [13, 47, 259],
  [25, 16, 3],
  [48, 31, 130],
  [17, 100, 515],
  [529, 19, 6],
] as const;

test("this processor has more kernels than the plain ones", () => {
  expect(here).toContain("plain");
  if (process.arch === "x64") expect(here.length).toBeGreaterThan(1);
});

describe.each(here)("%s", (kernels) => {
  test.each(SIZES)("%d x %d, sums of %d, whichever are turned, added or multiplied by a factor", (m, n, k) => {
    for (const turnA of [false, true]) {
      for (const turnB of [false, true]) {
        expect(worst(product(m, n, k, { turnA, turnB }), kernels)).toBeLessThan(1);
        expect(worst(product(m, n, k, { turnA, turnB, add: true, factor: -1.7 }), kernels)).toBeLessThan(1);
      }
    }
  });

  test("an empty sum is zero, or what it is added to", () => {
    const one = product(3, 5, 0);
    expect(multiply(one, kernels)).toEqual(new Float32Array(15));
    expect(multiply({ ...one, add: true }, kernels)).toEqual(one.c);
  });

  test("an element does not depend on what is computed with it: bit for bit", () => {
    const [m, n, k] = [61, 75, 300];
    const whole = product(m, n, k, { turnB: true });
    const all = multiply(whole, kernels);
    // Rows and columns from places that no tile and no panel begins at.
    for (const [row, rows, column, columns] of [
      [7, 20, 5, 1],
      [0, 61, 30, 45],
      [60, 1, 74, 1],
    ] as const) {
      const part = multiply(
        {
          ...whole,
          m: rows,
          n: columns,
          a: whole.a.slice(row * k, (row + rows) * k),
          b: whole.b.slice(column * k, (column + columns) * k),
          c: new Float32Array(rows * columns),
        },
        kernels,
      );
      part.forEach((value, at) => {
        const [i, j] = [row + Math.floor(at / columns), column + (at % columns)];
        expect(value).toBe(all[i * n + j]);
      });
    }
  });

  test("what is no number stays where it belongs", () => {
    const one = product(20, 40, 30, { turnB: true });
    one.a[3 * 30 + 4] = Number.NaN;
    one.b[9 * 30 + 8] = Number.POSITIVE_INFINITY;
    multiply(one, kernels).forEach((value, at) => {
      const touched = Math.floor(at / 40) === 3 || at % 40 === 9;
      expect(Number.isFinite(value)).toBe(!touched);
    });
  });
});

test("matrices that are not as large as said, and kernels that are not there, are refused", () => {
  expect(() => multiply({ ...product(2, 2, 2), m: 3 }, "plain")).toThrow(
    expect.objectContaining({ code: "TRAIN_SHAPE" }),
  );
  expect(() => multiply(product(2, 2, 2), "sse" as "plain")).toThrow(expect.objectContaining({ code: "TRAIN_DEVICE" }));
});
