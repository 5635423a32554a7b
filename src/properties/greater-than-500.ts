import { decimalNumberDecidedBy } from "./form-begun.js";
import { decimalNumberIn } from "./number-in.js";
import { TRUE_FALSE, twoWay } from "./two-way.js";

export const greaterThan500 = twoWay({
  name: "greater_than_500",
  summary: "whether the answer, a number, is greater than 500",
  question: "Would your response be a number greater than 500? Reply with true or false only.",
  values: TRUE_FALSE,
  kinds: ["numbers"],
  dependsOn: "whole_answer",
  decidedBy: decimalNumberDecidedBy,
  part: decimalNumberIn,
  holds: (number) => Number(number) > 500,
});
