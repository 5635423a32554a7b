import { type Extraction, missing, value } from "../records/extraction.js";

/** The trimmed answer as it stands, for properties that measure its length. */
export function wholeText(answer: string): Extraction {
  const text = answer.trim();
  return text === "" ? missing("empty") : value(text);
}
