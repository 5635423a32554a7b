import { type Extraction, missing, value } from "../records/extraction.js";
import { normalize } from "./normalize.js";

/** Words of an answer: what stands between white space, punctuation included until it is normalized. */
export function words(text: string): string[] {
  return text.split(/\s+/u).filter((word) => word !== "");
}

/** @param index from 0; negative counts from the end */
export function wordOf(answer: string, index: number): Extraction {
  const all = words(answer);
  if (all.length === 0) return missing("empty");
  const word = all.at(index);
  return word === undefined ? missing("too_short") : value(normalize(word));
}
