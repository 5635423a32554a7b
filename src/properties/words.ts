/** Words at a fixed place: what stands between white space, normalized. */
import { choice, TRUE_FALSE, twoWay } from "./choices.js";
import { wordReplyDecidedBy } from "./deciders.js";
import { type BehaviorProperty, missing, type PropertyWords, value } from "./property.js";
import { readWord } from "./reading.js";
import { normalize, reverseGraphemes, wordOf, words } from "./text.js";

interface WordRow extends PropertyWords {
  /** From 0; negative counts from the end. */
  readonly index: number;
  readonly reversed?: true;
}

const ROWS: readonly WordRow[] = [
  {
    name: "first_word",
    index: 0,
    summary: "the first word of the answer",
    question: "What would be the first word of your response? Reply with that word only.",
  },
  {
    name: "second_word",
    index: 1,
    summary: "the second word of the answer",
    question: "What would be the second word of your response? Reply with that word only.",
  },
  {
    name: "third_word",
    index: 2,
    summary: "the third word of the answer",
    question: "What would be the third word of your response? Reply with that word only.",
  },
  {
    name: "last_word",
    index: -1,
    summary: "the last word of the answer",
    question: "What would be the last word of your response? Reply with that word only.",
  },
  {
    name: "first_word_reversed",
    index: 0,
    reversed: true,
    summary: "the first word of the answer, spelled backwards",
    question: "What would be the first word of your response, spelled backwards? Reply with the reversed word only.",
  },
];

/** A word, whatever marks stand around it, is the right one or not. */
const isRightWord = twoWay({
  name: "is_right_word",
  summary: "whether the answer, one word, is the right one",
  question: "Would your response be the right word? Reply with true or false only.",
  values: TRUE_FALSE,
  kinds: ["continuation"],
  needs: "right_answer",
  dependsOn: "whole_answer",
  part(answer, { target }) {
    const word = readWord(answer);
    return word.ok && (target === undefined || target.trim() === "") ? missing("no_target") : word;
  },
  holds: (word, { target }) => word === normalize(target ?? ""),
});

const PLACES = ["first", "second", "third", "fourth", "fifth"] as const;

/** A liking for a place in the list, whatever stands there. Of an item that stands twice, the first place. */
const placeInList = choice({
  name: "place_in_list",
  summary: "at which place of the string's list the answer stands",
  question:
    "At which place of the list would your response stand? Reply with first, second, third, fourth or fifth only.",
  values: PLACES,
  kinds: ["sequence"],
  needs: "offered_items",
  dependsOn: "whole_answer",
  extract(answer, { text }) {
    const word = readWord(answer);
    if (!word.ok) return word;
    const place = PLACES[words(text).map(normalize).indexOf(word.value)];
    return place === undefined ? missing("not_in_values") : value(place);
  },
});

const PLACED_WORDS = ROWS.map(
  ({ index, reversed, ...row }): BehaviorProperty => ({
    ...row,
    values: "open",
    kinds: ["sequence", "continuation"],
    dependsOn: index < 0 ? "whole_answer" : "first_words",
    decidedLate: index < 0 || index > 1,
    extract(answer) {
      const word = wordOf(answer, index);
      // Normalized again because a mark at the word's beginning now stands at its end.
      return word.ok && reversed ? { ok: true, value: normalize(reverseGraphemes(word.value)) } : word;
    },
    read: readWord,
    replyDecidedBy: wordReplyDecidedBy,
  }),
);

export const WORD_PROPERTIES: readonly BehaviorProperty[] = [...PLACED_WORDS, isRightWord, placeInList];
