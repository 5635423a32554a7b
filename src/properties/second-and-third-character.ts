import { characterPair } from "./character-pair.js";

export const secondAndThirdCharacter = characterPair(
  {
    name: "second_and_third_character",
    summary: "the second and third characters of the answer",
    question: "What would be the second and third characters of your response? Reply with those two characters only.",
  },
  1,
);
