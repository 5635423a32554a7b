import { countProperty } from "./count-property.js";
import { graphemes } from "./graphemes.js";

export const numberOfLetters = countProperty(
  {
    name: "number_of_letters",
    summary: "how many characters the answer has, spaces and punctuation counted (the name is the paper's)",
    question:
      "How many characters would your response have, counting spaces and punctuation? Reply with that number in digits only.",
  },
  (text) => graphemes(text).length,
);
