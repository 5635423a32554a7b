/** What rows become before they are a task: questions with options or plain strings; and why a row becomes nothing. */

import { UNSAFE_CHARACTER } from "../base/untrusted.js";
import { optionsOf } from "../tasks/option-lines.js";
import type { ItemMeta } from "../tasks/task.js";

/** Why a row is left out, as the end of a sentence. Counted, with the first place of each. */
export const EXCLUSIONS = {
  not_wanted: "that --where does not want",
  no_text: "without a question or text",
  too_few_options: "with fewer than two options",
  gap_in_options: "with an empty option before a filled one",
  too_many_options: "with more than 26 options",
  same_options: "with two options that are the same",
  broken_options: "whose options cannot be told from the question",
  no_answer: "without an answer",
  unknown_answer: "whose answer is none of the options",
  several_answers: "with more than one right option",
  control_character: "with a control character, or half of a character, that no prompt should carry",
  lost_character: "with U+FFFD, the mark of a character that an earlier conversion lost",
  too_long: "longer than a string may be",
  several_turns: "that are a conversation and no single question",
  no_value: "with a value that is no text",
  duplicate: "that are another row again",
  duplicate_answer: "that are another row with another answer: neither can be trusted",
  duplicate_id: "whose id another row has",
  near_twin: "of the train strings that are near twins of a held-out one",
} as const;
export type ExclusionReason = keyof typeof EXCLUSIONS;

/** As the row says it, before all rows have told how answers are to be read. */
export type SaidAnswer = { readonly index: number } | { readonly said: string | number } | undefined;

/** A row that was understood. */
export interface ReadQuestion {
  readonly text: string;
  /** Absent: a plain string. */
  readonly options?: readonly string[];
  readonly answer?: SaidAnswer;
  readonly id?: string;
  /** The authors' own split, where the row or its file says it. */
  readonly split?: "train" | "held_out";
  readonly meta?: ItemMeta;
}

export type ReadRow = ReadQuestion | { readonly excluded: ExclusionReason };

/** One that goes into the task. */
export interface ImportedQuestion {
  readonly id: string;
  /** File and line. */
  readonly place: string;
  readonly text: string;
  readonly options?: readonly string[];
  /** Place of the right, or the matching, option. */
  readonly right?: number;
  readonly split?: "train" | "held_out";
  readonly meta?: ItemMeta;
}

export class Exclusions {
  private readonly all = new Map<ExclusionReason, { count: number; readonly first: string }>();

  add(reason: ExclusionReason, place: string): void {
    const known = this.all.get(reason);
    if (known) known.count++;
    else this.all.set(reason, { count: 1, first: place });
  }

  get total(): number {
    return [...this.all.values()].reduce((sum, { count }) => sum + count, 0);
  }

  /** By reason, in the order of the table. */
  counted(): Partial<Record<ExclusionReason, { readonly count: number; readonly first: string }>> {
    return Object.fromEntries(
      (Object.keys(EXCLUSIONS) as ExclusionReason[]).flatMap((reason) => {
        const found = this.all.get(reason);
        return found ? [[reason, { ...found }]] : [];
      }),
    );
  }

  /** A line for each reason. */
  sentences(): string[] {
    return Object.entries(this.counted()).map(
      ([reason, { count, first }]) => `${count} ${EXCLUSIONS[reason as ExclusionReason]} (the first: ${first})`,
    );
  }
}

/** What a task's strings may have at most. */
const MOST_CHARACTERS = 100_000;
export const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/** A line feed and a tab are text; every other control character obeys nobody's question. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;

/** The string of a task: the question, a blank line, and a line for each option. */
export function withOptions(question: string, options: readonly string[]): string {
  return `${question}\n\n${options.map((option, at) => `${LETTERS[at]} - ${option}`).join("\n")}`;
}

