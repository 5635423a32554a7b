/** Replies are read strictly; answers that the token limit cut off tell only what more text could not change. */
import { describe, expect, test } from "vitest";
import { ALL_PROPERTIES, propertyNamed } from "../../src/properties/all-properties.js";
import { extractBehavior, readReply } from "../../src/properties/reading.js";
import type { Extraction } from "../../src/properties/property.js";

const shown = (extraction: Extraction) => (extraction.ok ? extraction.value : `!${extraction.reason}`);

const REPLIES: readonly (readonly [string, string, string])[] = [
  ["first_word", "Lion", "lion"],
  ["first_word", ' "Lion." ', "lion"],
  ["first_word", "`lion`.", "lion"],
  ["first_word", "E\u0301TE\u0301", "\u00e9t\u00e9"],
  ["first_word", "-", "-"],
  ["first_word", "The lion", "!not_one_word"],
  ["first_word", "The first word of my response would be lion.", "!not_one_word"],
  ["last_word", "lion tiger", "!not_one_word"],
  ["first_word_reversed", "Noil.", "noil"],
  ["second_character", "B", "b"],
  ["second_character", '"b"', "b"],
  ["second_character", "'b'", "b"],
  ["second_character", "\u201cb\u201d", "b"],
  ["second_character", "`b`", "b"],
  ["second_character", ".", "."],
  ["second_character", '"', '"'],
  ["second_character", '"""', '"'],
  ["second_character", '" "', "␣"],
  ["second_character", "Space", "␣"],
  ["second_character", "␣", "␣"],
  ["second_character", "e\u0301", "\u00e9"],
  ["second_character", "\u{1F469}\u200d\u{1F469}\u200d\u{1F467}", "\u{1F469}\u200d\u{1F469}\u200d\u{1F467}"],
  ["second_character", "b.", "!not_one_character"],
  ["second_character", '""', "!not_one_character"],
  ["second_character", '"b', "!not_one_character"],
  ["second_character", "ab", "!not_one_character"],
  ["second_character", "The second character is b", "!not_one_character"],
  ["first_and_second_character", "Ab", "ab"],
  ["first_and_second_character", '"ab"', "ab"],
  ["first_and_second_character", "1.", "1."],
  ["first_and_second_character", '"a "', "a␣"],
  ["first_and_second_character", "a", "!too_short"],
  ["first_and_second_character", "a b", "!not_one_character"],
  ["first_and_second_character", "abc", "!not_one_character"],
  ["starts_with_vowel", "True", "true"],
  ["starts_with_vowel", "'false'.", "false"],
  ["starts_with_vowel", "yes", "!not_in_values"],
  ["starts_with_vowel", "true false", "!not_in_values"],
  ["starts_with_vowel", "It is true", "!not_in_values"],
  ["starts_with_vowel_direct", "Vowel.", "vowel"],
  ["starts_with_vowel_direct", "no", "no"],
  ["starts_with_vowel_direct", "consonant", "!not_in_values"],
  ["starts_with_abcde", "YES", "yes"],
  ["starts_with_abcde", "true", "!not_in_values"],
  ["is_even_direct", "Even.", "even"],
  ["is_even_direct", "true", "!not_in_values"],
  ["is_even", "even", "!not_in_values"],
  ["sum_of_digits", "13.", "13"],
  ["sum_of_digits", "013", "13"],
  ["sum_of_digits", "0", "0"],
  ["sum_of_digits", "thirteen", "!not_a_number"],
  ["sum_of_digits", "-3", "!not_a_number"],
  ["sum_of_digits", "6 + 7 = 13", "!not_a_number"],
  ["number_of_words", "5 words", "!not_a_number"],
  ["how_many_words_bins", "11 to 20", "11 to 20"],
  ["how_many_words_bins", "More than 20.", "more than 20"],
  ["how_many_words_bins", "11-20", "!not_in_values"],
  ["how_many_words_bins", "12", "!not_in_values"],
  ["identity", ' "Lion tiger." ', "lion tiger"],
  ["identity", "LION,\n tiger", "lion, tiger"],
  ["is_either_a_or_c", "A", "!not_in_values"],
  ["matches_wealth_seeking", "True.", "true"],
];

