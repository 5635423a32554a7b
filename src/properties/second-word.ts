import { nthWord } from "./nth-word.js";

export const secondWord = nthWord(
  {
    name: "second_word",
    summary: "the second word of the answer",
    question: "What would be the second word of your response? Reply with that word only.",
  },
  1,
);
