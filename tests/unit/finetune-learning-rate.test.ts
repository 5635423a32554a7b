/** Rates of whole trainings, computed by hand; and the stated relation to transformers' schedules. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { learningRateAt, totalSteps } from "../../src/finetune/loop.js";

type Schedule = "constant" | "linear" | "cosine";
const rates = (schedule: Schedule, warmupShare: number, steps: number, learningRate = 1) =>
  Array.from({ length: steps }, (_, at) => learningRateAt({ learningRate, schedule, warmupShare }, at + 1, steps));
const close = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 12));

describe("learningRateAt", () => {
  test.each([
    // W = 2, S = 5: half, the peak at step 2, then down by quarters; 0 would be step 6.
    ["linear", 0.4, [1 / 2, 1, 3 / 4, 2 / 4, 1 / 4]],
    ["constant", 0.4, [1 / 2, 1, 1, 1, 1]],
    ["cosine", 0.4, [1 / 2, 1, (1 + Math.SQRT1_2) / 2, 1 / 2, (1 - Math.SQRT1_2) / 2]],
    // Without warm-up the first step is at the peak.
    ["linear", 0, [1, 4 / 5, 3 / 5, 2 / 5, 1 / 5]],
    ["constant", 0, [1, 1, 1, 1, 1]],
    // 0.1 of 5 steps rounds up to one, which is at the peak.
    ["linear", 0.1, [1, 4 / 5, 3 / 5, 2 / 5, 1 / 5]],
    ["linear", 1, [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1]],
  ] as const)("%s, warm-up %f, 5 steps", (schedule, warmupShare, expected) => {
    expect(rates(schedule, warmupShare, 5)).toEqual(close(expected));
    expect(rates(schedule, warmupShare, 5, 5e-4)).toEqual(close(expected.map((share) => share * 5e-4)));
  });

  test("a share that is whole in decimals is not rounded up by floating point", () => {
    // 0.07 · 100 = 7.000000000000001
    expect(rates("constant", 0.07, 100).indexOf(1) + 1).toBe(7);
    expect(rates("constant", 0.071, 100).indexOf(1) + 1).toBe(8);
  });

  test("rises to the peak, never reaches 0, and a single step is at the peak", () => {
    fc.assert(
      fc.property(
        fc.constantFrom<Schedule>("constant", "linear", "cosine"),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 1, max: 300 }),
        (schedule, warmupShare, steps) => {
          const all = rates(schedule, warmupShare, steps);
          const peak = all.indexOf(Math.max(...all));
          expect(all[peak]).toBe(1);
          expect(
            all.every(
              (rate, at) =>
                rate > 0 &&
                (at === 0 || (at <= peak ? rate >= (all[at - 1] as number) : rate <= (all[at - 1] as number))),
            ),
          ).toBe(true);
        },
      ),
    );
    expect(rates("linear", 0.1, 1)).toEqual([1]);
  });

  test("equals transformers' lr_lambda(step) with W and one step more, as documented", () => {
    // The formulas of optimization.py, k counted from 0: get_linear_… and get_cosine_schedule_with_warmup (half a cycle).
    const theirs = {
      linear: (k: number, warmup: number, steps: number) =>
        k < warmup ? k / Math.max(1, warmup) : Math.max(0, (steps - k) / Math.max(1, steps - warmup)),
      cosine: (k: number, warmup: number, steps: number) =>
        k < warmup
          ? k / Math.max(1, warmup)
          : Math.max(0, 0.5 * (1 + Math.cos((Math.PI * (k - warmup)) / Math.max(1, steps - warmup)))),
      constant: (k: number, warmup: number) => (k < warmup ? k / Math.max(1, warmup) : 1),
    };
    for (const schedule of ["linear", "cosine", "constant"] as const) {
      for (const [share, warmup] of [
        [0, 1],
        [0.1, 2],
        [0.5, 10],
      ] as const) {
        const expected = Array.from({ length: 20 }, (_, at) => theirs[schedule](at + 1, warmup, 21));
        expect(rates(schedule, share, 20)).toEqual(close(expected));
      }
    }
  });

  test.each([0, 6, 1.5, Number.NaN])("there is no step %d of 5", (step) => {
    expect(() => learningRateAt({ learningRate: 1, schedule: "linear", warmupShare: 0 }, step, 5)).toThrow(
      expect.objectContaining({ code: "INTERNAL" }),
    );
  });
});

test("totalSteps: batches of all epochs, the last of each maybe smaller, up to maxSteps", () => {
  expect(totalSteps({ epochs: 1, batchExamples: 16 }, 570)).toBe(36);
  expect(totalSteps({ epochs: 3, batchExamples: 16 }, 33)).toBe(9);
  expect(totalSteps({ epochs: 3, batchExamples: 16, maxSteps: 4 }, 33)).toBe(4);
  expect(totalSteps({ epochs: 3, batchExamples: 16, maxSteps: 40 }, 33)).toBe(9);
});
