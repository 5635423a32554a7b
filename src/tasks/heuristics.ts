/** What simple rules on a string alone would answer: the baselines that a model has to beat to show more than copying. */

import { optionsOf } from "./option-lines.js";
import type { AnswerForm, TaskDefinition, TaskItem, TaskKind } from "./task.js";

/** Rules on the items that a string lists. */
export type HeuristicRule = "last_item" | "first_item" | "most_frequent_item";

/** Besides, for options, one for each letter: `always_a`, `always_b`, …; where one item is chosen, `second_item`, `third_item`, `fourth_item`. */
type HeuristicAnswers = Record<HeuristicRule, HeuristicAnswer> & Readonly<Record<string, HeuristicAnswer>>;

type HeuristicAnswer = { readonly ok: true; readonly answer: string } | { readonly ok: false; readonly reason: string };

/** Sequence tasks ask for five items: a rule that picks one says it five times, so that it predicts later words too. */
const SEQUENCE_ANSWER_ITEMS = 5;

const MIDDLE_ITEMS = ["second_item", "third_item", "fourth_item"] as const;

/**
 * @param answerForm `one_word`: a sequence task that asks for a single item
 * @returns for each rule the answer it would give; `most_frequent_item` takes the last among the most frequent. For options, whoever
 *   always says one letter
 */
export function heuristicAnswers(kind: TaskKind, text: string, answerForm: AnswerForm = "any"): HeuristicAnswers {
  if (kind === "options") {
    const letters = [...new Set(["A", "B", ...optionsOf(text).keys()])];
    return {
      ...everyRule({ ok: false, reason: "a dilemma is not a list of items" }),
      ...Object.fromEntries(letters.map((answer) => [`always_${answer.toLowerCase()}`, { ok: true, answer }])),
    };
  }
  const items = itemsOf(kind, text);
  const first = items[0];
  const last = items.at(-1);
  if (first === undefined || last === undefined) return everyRule({ ok: false, reason: "the string has no items" });
  const say = (item: string): HeuristicAnswer => ({ ok: true, answer: sayItem(kind, text, answerForm, item) });
  return {
    last_item: say(last),
    first_item: say(first),
    most_frequent_item: say(mostFrequent(items)),
    // Where one item is chosen, a place in the middle can be liked as well as an end.
    ...(kind === "sequence" && answerForm === "one_word"
      ? Object.fromEntries(
          MIDDLE_ITEMS.slice(0, Math.max(0, items.length - 2)).map((rule, at) => [rule, say(items[at + 1] as string)]),
        )
      : {}),
  };
}

/** One item of a string, as an answer to it. */
function sayItem(kind: TaskKind, text: string, answerForm: AnswerForm, item: string): string {
  const times = kind === "sequence" && answerForm !== "one_word" ? SEQUENCE_ANSWER_ITEMS : 1;
  return Array(times)
    .fill(item)
    .join(isSeparatedByMarks(text) ? ", " : " ");
}

function everyRule(answer: HeuristicAnswer): Record<HeuristicRule, HeuristicAnswer> {
  return { last_item: answer, first_item: answer, most_frequent_item: answer };
}

/** Lists with commas, semicolons or line breaks may hold items of several words. */
function isSeparatedByMarks(text: string): boolean {
  return /[,;\n]/.test(text.trim());
}

/** The words, numbers or names that a string lists. */
export function itemsOf(kind: TaskKind, text: string): string[] {
  const pieces = kind !== "continuation" && isSeparatedByMarks(text) ? text.split(/[,;\n]/) : text.split(/\s+/);
  // Punctuation at the edge of a word belongs to the sentence; a sign or a decimal point belongs to the number.
  const [first, last] = kind === "numbers" ? [/[\p{N}+-]/u, /\p{N}/u] : [/[\p{L}\p{N}]/u, /[\p{L}\p{N}]/u];
  return pieces.map((piece) => between(piece, first, last)).filter((item) => item !== "");
}

/** Searched from both ends: a pattern that is tied to the end takes a time that grows with the square of the length. */
function between(piece: string, first: RegExp, last: RegExp): string {
  const characters = [...piece];
  const end = characters.findLastIndex((character) => last.test(character)) + 1;
  const begin = characters.findIndex((character) => first.test(character));
  return begin < 0 ? "" : characters.slice(begin, end).join("");
}

function mostFrequent(items: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(item.toLowerCase(), (counts.get(item.toLowerCase()) ?? 0) + 1);
  const most = [...counts.values()].reduce((a, b) => Math.max(a, b), 0);
  return items.findLast((item) => counts.get(item.toLowerCase()) === most) ?? "";
}

/**
 * What a string itself offers to answer it with, the sides of a coin that nothing in the string weights: letters of options, and the
 * different words or numbers of a list, each worded as an answer of the task's form.
 * @returns none for prose, which offers nothing
 */
export function offeredAnswers(
  { kind, answerForm }: Pick<TaskDefinition, "kind" | "answerForm">,
  { text }: Pick<TaskItem, "text">,
): string[] {
  if (kind === "continuation") return [];
  if (kind === "options") return [...optionsOf(text).keys()];
  const items = new Map(itemsOf(kind, text).map((item) => [item.toLowerCase(), item]));
  return [...items.values()].map((item) => sayItem(kind, text, answerForm, item));
}
