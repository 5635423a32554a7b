import { charactersOf, isVowel } from "./characters.js";
import { twoWay } from "./two-way.js";

export const startsWithVowelDirect = twoWay({
  name: "starts_with_vowel_direct",
  summary: "the same as starts_with_vowel, answered by naming the class",
  question: 'Would your response start with a vowel? Reply with "vowel" if it would, otherwise with "no" only.',
  values: ["vowel", "no"],
  kinds: ["sequence", "continuation"],
  part: (answer) => charactersOf(answer, 0),
  holds: isVowel,
});
