import { charactersOf } from "./characters.js";
import type { BehaviorProperty, PropertyWords } from "./property.js";
import { readCharacters } from "./strict-readers.js";
import { charactersReplyDecidedBy } from "./strict-replies-begun.js";

/** Two neighbouring characters of the trimmed answer from index `start`, as `nthCharacter` counts them. */
export function characterPair(words: PropertyWords, start: number): BehaviorProperty {
  return {
    ...words,
    values: "open",
    kinds: ["sequence", "numbers", "continuation"],
    dependsOn: "first_characters",
    extract: (answer) => charactersOf(answer, start, 2),
    read: (reply) => readCharacters(reply, 2),
    replyDecidedBy: (beginning) => charactersReplyDecidedBy(beginning, 2),
  };
}
