/** The normal form, row by row. */
import { expect, test } from "vitest";
import { normalize, normalizeCharacters } from "../../src/properties/text.js";

test.each([
  ["hello,", "hello"],
  ["Hello", "hello"],
  ['"Hello,"', "hello"],
  ['"Hello', "hello"],
  ["`code`", "code"],
  ["\u201cEnd.\u201d", "end"],
  ["\u00abOui\u00bb !", "oui"],
  ["Really?!", "really"],
  ["wait\u2026", "wait"],
  ["  two \n\t words  ", "two words"],
  ["don't", "don't"],
  ["3.5", "3.5"],
  ["-3", "-3"],
  ["(A)", "(a)"],
  ["well-known.", "well-known"],
  [".", "."],
  ["...", "."],
  ['"', '"'],
  ['"."', "."],
  ["?", "?"],
  ["", ""],
  [" \n", ""],
  ["E\u0301TE\u0301", "\u00e9t\u00e9"],
  ["I", "i"],
  ["\u212a", "k"],
  ["\u{1F469}\u200d\u{1F469}\u200d\u{1F467}!", "\u{1F469}\u200d\u{1F469}\u200d\u{1F467}"],
])("normalize(%j) is %j", (text, expected) => {
  expect(normalize(text)).toBe(expected);
});

test.each([
  ["1.", "1."],
  ['"H', '"h'],
  ["A ", "a\u2423"],
  ["\n", "\u2423"],
  ["E\u0301", "\u00e9"],
])("normalizeCharacters(%j) is %j", (text, expected) => {
  expect(normalizeCharacters(text)).toBe(expected);
});
