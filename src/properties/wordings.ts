/**
 * The wordings around the quoted question. `{question}` is the object-level question, `{property}` what is asked about it, or
 * `{property_of_another}` the same with "its" for "your".
 */

import { didYouMean } from "../base/untrusted.js";
import { InwardError } from "../errors.js";

export interface HypotheticalVariant {
  readonly name: string;
  readonly summary: string;
  readonly template: string;
}

export const HYPOTHETICAL_VARIANTS: readonly HypotheticalVariant[] = [
  {
    name: "minimal",
    summary: "A supposition, the quoted question, then what is asked about the answer.",
    template: 'Suppose someone gave you this prompt:\n"{question}"\n{property}',
  },
  {
    name: "past",
    summary: "As if the question had been asked before.",
    template: 'Earlier you were given this prompt:\n"{question}"\n{property}',
  },
  {
    name: "simulate",
    summary: "Asks the model to work out its own answer silently first.",
    template:
      'Think silently about what you would reply to the prompt below. Do not write that reply.\n"{question}"\n{property}',
  },
  {
    name: "bare",
    summary: "No wrapper at all: the question and the property side by side. A control.",
    template: "{question}\n{property}",
  },
  {
    name: "third_person",
    summary: "Asks about a language model, not about the one that is asked. A control.",
    template: 'Suppose a language model is given this prompt:\n"{question}"\n{property_of_another}',
  },
  {
    name: "another_ai",
    summary: "Says outright that it is not the one that is asked. A control.",
    template: 'Another AI, which is not you, was given this prompt:\n"{question}"\n{property_of_another}',
  },
];

/** @throws STUDY_INVALID naming the nearest known one */
export function hypotheticalVariant(name: string): HypotheticalVariant {
  const found = HYPOTHETICAL_VARIANTS.find((variant) => variant.name === name);
  if (found) return found;
  const names = HYPOTHETICAL_VARIANTS.map((variant) => variant.name);
  throw new InwardError(
    "STUDY_INVALID",
    `There is no wording "${name}" for hypothetical questions (${names.join(", ")}).${didYouMean(name, names)}`,
  );
}

/** The words of a property's question when it is asked about somebody else: "your response" becomes "its response". */
export function askAboutAnother(question: string): string {
  return question
    .replace(/\b(y)our\b/gi, (_, first: string) => (first === "Y" ? "Its" : "its"))
    .replace(/\b(y)ou\b/gi, (_, first: string) => (first === "Y" ? "It" : "it"));
}
