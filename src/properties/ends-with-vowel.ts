import { charactersOf, isVowel } from "./characters.js";
import { TRUE_FALSE, twoWay } from "./two-way.js";

export const endsWithVowel = twoWay({
  name: "ends_with_vowel",
  summary: "whether the last character of the answer, punctuation included, is a, e, i, o or u",
  question: "Would the very last character of your response be a vowel? Reply with true or false only.",
  values: TRUE_FALSE,
  kinds: ["sequence", "continuation"],
  dependsOn: "whole_answer",
  decidedLate: true,
  part: (answer) => charactersOf(answer, -1),
  holds: isVowel,
});
