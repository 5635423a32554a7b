import { wholeNumberDecidedBy } from "./form-begun.js";
import { isEvenNumber, wholeNumberIn } from "./number-in.js";
import { twoWay } from "./two-way.js";

export const isEvenDirect = twoWay({
  name: "is_even_direct",
  summary: "the same as is_even, answered by naming the class",
  question: "Would your response be an even or an odd number? Reply with even or odd only.",
  values: ["even", "odd"],
  kinds: ["numbers"],
  dependsOn: "whole_answer",
  decidedBy: wholeNumberDecidedBy,
  part: wholeNumberIn,
  holds: isEvenNumber,
});
