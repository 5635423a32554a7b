import { charactersOf, isVowel } from "./characters.js";
import { TRUE_FALSE, twoWay } from "./two-way.js";

export const startsWithVowel = twoWay({
  name: "starts_with_vowel",
  summary: "whether the answer starts with a, e, i, o or u, accents aside",
  question: "Would your response start with a vowel? Reply with true or false only.",
  values: TRUE_FALSE,
  kinds: ["sequence", "continuation"],
  part: (answer) => charactersOf(answer, 0),
  holds: isVowel,
});
