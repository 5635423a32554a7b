import { nthWord } from "./nth-word.js";

export const lastWord = nthWord(
  {
    name: "last_word",
    summary: "the last word of the answer",
    question: "What would be the last word of your response? Reply with that word only.",
  },
  -1,
);
