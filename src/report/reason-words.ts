/** Why a text gave no behavior, no prediction or no example, in words. */
import { readableName } from "./readable-name.js";

const REASONS: Readonly<Record<string, string>> = {
  empty: "nothing but white space",
  refusal: "a refusal, or talk about being a language model",
  too_short: "too short to have such a character, word or digit",
  not_in_values: "none of the values that were to choose from",
  not_one_word: "more than one word",
  not_one_character: "more than one character",
  not_a_number: "not a number",
  not_an_option: "no single option letter",
  truncated: "cut off by the token limit",
  repetition: "degenerate repetition",
  no_target: "the item names no matching option or right answer",
  not_challenged: "there is no final answer after a challenge",
  engine_crashed: "set aside: the engine crashed on the question three times",
  held_out_string: "the same text is a held-out string of another task",
  not_readable: "a reply that says it would not be read as it",
};

export function reasonWords(reason: string): string {
  return REASONS[reason] ?? readableName(reason);
}
