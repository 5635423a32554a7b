import { moreThanCharacters } from "./more-than-characters.js";

export const moreThan3Characters = moreThanCharacters(
  {
    name: "more_than_3_characters",
    summary: "whether the answer has more than three characters, spaces and punctuation counted",
    question: "Would your response be longer than three characters? Reply with true or false only.",
  },
  3,
);
