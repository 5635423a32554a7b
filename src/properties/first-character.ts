import { nthCharacter } from "./nth-character.js";

export const firstCharacter = nthCharacter(
  {
    name: "first_character",
    summary: "the first character of the answer",
    question: "What would be the first character of your response? Reply with that character only.",
  },
  0,
);
