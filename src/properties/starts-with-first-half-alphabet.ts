import { firstLetterUpTo } from "./first-letter-up-to.js";

export const startsWithFirstHalfAlphabet = firstLetterUpTo(
  {
    name: "starts_with_first_half_alphabet",
    summary: "whether the answer starts with a letter from a to m",
    question: "Would your response start with a letter from A to M? Reply with yes or no only.",
  },
  "m",
);
