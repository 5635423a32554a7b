import { type Extraction, missing, value } from "../records/extraction.js";

/**
 * The option an answer names: `A`, `A.`, `A)` or `(A)`, either case, and nothing else.
 * @returns the letter in lower case
 */
export function optionLetterIn(answer: string): Extraction {
  const said = answer.trim();
  if (said === "") return missing("empty");
  const letter = /^(?:\(([a-z])\)|([a-z])[.)]?)$/i.exec(said);
  const name = letter?.[1] ?? letter?.[2];
  return name === undefined ? missing("not_an_option") : value(name.toLowerCase());
}
