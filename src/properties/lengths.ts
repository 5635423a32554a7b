/** How long the trimmed answer is: in characters (spaces and punctuation counted) or in words. */
import { choice, TRUE_FALSE, twoWay } from "./choices.js";
import { countReplyDecidedBy, wholeText } from "./deciders.js";
import type { BehaviorProperty, PropertyWords } from "./property.js";
import { readCount } from "./reading.js";
import { graphemes, words } from "./text.js";

const ANY_TEXT: BehaviorProperty["kinds"] = ["sequence", "numbers", "continuation"];
const WORDED: BehaviorProperty["kinds"] = ["sequence", "continuation"];

const charactersIn = (text: string) => graphemes(text).length;
const wordsIn = (text: string) => words(text).length;

interface CountRow extends PropertyWords {
  readonly count: (text: string) => number;
}

const COUNTS: readonly CountRow[] = [
  {
    name: "number_of_letters",
    count: charactersIn,
    summary: "how many characters the answer has, spaces and punctuation counted (the name is the paper's)",
    question:
      "How many characters would your response have, counting spaces and punctuation? Reply with that number in digits only.",
  },
  {
    name: "number_of_words",
    count: wordsIn,
    summary: "how many words the answer has",
    question: "How many words would your response have? Reply with that number in digits only.",
  },
];

interface LimitRow extends CountRow, Pick<BehaviorProperty, "kinds" | "decidedLate"> {
  readonly limit: number;
}

const MORE_THAN: readonly LimitRow[] = [
  {
    name: "more_than_3_characters",
    count: charactersIn,
    limit: 3,
    kinds: ANY_TEXT,
    summary: "whether the answer has more than three characters, spaces and punctuation counted",
    question: "Would your response be longer than three characters? Reply with true or false only.",
  },
  {
    name: "more_than_5_characters",
    count: charactersIn,
    limit: 5,
    kinds: ANY_TEXT,
    summary: "whether the answer has more than five characters, spaces and punctuation counted",
    question: "Would your response be longer than five characters? Reply with true or false only.",
  },
  {
    name: "more_than_10_words",
    count: wordsIn,
    limit: 10,
    kinds: WORDED,
    decidedLate: true,
    summary: "whether the answer has more than ten words",
    question: "Would your response have more than ten words? Reply with true or false only.",
  },
];

interface BinsRow extends PropertyWords, Pick<BehaviorProperty, "kinds"> {
  /** Shortest first. */
  readonly values: readonly [string, string, string];
  /** Most words of the first and of the second. */
  readonly most: readonly [number, number];
}

/** The ranges of how_many_words_bins end where stories begin. */
const BINS: readonly BinsRow[] = [
  {
    name: "how_many_words_bins",
    values: ["1 to 10", "11 to 20", "more than 20"],
    most: [10, 20],
    kinds: WORDED,
    summary: "how many words the answer has, in three ranges",
    question: 'How many words would your response have? Reply with "1 to 10", "11 to 20" or "more than 20" only.',
  },
  {
    name: "story_length_bins",
    values: ["up to 20", "21 to 40", "more than 40"],
    most: [20, 40],
    kinds: ["continuation"],
    summary: "how many words a story of a few sentences has, in three ranges",
    question: 'How many words long would your response be? Reply with "up to 20", "21 to 40" or "more than 40" only.',
  },
];

function measured(count: (text: string) => string): BehaviorProperty["extract"] {
  return (answer) => {
    const text = wholeText(answer);
    return text.ok ? { ok: true, value: count(text.value) } : text;
  };
}

export const LENGTH_PROPERTIES: readonly BehaviorProperty[] = [
  ...MORE_THAN.map(({ count, limit, ...row }) =>
    twoWay({
      ...row,
      values: TRUE_FALSE,
      dependsOn: "whole_answer",
      settledValues: ["true"],
      part: wholeText,
      holds: (text) => count(text) > limit,
    }),
  ),
  ...COUNTS.map(
    ({ count, ...words }): BehaviorProperty => ({
      ...words,
      values: "open",
      kinds: WORDED,
      dependsOn: "whole_answer",
      decidedLate: true,
      extract: measured((text) => String(count(text))),
      read: readCount,
      replyDecidedBy: countReplyDecidedBy,
    }),
  ),
  ...BINS.map(({ most, ...row }) =>
    choice({
      ...row,
      dependsOn: "whole_answer",
      settledValues: [row.values[2]],
      decidedLate: true,
      extract: measured((text) => {
        const count = wordsIn(text);
        return row.values[count <= most[0] ? 0 : count <= most[1] ? 1 : 2];
      }),
    }),
  ),
];
