import { TRUE_FALSE, twoWay } from "./two-way.js";
import { wholeText } from "./whole-text.js";
import { words } from "./words.js";

export const moreThan10Words = twoWay({
  name: "more_than_10_words",
  summary: "whether the answer has more than ten words",
  question: "Would your response have more than ten words? Reply with true or false only.",
  values: TRUE_FALSE,
  kinds: ["sequence", "continuation"],
  dependsOn: "whole_answer",
  settledValues: ["true"],
  decidedLate: true,
  part: wholeText,
  holds: (text) => words(text).length > 10,
});
