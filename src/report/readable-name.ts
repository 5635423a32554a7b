/** Names of tasks, properties, reasons and rules as words. The method section gives the names themselves. */

import type { CellScore } from "../records/scores.js";
import type { Pair } from "./headline-section.js";

/** first_word -> first word */
export function readableName(name: string): string {
  return name.replaceAll("_", " ");
}

/** The property, and the wording where a study has several. */
export function propertyLabel(cell: Pick<CellScore, "property" | "variant">, severalWordings: boolean): string {
  return severalWordings
    ? `${readableName(cell.property)} (${readableName(cell.variant)})`
    : readableName(cell.property);
}

/** a, b and c */
export function joinWords(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? "") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** 1 string, 2 strings */
export function plural(count: number, word: string, counted: string): string {
  return `${counted} ${word}${count === 1 ? "" : "s"}`;
}

export function pairTitle({ predictor, target }: Pick<Pair, "predictor" | "target">): string {
  return predictor === target ? `${predictor} predicts itself` : `${predictor} predicts ${target}`;
}
