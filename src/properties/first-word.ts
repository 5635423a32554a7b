import { nthWord } from "./nth-word.js";

export const firstWord = nthWord(
  {
    name: "first_word",
    summary: "the first word of the answer",
    question: "What would be the first word of your response? Reply with that word only.",
  },
  0,
);
