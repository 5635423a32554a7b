import { nthCharacter } from "./nth-character.js";

export const fifthCharacter = nthCharacter(
  {
    name: "fifth_character",
    summary: "the fifth character of the answer",
    question: "What would be the fifth character of your response? Reply with that character only.",
  },
  4,
);
