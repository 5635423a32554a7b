import { nthCharacter } from "./nth-character.js";

export const sixthCharacter = nthCharacter(
  {
    name: "sixth_character",
    summary: "the sixth character of the answer",
    question: "What would be the sixth character of your response? Reply with that character only.",
  },
  5,
);
