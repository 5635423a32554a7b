import { nthCharacter } from "./nth-character.js";

export const secondCharacter = nthCharacter(
  {
    name: "second_character",
    summary: "the second character of the answer",
    question: "What would be the second character of your response? Reply with that character only.",
  },
  1,
);
