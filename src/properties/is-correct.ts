import { type Extraction, missing } from "../records/extraction.js";
import { wholeNumberDecidedBy } from "./form-begun.js";
import { wholeNumberIn } from "./number-in.js";
import type { PropertyContext } from "./property.js";
import { TRUE_FALSE, twoWay } from "./two-way.js";

const WHOLE_NUMBER = /^-?\d+$/;

function numberToCheck(answer: string, { target }: PropertyContext): Extraction {
  const number = wholeNumberIn(answer);
  return number.ok && (target === undefined || !WHOLE_NUMBER.test(target)) ? missing("no_target") : number;
}

export const isCorrect = twoWay({
  name: "is_correct",
  summary: "whether the answer is the right one",
  question: "Would your response be correct? Reply with true or false only.",
  values: TRUE_FALSE,
  kinds: ["numbers"],
  needs: "right_answer",
  dependsOn: "whole_answer",
  decidedBy: wholeNumberDecidedBy,
  part: numberToCheck,
  // BigInt has no precision limit, and leading zeros make no other number.
  holds: (number, { target }) => BigInt(number) === BigInt(target ?? ""),
});
