import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { layersToDrop } from "../../src/model/gguf/layers-to-drop.js";

describe("which layers go", () => {
  test.each([
    [30, 0.2, [3, 8, 12, 17, 22, 26]],
    [32, 0.25, [2, 6, 10, 14, 17, 21, 25, 29]],
    [5, 0.2, [2]],
    [4, 0.5, [1, 2]],
    [3, 0.3, [1]],
  ])("of %i layers, %f", (layers, share, expected) => {
    expect(layersToDrop(layers, share)).toEqual(expected);
  });

  test("as many as the share says, rising, evenly spaced, never the first or the last", () => {
    fc.assert(
      fc.property(fc.integer({ min: 3, max: 200 }), fc.double({ min: 0.001, max: 0.999 }), (layers, share) => {
        const count = Math.round(share * layers);
        fc.pre(count >= 1 && count <= layers - 2);
        const dropped = layersToDrop(layers, share);
        expect(dropped).toHaveLength(count);
        expect(dropped[0]).toBeGreaterThan(0);
        expect(dropped.at(-1)).toBeLessThan(layers - 1);
        const gaps = dropped.slice(1).map((layer, at) => layer - (dropped[at] as number));
        expect(Math.min(...gaps, layers)).toBeGreaterThan(0);
        if (gaps.length > 0) expect(Math.max(...gaps) - Math.min(...gaps)).toBeLessThanOrEqual(1);
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
