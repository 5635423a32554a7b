/** What a string itself offers to answer it with: the sides of a coin that nothing in the string weights. */

import { itemsOf, sayItem } from "./heuristics.js";
import type { TaskDefinition, TaskItem } from "./task.js";

/** Of the lines at a string's end: `A - tea`. */
const OPTION_LINE = /^([A-Z]) - \S/;

/**
 * Letters of options, and the different words or numbers of a list, each worded as an answer of the task's form.
 * @returns none for prose, which offers nothing
 */
export function offeredAnswers(
  { kind, answerForm }: Pick<TaskDefinition, "kind" | "answerForm">,
  { text }: Pick<TaskItem, "text">,
): string[] {
  if (kind === "continuation") return [];
  if (kind === "options") return [...new Set(lettersOf(text))];
  const items = new Map(itemsOf(kind, text).map((item) => [item.toLowerCase(), item]));
  return [...items.values()].map((item) => sayItem(kind, text, answerForm, item));
}

function lettersOf(text: string): string[] {
  return text.split("\n").flatMap((line) => OPTION_LINE.exec(line)?.[1] ?? []);
}
