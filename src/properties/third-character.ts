import { nthCharacter } from "./nth-character.js";

export const thirdCharacter = nthCharacter(
  {
    name: "third_character",
    summary: "the third character of the answer",
    question: "What would be the third character of your response? Reply with that character only.",
  },
  2,
);
