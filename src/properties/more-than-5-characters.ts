import { moreThanCharacters } from "./more-than-characters.js";

export const moreThan5Characters = moreThanCharacters(
  {
    name: "more_than_5_characters",
    summary: "whether the answer has more than five characters, spaces and punctuation counted",
    question: "Would your response be longer than five characters? Reply with true or false only.",
  },
  5,
);
