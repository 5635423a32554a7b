import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { layersToDrop } from "../../src/model/model-shape.js";

describe("which layers go", () => {
  test.each([
    [30, 0.2, [12, 13, 14, 15, 16, 17]],
    [32, 0.25, [12, 13, 14, 15, 16, 17, 18, 19]],
    [5, 0.2, [2]],
    [4, 0.5, [1, 2]],
    [3, 0.3, [1]],
  ])("of %i layers, %f", (layers, share, expected) => {
    expect(layersToDrop(layers, share)).toEqual(expected);
  });

  test("as many as the share says, side by side in the middle, never the first or the last", () => {
    fc.assert(
      fc.property(fc.integer({ min: 3, max: 200 }), fc.double({ min: 0.001, max: 0.999 }), (layers, share) => {
        const count = Math.round(share * layers);
        fc.pre(count >= 1 && count <= layers - 2);
        const dropped = layersToDrop(layers, share);
        expect(dropped).toHaveLength(count);
        expect(dropped[0]).toBeGreaterThan(0);
        expect(dropped.at(-1)).toBeLessThan(layers - 1);
        expect(dropped).toEqual(dropped.map((_, at) => (dropped[0] as number) + at));
        const [before, after] = [dropped[0] as number, layers - 1 - (dropped.at(-1) as number)];
        expect(Math.abs(before - after)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test.each([
    [30, 0.01, /dropLayers 0\.01 of 30 layers are 0, which is none/],
    [4, 0.75, /are 3, and the first and the last are never removed/],
    [2, 0.5, /are 1, and/],
    [1, 0.9, /are 1, and/],
  ])("of %i layers, %f is refused", (layers, share, message) => {
    expect(() => layersToDrop(layers, share)).toThrow(
      expect.objectContaining({ code: "STUDY_INVALID", message: expect.stringMatching(message) }),
    );
  });
});
