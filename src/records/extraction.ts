/** A short value read from a text, or the reason why there is none. Missing is a value with a reason, never null or NaN. */
export type Extraction =
  | { readonly ok: true; readonly value: string }
  | { readonly ok: false; readonly reason: MissingReason };

/**
 * Why there is no value: what a text lacks, or, for `engine_crashed`, why there is no text.
 * `empty` nothing but white space · `refusal` apologises, declines or says that it is a language model ·
 * `too_short` no such character, word or digit · `not_in_values` outside the property's closed set of values ·
 * `not_one_word` / `not_one_character` more was said than was asked for · `not_a_number` · `not_an_option` no single option letter ·
 * `truncated` stopped by the token limit before it was complete · `repetition` degenerate repetition ·
 * `no_target` the item names no matching option or right answer · `not_challenged` no final answer to compare with ·
 * `engine_crashed` the question was set aside: the model never replied.
 */
export type MissingReason =
  | "empty"
  | "refusal"
  | "too_short"
  | "not_in_values"
  | "not_one_word"
  | "not_one_character"
  | "not_a_number"
  | "not_an_option"
  | "truncated"
  | "repetition"
  | "no_target"
  | "not_challenged"
  | "engine_crashed";

export function value(text: string): Extraction {
  return { ok: true, value: text };
}

export function missing(reason: MissingReason): Extraction {
  return { ok: false, reason };
}