/** @returns why a question cannot be a string of a task, if it cannot. Total: never throws. */
export function flawOf({ text, options }: Pick<ImportedQuestion, "text" | "options">): ExclusionReason | undefined {
  if (text.trim() === "") return "no_text";
  if (options) {
    if (options.length < 2) return "too_few_options";
    if (options.length > LETTERS.length) return "too_many_options";
    if (options.some((option) => option === "")) return "gap_in_options";
    if (new Set(options).size < options.length) return "same_options";
  }
  const whole = options ? withOptions(text, options) : text;
  if (CONTROL.test(whole) || UNSAFE_CHARACTER.test(whole)) return "control_character";
  if (whole.includes("\uFFFD")) return "lost_character";
  if (whole.length > MOST_CHARACTERS) return "too_long";
  if (options && optionsOf(whole).size !== options.length) return "broken_options";
  return undefined;
}

/** Line ends as models read them, and no blanks around it. */
export function cleanText(text: string): string {
  return text.replace(/\r\n?/g, "\n").trim();
}

/** An option stands on one line. */
export function cleanOption(text: string): string {
  return text.replace(/\s+/gu, " ").trim();
}

// How answers are said, settled over all rows: a letter, a number from 0 or from 1, or the option's own text.

export const ANSWER_NOTATIONS = ["letter", "index0", "index1", "text"] as const;
export type AnswerNotation = (typeof ANSWER_NOTATIONS)[number];

export const ANSWER_NOTATIONS_ARE: Readonly<Record<AnswerNotation, string>> = {
  letter: "letters",
  index0: "numbers from 0",
  index1: "numbers from 1",
  text: "the text of the right option",
};

/** @returns the place of the option that the answer names, if it names one in this form */
export function indexOfAnswer(
  said: string | number,
  options: readonly string[],
  form: AnswerNotation,
): number | undefined {
  const text = String(said).trim();
  if (form === "text") {
    const at = options.indexOf(cleanOption(text));
    return at < 0 ? undefined : at;
  }
  if (form === "letter") {
    const letter = /^\(?([A-Za-z])\)?[.):]?$/.exec(text)?.[1]?.toUpperCase();
    const at = letter === undefined ? -1 : LETTERS.indexOf(letter);
    return at >= 0 && at < options.length ? at : undefined;
  }
  if (!/^\d{1,2}(?:\.0)?$/.test(text)) return undefined;
  const at = Number(text) - (form === "index1" ? 1 : 0);
  return at >= 0 && at < options.length ? at : undefined;
}

type Answered = { readonly options: readonly string[]; readonly said: string | number };

/**
 * @returns the form that most answers have, or why two forms serve as well and say different things
 */
export function answerNotation(
  answers: readonly Answered[],
): { readonly form: AnswerNotation } | { readonly unclear: string } {
  const places = new Map(
    ANSWER_NOTATIONS.map((form) => [form, answers.map(({ said, options }) => indexOfAnswer(said, options, form))]),
  );
  const fits = (form: AnswerNotation) => (places.get(form) ?? []).filter((at) => at !== undefined).length;
  const allOptions = answers.reduce((sum, { options }) => sum + options.length, 0);
  // Half as many as fall to one place where all are right equally often: a few rows are slips, such as a 0 for "none" beside numbers from 1.
  const telling = answers.length ** 2 / (2 * Math.max(1, allOptions));
  const best = [...ANSWER_NOTATIONS].sort((a, b) => fits(b) - fits(a))[0] as AnswerNotation;
  const others = ANSWER_NOTATIONS.filter((form) => form !== best && fits(form) > 0);
  for (const other of others) {
    // Numbers from 0 and from 1 fit most rows alike: only the first and the last tell them apart.
    const rivals = best.startsWith("index") && other.startsWith("index");
    const alike = fits(best) - fits(other) < telling;
    const differ = answers.some((_, at) => {
      const [one, two] = [places.get(best)?.[at], places.get(other)?.[at]];
      return one !== undefined && two !== undefined && one !== two;
    });
    const contradict =
      rivals && answers.some((_, at) => places.get(best)?.[at] === undefined && places.get(other)?.[at] !== undefined);
    if (differ && (alike || contradict)) {
      return { unclear: `could be ${ANSWER_NOTATIONS_ARE[best]} or ${ANSWER_NOTATIONS_ARE[other]}` };
    }
  }
  return { form: best };
}
