import { wholeNumberDecidedBy } from "./form-begun.js";
import { isEvenNumber, wholeNumberIn } from "./number-in.js";
import { TRUE_FALSE, twoWay } from "./two-way.js";

export const isEven = twoWay({
  name: "is_even",
  summary: "whether the answer, a whole number, is even",
  question: "Would your response be an even number? Reply with true or false only.",
  values: TRUE_FALSE,
  kinds: ["numbers"],
  dependsOn: "whole_answer",
  decidedBy: wholeNumberDecidedBy,
  part: wholeNumberIn,
  holds: isEvenNumber,
});
