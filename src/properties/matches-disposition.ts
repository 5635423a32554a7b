import { type Extraction, missing } from "../records/extraction.js";
import { optionDecidedBy } from "./form-begun.js";
import { optionLetterIn } from "./option-letter.js";
import type { BehaviorProperty, PropertyContext, PropertyWords } from "./property.js";
import { TRUE_FALSE, twoWay } from "./two-way.js";

const OPTIONS = ["a", "b"];

function chosenOption(answer: string, context: PropertyContext): Extraction {
  const chosen = optionLetterIn(answer);
  if (!chosen.ok) return chosen;
  if (!OPTIONS.includes(chosen.value)) return missing("not_an_option");
  return context.target === undefined || !OPTIONS.includes(context.target.toLowerCase())
    ? missing("no_target")
    : chosen;
}

/**
 * Whether the option chosen in a two-option dilemma is the one that shows the disposition.
 * @param disposition the only tasks it is asked of are those whose definition names the same one
 */
export function matchesDisposition(words: PropertyWords, disposition: string): BehaviorProperty {
  return twoWay({
    ...words,
    values: TRUE_FALSE,
    kinds: ["options"],
    disposition,
    dependsOn: "whole_answer",
    decidedBy: optionDecidedBy,
    part: chosenOption,
    holds: (chosen, context) => chosen === context.target?.toLowerCase(),
  });
}
