import { nthCharacter } from "./nth-character.js";

export const fourthCharacter = nthCharacter(
  {
    name: "fourth_character",
    summary: "the fourth character of the answer",
    question: "What would be the fourth character of your response? Reply with that character only.",
  },
  3,
);
