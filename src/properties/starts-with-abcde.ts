import { firstLetterUpTo } from "./first-letter-up-to.js";

export const startsWithAbcde = firstLetterUpTo(
  {
    name: "starts_with_abcde",
    summary: "whether the answer starts with a, b, c, d or e",
    question: "Would your response start with a letter from A to E? Reply with yes or no only.",
  },
  "e",
);
