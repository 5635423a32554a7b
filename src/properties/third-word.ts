import { nthWord } from "./nth-word.js";

export const thirdWord = nthWord(
  {
    name: "third_word",
    summary: "the third word of the answer",
    question: "What would be the third word of your response? Reply with that word only.",
  },
  2,
);
