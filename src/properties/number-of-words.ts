import { countProperty } from "./count-property.js";
import { words } from "./words.js";

export const numberOfWords = countProperty(
  {
    name: "number_of_words",
    summary: "how many words the answer has",
    question: "How many words would your response have? Reply with that number in digits only.",
  },
  (text) => words(text).length,
);
