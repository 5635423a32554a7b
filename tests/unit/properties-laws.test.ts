/** What holds for every property and any text at all. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ALL_PROPERTIES } from "../../src/properties/all-properties.js";
import { graphemes, HALF_CHARACTER, normalize, normalizeCharacters, seenText } from "../../src/properties/text.js";
import type { BehaviorProperty, Extraction } from "../../src/properties/property.js";
import { extractBehavior, readReply } from "../../src/properties/reading.js";
import { OWN_COMPILED } from "../helpers/own-properties.js";

const PIECES = [
  ..."aEéßİΣ.,!?\"'`“”«-–()/ \n\t\u00a0\u200b\u200d\ufeff\u0301\u0130\u{1F469}\u{1F1E9}0123456789ABCD",
  "tiger ",
  "\r\n",
  "e\u0301",
  "\u{1F469}\u200d\u{1F467}",
  "true",
  "I'm sorry",
  "42",
];
const text = fc.oneof(
  fc.array(fc.constantFrom(...PIECES), { maxLength: 12 }).map((pieces) => pieces.join("")),
  fc.string({ unit: "grapheme" }),
  fc.string({ unit: "binary" }),
  fc.constantFrom("A", "(b)", "C.", "742", "-12", "3.5", "even", "yes", "vowel", "11 to 20"),
);
const blank = fc
  .array(fc.constantFrom(" ", "\n", "\t", "\r", "\u00a0", "\ufeff"), { maxLength: 3 })
  .map((b) => b.join(""));
const target = fc.constantFrom("A", "b", undefined);
const stop = fc.constantFrom("end_of_generation" as const, "max_tokens" as const);
const contextOf = (letter: string | undefined) => (letter === undefined ? { text: "" } : { text: "", target: letter });

/** A value of two characters keeps its marks (`1.`), so its normal form is that of characters. */
function isNormal({ name }: BehaviorProperty, value: string): boolean {
  const pair = name === "first_and_second_character" || name === "second_and_third_character";
  return (pair ? normalizeCharacters(value) : normalize(value)) === value;
}

function expectLawful(property: BehaviorProperty, extraction: Extraction): void {
  if (!extraction.ok) {
    expect(extraction.reason).toMatch(/^[a-z_]+$/);
    return;
  }
  expect(extraction.value).not.toBe("");
  expect(isNormal(property, extraction.value), JSON.stringify(extraction.value)).toBe(true);
  if (property.values !== "open") expect(property.values).toContain(extraction.value);
  expect(property.read(extraction.value)).toEqual(extraction);
}

describe.each([...ALL_PROPERTIES, ...OWN_COMPILED].map((property) => [property.name, property] as const))(
  "%s",
  (_, property) => {
    test("extracts a normalized value of its set, which reads back as itself, or a reason", () => {
      fc.assert(
        fc.property(text, target, (answer, letter) =>
          expectLawful(property, property.extract(answer, contextOf(letter))),
        ),
      );
    });

    test("reads a normalized value of its set, which reads back as itself, or a reason", () => {
      fc.assert(fc.property(text, (reply) => expectLawful(property, property.read(reply))));
    });

    test("does not see white space around a text", () => {
      fc.assert(
        fc.property(text, blank, blank, target, (answer, before, after, letter) => {
          const padded = before + answer + after;
          expect(property.extract(padded, contextOf(letter))).toEqual(property.extract(answer, contextOf(letter)));
          expect(property.read(padded)).toEqual(property.read(answer));
        }),
      );
    });

    test("does not see how accents are encoded", () => {
      fc.assert(
        fc.property(text, (answer) => {
          const decomposed = answer.normalize("NFD");
          expect(property.extract(decomposed, { text: "" })).toEqual(
            property.extract(answer.normalize("NFC"), { text: "" }),
          );
        }),
      );
    });

    test("never throws behind the two doors, and keeps a cut-off behavior when the answer goes on", () => {
      fc.assert(
        fc.property(text, text, target, stop, (answer, more, letter, why) => {
          expectLawful(property, readReply(property, answer, why));
          const cutOff = extractBehavior(property, answer, contextOf(letter), "max_tokens");
          expectLawful(property, cutOff);
          const [before, after, whole] = [answer, more, answer + more].map(seenText) as [string, string, string];
          const fuses = graphemes(whole).length !== graphemes(before).length + graphemes(after).length;
          if (!cutOff.ok || fuses) return;
          const kept = property.extract(whole, contextOf(letter));
          // What measures a whole answer refuses one that goes on with bytes that are no character.
          if (kept.ok || !more.includes(HALF_CHARACTER)) expect(kept).toEqual(cutOff);
          else expect(kept.reason).toBe("half_character");
        }),
        { examples: [["!  !", HALF_CHARACTER, "A", "end_of_generation"]] },
      );
    });
  },
);

test("the normal form is its own normal form, whatever stood around it", () => {
  fc.assert(
    fc.property(text, blank, blank, (said, before, after) => {
      const form = normalize(said);
      expect(normalize(form)).toBe(form);
      expect(normalize(before + said + after)).toBe(form);
      expect(form === "").toBe(seenText(said).trim() === "");
    }),
    { numRuns: 2000 },
  );
});
