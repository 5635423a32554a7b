/** The short way through ASCII gives what the segmenter gives. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { graphemes } from "../../src/properties/text.js";

const segmented = (text: string) =>
  Array.from(new Intl.Segmenter("und", { granularity: "grapheme" }).segment(text), ({ segment }) => segment);

test("ASCII with its control characters, CR LF included", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary-ascii" }), (text) => {
      expect(graphemes(text)).toEqual(segmented(text));
    }),
  );
  expect(graphemes("a\r\nb")).toEqual(["a", "\r\n", "b"]);
});

test("any text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      expect(graphemes(text)).toEqual(segmented(text));
    }),
  );
  expect(graphemes("e\u0301a")).toEqual(["e\u0301", "a"]);
});
