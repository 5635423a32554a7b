/** The short way through ASCII, and the first few, give what the segmenter gives. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { firstGraphemes, graphemes, settledCharacters } from "../../src/properties/text.js";

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

test("the first few are those of the whole text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.nat(4), (text, count) => {
      expect(firstGraphemes(text, count)).toEqual(segmented(text).slice(0, count));
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.nat(4), (text, count) => {
      expect(firstGraphemes(text, count)).toEqual(segmented(text).slice(0, count));
    }),
  );
  expect(firstGraphemes("ae\u0301", 2)).toEqual(["a", "e\u0301"]);
  expect(firstGraphemes("e\u0301a\r\nb", 3)).toEqual(["e\u0301", "a", "\r\n"]);
  expect(firstGraphemes("", 3)).toEqual([]);
});

test("settled is all but the last, unless a sign ends it", () => {
  const pieces = ["a", "\r", "\n", "\u0301", "\u200d", "👩", "🏽", "🇩", "🇪", "क", "्", "ष", "한", "ᄀ", "ᅡ", "!", " "];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces)), (some) => {
      const text = some.join("");
      const isSettled = /[!-~]\s*$/u.test(text);
      expect(settledCharacters(text)).toBe(isSettled ? text : segmented(text).slice(0, -1).join(""));
    }),
    { numRuns: 1000 },
  );
});
