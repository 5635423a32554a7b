import { nthCharacter } from "./nth-character.js";

export const lastCharacter = nthCharacter(
  {
    name: "last_character",
    summary: "the last character of the answer",
    question: "What would be the last character of your response? Reply with that character only.",
  },
  -1,
);
