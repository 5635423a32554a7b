/** The properties of free text that the paper asks about: every task that is answered in words has them. */
export const TEXT_PROPERTIES = [
  "first_word",
  "second_word",
  "third_word",
  "first_character",
  "second_character",
  "third_character",
  "starts_with_vowel",
  "first_and_second_character",
] as const;