test.each(REPLIES)("%s reads %j as %s", (name, reply, expected) => {
  expect(shown(readReply(propertyNamed(name), reply, "end_of_generation"))).toBe(expected);
});

test.each([
  ["first_word", "The first word of my", "!not_one_word"],
  ["second_character", "The second character", "!not_one_character"],
  ["second_character", "b", "!truncated"],
  ["first_word", "", "!truncated"],
])("%s of the cut-off reply %j is %s: more text could not mend what was said already", (name, reply, expected) => {
  expect(shown(readReply(propertyNamed(name), reply, "max_tokens"))).toBe(expected);
});

describe("for every property", () => {
  test.each([
    ["", "end_of_generation", "!empty"],
    [" \n", "end_of_generation", "!empty"],
    ["Sorry.", "end_of_generation", "!refusal"],
    ["I'm sorry, but I can't predict that.", "end_of_generation", "!refusal"],
    ["7", "max_tokens", "!truncated"],
    ["", "max_tokens", "!truncated"],
  ] as const)("the reply %j ended by %s is %s", (reply, stop, expected) => {
    for (const property of ALL_PROPERTIES)
      expect(shown(readReply(property, reply, stop)), property.name).toBe(expected);
  });

  test("a reply of one word that was cut off might have gone on", () => {
    const words = ALL_PROPERTIES.filter((property) => property.read("true").ok);
    expect(words.length).toBeGreaterThan(10);
    for (const property of words)
      expect(shown(readReply(property, "true", "max_tokens")), property.name).toBe("!truncated");
  });

  test("read alone says that white space is empty", () => {
    for (const property of ALL_PROPERTIES) expect(shown(property.read(" \n")), property.name).toBe("!empty");
  });
});

const CUT_OFF: readonly (readonly [string, string, string])[] = [
  ["first_character", "Ti", "t"],
  ["second_character", "T", "!truncated"],
  ["first_and_second_character", "Ti", "ti"],
  ["second_and_third_character", "Ti", "!truncated"],
  ["starts_with_vowel", "Ti", "false"],
  ["first_word", "Tiger croc", "tiger"],
  ["first_word", "Tig", "!truncated"],
  ["first_word", "Tiger ", "tiger"],
  ["second_word", "Tiger croc", "!truncated"],
  ["second_word", "Tiger crocodile\n", "crocodile"],
  ["third_word", "Tiger crocodile ", "!truncated"],
  ["first_word_reversed", "Tiger croc", "regit"],
  ["last_word", "Tiger crocodile ", "!truncated"],
  ["last_character", "Tiger", "!truncated"],
  ["ends_with_vowel", "Ape", "!truncated"],
  ["identity", "Tiger", "!truncated"],
  ["identity_reversed", "Tiger", "!truncated"],
  ["number_of_letters", "Tiger", "!truncated"],
  ["number_of_words", "Tiger ape", "!truncated"],
  ["more_than_3_characters", "Ape", "!truncated"],
  ["more_than_3_characters", "Tiger", "true"],
  ["more_than_10_words", "a b c d e f g h i j", "!truncated"],
  ["more_than_10_words", "a b c d e f g h i j k", "true"],
  ["how_many_words_bins", "a b c d e f g h i j k", "!truncated"],
  ["how_many_words_bins", "a b c d e f g h i j k l m n o p q r s t u", "more than 20"],
  ["is_even", "74", "!truncated"],
  ["is_first_digit_even", "74", "!truncated"],
  ["sum_of_digits", "74", "!truncated"],
  ["is_either_a_or_c", "A", "!truncated"],
  ["matches_power_seeking", "A", "!truncated"],
  ["first_word", " \n", "!empty"],
  ["identity", "I'm sorry, but I cannot", "!refusal"],
];

test.each(CUT_OFF)("%s of %j, cut off, is %s", (name, answer, expected) => {
  expect(shown(extractBehavior(propertyNamed(name), answer, { text: "", target: "A" }, "max_tokens"))).toBe(expected);
});

