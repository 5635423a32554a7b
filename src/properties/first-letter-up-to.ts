import { charactersOf, isLetterUpTo } from "./characters.js";
import type { BehaviorProperty, PropertyWords } from "./property.js";
import { twoWay, YES_NO } from "./two-way.js";

/** Whether the trimmed answer starts with a letter from a up to `last`, accents aside; a digit or a mark does not. */
export function firstLetterUpTo(words: PropertyWords, last: string): BehaviorProperty {
  return twoWay({
    ...words,
    values: YES_NO,
    kinds: ["sequence", "continuation"],
    part: (answer) => charactersOf(answer, 0),
    holds: (character) => isLetterUpTo(last, character),
  });
}
