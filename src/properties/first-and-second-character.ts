import { characterPair } from "./character-pair.js";

export const firstAndSecondCharacter = characterPair(
  {
    name: "first_and_second_character",
    summary: "the first two characters of the answer",
    question: "What would be the first two characters of your response? Reply with those two characters only.",
  },
  0,
);