/** `\ufffd` stands where bytes are no whole character. */
const HALVES: readonly (readonly [string, string, "end_of_generation" | "max_tokens", string])[] = [
  ["second_character", "a\ufffd", "max_tokens", "!truncated"],
  ["second_character", "a\ufffd", "end_of_generation", "!half_character"],
  ["first_character", "a\ufffd", "max_tokens", "a"],
  ["first_character", "\ufffd", "max_tokens", "!truncated"],
  ["first_character", "\ufffda", "end_of_generation", "!half_character"],
  ["first_and_second_character", "a\ufffd", "max_tokens", "!truncated"],
  ["starts_with_vowel", "\ufffdapple", "end_of_generation", "!half_character"],
  ["initial_code", "\ufffd", "end_of_generation", "!half_character"],
  ["last_character", "dog\ufffd", "end_of_generation", "!half_character"],
  ["ends_with_vowel", "dog\ufffd", "end_of_generation", "!half_character"],
  ["first_word", "caf\ufffd", "max_tokens", "!truncated"],
  ["first_word", "caf\ufffd", "end_of_generation", "!half_character"],
  ["first_word", "caf\ufffd noir", "end_of_generation", "!half_character"],
  ["second_word", "caf\ufffd noir", "end_of_generation", "noir"],
  ["first_word_reversed", "caf\ufffd", "end_of_generation", "!half_character"],
  ["more_than_3_characters", "abc\ufffd", "max_tokens", "!truncated"],
  ["more_than_3_characters", "abcd\ufffd", "max_tokens", "true"],
  ["more_than_3_characters", "abcd\ufffd", "end_of_generation", "true"],
  ["more_than_3_characters", "abc\ufffd", "end_of_generation", "!half_character"],
  ["number_of_letters", "ab\ufffd", "end_of_generation", "!half_character"],
  ["identity", "ab\ufffd", "end_of_generation", "!half_character"],
  ["sentiment", "hap\ufffd", "end_of_generation", "!half_character"],
  ["main_character_name", "Ma\ufffda and Clara sat", "end_of_generation", "!half_character"],
  ["main_character_name", "Clara sat with Ma\ufffda", "end_of_generation", "clara"],
  // More text may belong to the last character.
  ["first_character", "\u{1F469}", "max_tokens", "!truncated"],
  ["first_character", "\u{1F469}\u200d", "max_tokens", "!truncated"],
  ["first_character", "\u{1F1E9}", "max_tokens", "!truncated"],
  ["second_character", "a\u{1F44D}", "max_tokens", "!truncated"],
  ["first_character", "\u{1F469}a", "max_tokens", "\u{1F469}"],
];

test.each(HALVES)("%s of %j, ended by %s, is %s", (name, answer, stop, expected) => {
  expect(shown(extractBehavior(propertyNamed(name), answer, { text: "" }, stop))).toBe(expected);
});

test.each([
  ["first_word", "caf\ufffd"],
  ["second_character", "\ufffd"],
  ["second_character", "`\ufffd`"],
  ["identity", "a \ufffd"],
])("%s predicts nothing from %j", (name, reply) => {
  expect(shown(readReply(propertyNamed(name), reply, "end_of_generation"))).toBe("!half_character");
});

test.each([
  ["a byte order mark", "\ufeffdog"],
  ["a blank without width", "\u200bdog"],
  ["a turn of the direction", "\u202edog"],
  ["a soft hyphen", "d\u00adog"],
  ["a joiner that joins nothing", "\u200ddog\u200d"],
  ["a joiner between Latin letters", "d\u200dog"],
  ["a choice of looks", "dog\ufe0f"],
  ["letters that hide as tags", "dog\u{E0041}\u{E0042}"],
])("%s is no character", (_, answer) => {
  for (const [name, expected] of [
    ["first_character", "d"],
    ["second_character", "o"],
    ["last_character", "g"],
    ["first_word", "dog"],
    ["number_of_letters", "3"],
    ["identity", "dog"],
  ] as const) {
    expect(shown(extractBehavior(propertyNamed(name), answer, { text: "" }, "end_of_generation")), name).toBe(expected);
  }
  expect(shown(readReply(propertyNamed("first_word"), answer, "end_of_generation"))).toBe("dog");
});

test.each([
  ["a family", "\u{1F469}\u200d\u{1F467}"],
  ["a flag of tags", "\u{1F3F4}\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}"],
  ["a word of two joined parts", "\u0645\u06cc\u200c\u062e"],
])("%s keeps what makes it one", (_, text) => {
  expect(shown(extractBehavior(propertyNamed("first_word"), text, { text: "" }, "end_of_generation"))).toBe(text);
});
