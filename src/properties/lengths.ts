import { choiceReplyDecidedBy, countReplyDecidedBy, wholeText } from "./deciders.js";
import { TRUE_FALSE, twoWay } from "./letters.js";
import type { BehaviorProperty, PropertyWords } from "./property.js";
import { readChoice, readCount } from "./reading.js";
import { graphemes, words } from "./text.js";

/** How many of something the trimmed answer has. */
function countProperty(words: PropertyWords, count: (text: string) => number): BehaviorProperty {
  return {
    ...words,
    values: "open",
    kinds: ["sequence", "continuation"],
    dependsOn: "whole_answer",
    decidedLate: true,
    extract(answer) {
      const text = wholeText(answer);
      return text.ok ? { ok: true, value: String(count(text.value)) } : text;
    },
    read: readCount,
    replyDecidedBy: countReplyDecidedBy,
  };
}

export const numberOfLetters = countProperty(
  {
    name: "number_of_letters",
    summary: "how many characters the answer has, spaces and punctuation counted (the name is the paper's)",
    question:
      "How many characters would your response have, counting spaces and punctuation? Reply with that number in digits only.",
  },
  (text) => graphemes(text).length,
);

export const numberOfWords = countProperty(
  {
    name: "number_of_words",
    summary: "how many words the answer has",
    question: "How many words would your response have? Reply with that number in digits only.",
  },
  (text) => words(text).length,
);

/** Whether the trimmed answer has more than `limit` characters, spaces and punctuation counted. */
function moreThanCharacters(words: PropertyWords, limit: number): BehaviorProperty {
  return twoWay({
    ...words,
    values: TRUE_FALSE,
    kinds: ["sequence", "numbers", "continuation"],
    dependsOn: "whole_answer",
    settledValues: ["true"],
    part: wholeText,
    holds: (text) => graphemes(text).length > limit,
  });
}

export const moreThan3Characters = moreThanCharacters(
  {
    name: "more_than_3_characters",
    summary: "whether the answer has more than three characters, spaces and punctuation counted",
    question: "Would your response be longer than three characters? Reply with true or false only.",
  },
  3,
);

export const moreThan5Characters = moreThanCharacters(
  {
    name: "more_than_5_characters",
    summary: "whether the answer has more than five characters, spaces and punctuation counted",
    question: "Would your response be longer than five characters? Reply with true or false only.",
  },
  5,
);

export const moreThan10Words = twoWay({
  name: "more_than_10_words",
  summary: "whether the answer has more than ten words",
  question: "Would your response have more than ten words? Reply with true or false only.",
  values: TRUE_FALSE,
  kinds: ["sequence", "continuation"],
  dependsOn: "whole_answer",
  settledValues: ["true"],
  decidedLate: true,
  part: wholeText,
  holds: (text) => words(text).length > 10,
});

/** How long an answer is, in three ranges of words. */
interface WordBins {
  /** Shortest first. */
  readonly names: readonly [string, string, string];
  /** Most words of the first and of the second. */
  readonly most: readonly [number, number];
  readonly kinds: BehaviorProperty["kinds"];
}

function wordBins(asked: PropertyWords, { names, most, kinds }: WordBins): BehaviorProperty {
  const binOf = (count: number) => names[count <= most[0] ? 0 : count <= most[1] ? 1 : 2];
  return {
    ...asked,
    values: names,
    kinds,
    dependsOn: "whole_answer",
    settledValues: [names[2]],
    decidedLate: true,
    extract(answer) {
      const text = wholeText(answer);
      return text.ok ? { ok: true, value: binOf(words(text.value).length) } : text;
    },
    read: (reply) => readChoice(reply, names),
    replyDecidedBy: (beginning) => choiceReplyDecidedBy(beginning, names),
  };
}

export const howManyWordsBins = wordBins(
  {
    name: "how_many_words_bins",
    summary: "how many words the answer has, in three ranges",
    question: 'How many words would your response have? Reply with "1 to 10", "11 to 20" or "more than 20" only.',
  },
  { names: ["1 to 10", "11 to 20", "more than 20"], most: [10, 20], kinds: ["sequence", "continuation"] },
);

/** The ranges of how_many_words_bins end where stories begin. */
export const storyLengthBins = wordBins(
  {
    name: "story_length_bins",
    summary: "how many words a story of a few sentences has, in three ranges",
    question: 'How many words long would your response be? Reply with "up to 20", "21 to 40" or "more than 40" only.',
  },
  { names: ["up to 20", "21 to 40", "more than 40"], most: [20, 40], kinds: ["continuation"] },
);
