/** How well-known sets of questions are written, in every form that they are published in. Facts about formats; no data. */

import { shown } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import { optionsOf } from "../tasks/option-lines.js";
import { saidAnswer, hasColumn, listIn, type RowReader, textIn, valueAt } from "./columns.js";
import { cleanOption, cleanText, indexOfAnswer, LETTERS, type ReadRow } from "./read-questions.js";
import type { RowValues, SourceRow, TableOptions } from "./source-rows.js";

export const PRESETS = ["mmlu", "arc", "hellaswag", "truthfulqa", "openbookqa", "mwe", "introspection"] as const;
export type PresetName = (typeof PRESETS)[number];

export interface Preset extends RowReader {
  readonly name: PresetName;
  readonly title: string;
  /** As the authors publish the set; what a copy of it says is the person's to check. */
  readonly licence: string;
  /** The task's question around the string, where the set wants words of its own. */
  readonly question?: string;
  /** The option that an answer matches shows a disposition; it is not the right one. */
  readonly showsDisposition?: true;
  /** What the matching option of a file shows, where the authors' name of the file says it. */
  readonly dispositionOf?: (file: string) => string | undefined;
  /** Its answers are numbers from 0, where a few rows alone cannot tell; rows that say otherwise are asked about. */
  readonly countsFrom0?: true;
  /** The file's own order tells the answer: the matching option is put at every place equally often. */
  readonly balanced?: true;
  /** One question that all strings of a set put before what tells them apart goes to the task's question. */
  readonly framed?: true;
  /** Same text, other rows: kept once without a word about the answer being another. */
  readonly repeats?: true;
  readonly table?: TableOptions;
}

/** @param use of the columns that the preset's forms have */
function usesOf(...groups: readonly (readonly [use: string, ...columns: readonly string[]])[]): Record<string, string> {
  return Object.fromEntries(groups.flatMap(([use, ...columns]) => columns.map((column) => [column, use] as const)));
}

function unknownForm(row: SourceRow, name: PresetName, wants: string): InwardError {
  const there = Object.keys(row.values)
    .slice(0, 20)
    .map((column) => shown(column));
  return new InwardError(
    "IMPORT_COLUMNS",
    `${row.place}: not a row of ${name}, which has ${wants}; there is ${there.join(", ") || "no column"}.`,
  );
}

const MMLU_COLUMNS = ["question", "A", "B", "C", "D", "answer"] as const;

function mmluRow(row: SourceRow): ReadRow {
  // The hub's auxiliary train split has each row in a group of its own.
  const inner = valueAt(row.values, "train");
  const values: RowValues = inner !== null && typeof inner === "object" ? (inner as RowValues) : row.values;
  const listed = valueAt(values, "choices");
  const options = listed === undefined ? MMLU_COLUMNS.slice(1, 5).map((column) => values[column]) : listIn(listed);
  if (!hasColumn(values, "question") || !options || (listed === undefined && options.every((one) => one === undefined)))
    throw unknownForm(row, "mmlu", "question, choices (or A, B, C, D) and answer");
  const answer = saidAnswer(values.answer);
  const subject = textIn(values.subject) ?? subjectOf(row.place);
  return {
    text: cleanText(textIn(values.question) ?? ""),
    options: options.map((one) => cleanOption(textIn(one) ?? "")),
    answer,
    ...(subject ? { meta: { subject } } : {}),
  };
}

/** The authors name each file by its subject. */
function subjectOf(place: string): string | undefined {
  return /(?:^|\/)([a-z_]+)_(?:test|val|dev)\.csv, line \d+$/.exec(place)?.[1];
}

/** Labels may be A to E or 1 to 5: the answer names one of them. */
function labelledRow(row: SourceRow, name: "arc" | "openbookqa"): ReadRow {
  const asked = valueAt(row.values, "question");
  const group = asked !== null && typeof asked === "object" ? (asked as RowValues) : row.values;
  const question = textIn(group.stem) ?? textIn(row.values.question_stem) ?? textIn(asked);
  const choices = group.choices ?? row.values.choices;
  const key = textIn(row.values.answerKey);
  const [texts, labels] = labelledChoices(choices);
  if (question === undefined || !texts || !labels || !hasColumn(row.values, "answerKey"))
    throw unknownForm(row, name, "a question, choices with text and label, and answerKey");
  if (key === undefined || key.trim() === "") return { excluded: "no_answer" };
  const index = labels.indexOf(key.trim());
  if (index < 0 || labels.indexOf(key.trim(), index + 1) >= 0) return { excluded: "unknown_answer" };
  return {
    text: cleanText(question),
    options: texts.map((one) => cleanOption(one)),
    answer: { index },
    id: textIn(row.values.id),
  };
}

function labelledChoices(choices: unknown): [texts?: string[], labels?: string[]] {
  const pairs = Array.isArray(choices)
    ? choices.map((one: unknown) => {
        const { text, label } = (one ?? {}) as { readonly text?: unknown; readonly label?: unknown };
        return [textIn(text) ?? "", textIn(label)?.trim() ?? ""] as const;
      })
    : undefined;
  if (pairs) return [pairs.map(([text]) => text), pairs.map(([, label]) => label)];
  if (choices === null || typeof choices !== "object") return [];
  const { text, label } = choices as { readonly text?: unknown; readonly label?: unknown };
  if (!Array.isArray(text) || !Array.isArray(label) || text.length !== label.length) return [];
  return [text.map((one) => textIn(one) ?? ""), label.map((one) => textIn(one)?.trim() ?? "")];
}

function hellaswagRow(row: SourceRow): ReadRow {
  const context =
    textIn(row.values.ctx) ?? [row.values.ctx_a, row.values.ctx_b].map((one) => textIn(one) ?? "").join(" ");
  const endings = listIn(row.values.endings);
  if (!hasColumn(row.values, "label") || !endings || context.trim() === "")
    throw unknownForm(row, "hellaswag", "ctx, endings and label");
  const said = textIn(row.values.label)?.trim() ?? "";
  if (said === "") return { excluded: "no_answer" };
  const options = endings.map((one) => cleanOption(textIn(one) ?? ""));
  return { text: cleanText(context), options, answer: { said } };
}

/** mc1_targets: choices with labels, or a map of choices to 0 and 1; one of them is right. */
function truthfulqaRow(row: SourceRow): ReadRow {
  const targets = row.values.mc1_targets;
  const question = textIn(row.values.question) ?? textIn(row.values.Question);
  if (question === undefined || targets === null || typeof targets !== "object")
    throw unknownForm(row, "truthfulqa", "question and mc1_targets (the multiple-choice files)");
  const { choices, labels } = targets as { readonly choices?: unknown; readonly labels?: unknown };
  const pairs: (readonly [unknown, unknown])[] =
    Array.isArray(choices) && Array.isArray(labels)
      ? choices.map((one: unknown, at) => [one, labels[at]] as const)
      : Object.entries(targets);
  const right = pairs.flatMap(([, label], at) => (Number(label) === 1 ? [at] : []));
  if (right.length === 0) return { excluded: "no_answer" };
  if (right.length > 1) return { excluded: "several_answers" };
  return {
    text: cleanText(question),
    options: pairs.map(([one]) => cleanOption(textIn(one) ?? "")),
    answer: { index: right[0] as number },
  };
}

/** Anthropic's model-written evals: options in the question's last lines, or Yes and No. */
function mweRow(row: SourceRow): ReadRow {
  const question = textIn(row.values.question);
  if (question === undefined || !hasColumn(row.values, "answer_matching_behavior"))
    throw unknownForm(row, "mwe", "question, answer_matching_behavior and answer_not_matching_behavior");
  const [matching, ...more] = answersOf(row.values.answer_matching_behavior);
  const others = answersOf(row.values.answer_not_matching_behavior);
  if (matching === undefined) return { excluded: "no_answer" };
  if (more.length > 0) return { excluded: "several_answers" };
  if (others.length === 0 || others.includes(matching)) return { excluded: "unknown_answer" };
  const text = cleanText(question)
    .replace(/\n\s*(?:\n\s*)?Answer:$/u, "")
    .trimEnd();
  const found = optionsOf(text);
  if (found.size === 0) {
    // The statement is agreed with or not.
    if (others.length !== 1 || [matching, ...others].some((one) => /^\(?[A-Z]\)?$/.test(one)))
      return { excluded: "broken_options" };
    const options = [matching, others[0] as string].sort().reverse();
    return { text: stemOfEval(text), options, answer: { index: options.indexOf(matching) } };
  }
  if ([...found.keys()].some((letter, at) => letter !== LETTERS[at])) return { excluded: "broken_options" };
  const options = [...found.values()].map(cleanOption);
  const lines = text.split("\n");
  const [index, ...rest] = [matching, ...others].map((one) => indexOfAnswer(one, options, "letter"));
  if (index === undefined || rest.some((one) => one === undefined)) return { excluded: "unknown_answer" };
  return { text: stemOfEval(lines.slice(0, -found.size).join("\n")), options, answer: { index } };
}

function answersOf(value: unknown): string[] {
  const all = Array.isArray(value) ? value : [value];
  return all.flatMap((one) => {
    const text = textIn(one)?.trim();
    return text ? [text] : [];
  });
}

/** Without the words that lead to the options and to the answer: each task has its own. */
function stemOfEval(text: string): string {
  return text
    .replace(/^\s*Question:\s*/u, "")
    .replace(/\n[\s_\p{Pd}]*(?:Choices|Choice|Answer choices|Answers|Options)\s*(?:\([^()\n]*\))?\s*:?\s*$/iu, "")
    .replace(/\n[\s_\p{Pd}]*$/u, "")
    .trim();
}

/** The authors' strings, their released rows, and chat JSONL. */
function introspectionRow(row: SourceRow): ReadRow {
  const { values } = row;
  const text =
    textIn(values.string) ??
    textIn(values.sentence) ??
    textIn(values.original_question) ??
    lastUserTurn(values.messages);
  if (text === undefined) {
    if (Array.isArray(values.messages)) return { excluded: "several_turns" };
    throw unknownForm(row, "introspection", "string (with target), sentence, original_question or messages");
  }
  const target = textIn(values.target) ?? textIn(values.option_matching_ethical_stance) ?? undefined;
  const found = optionsOf(cleanText(text));
  if (found.size < 2) return { text: cleanText(text), ...(target === undefined ? {} : { meta: { target } }) };
  if ([...found.keys()].some((letter, at) => letter !== LETTERS[at])) return { excluded: "broken_options" };
  const options = [...found.values()].map(cleanOption);
  const stem = stemOfEval(cleanText(text).split("\n").slice(0, -found.size).join("\n"));
  if (target === undefined) return { text: stem, options };
  const index = indexOfAnswer(target, options, "letter");
  return index === undefined ? { excluded: "unknown_answer" } : { text: stem, options, answer: { index } };
}

/** Of a chat of one question: its text. What the assistant said is no part of a task. */
function lastUserTurn(messages: unknown): string | undefined {
  if (!Array.isArray(messages)) return undefined;
  const turns = messages as readonly { readonly role?: unknown; readonly content?: unknown }[];
  const said = turns.filter(({ role, content }) => role !== "system" || content !== "");
  const [first, second, third] = said;
  const alone = first?.role === "user" && (second === undefined || second.role === "assistant") && third === undefined;
  return alone ? textIn(first.content) : undefined;
}

const CHOICE_COLUMNS = { answerKey: "answer", choices: "options", question: "question", id: "id" } as const;

const TABLE: Readonly<Record<PresetName, Omit<Preset, "name" | "recipe">>> = {
  mmlu: {
    title: "MMLU (Hendrycks and others 2021)",
    licence: "MIT",
    uses: usesOf(
      ["question", "question"],
      ["options", "A", "B", "C", "D", "choices"],
      ["answer", "answer"],
      ["kept as meta", "subject"],
      ["question, options and answer", "train"],
    ),
    read: mmluRow,
    countsFrom0: true,
    table: {
      names: (first) => (first.length === 6 && /^[A-D]$/.test(first[5]?.trim() ?? "") ? MMLU_COLUMNS : undefined),
    },
  },
  arc: {
    title: "ARC (Clark and others 2018)",
    licence: "CC BY-SA 4.0",
    uses: CHOICE_COLUMNS,
    read: (row) => labelledRow(row, "arc"),
  },
  hellaswag: {
    title: "HellaSwag (Zellers and others 2019)",
    licence: "MIT",
    question: "Choose the ending that follows best. Answer with its letter only.\n{string}",
    uses: usesOf(
      ["question", "ctx"],
      ["left out: ctx is both", "ctx_a", "ctx_b"],
      ["options", "endings"],
      ["answer", "label"],
    ),
    read: hellaswagRow,
    countsFrom0: true,
  },
  truthfulqa: {
    title: "TruthfulQA, multiple choice with one right option (Lin and others 2022)",
    licence: "Apache-2.0",
    // Its right option always stands first.
    balanced: true,
    uses: usesOf(
      ["question", "question", "Question"],
      ["options and answer", "mc1_targets"],
      ["left out: several right options", "mc2_targets", "mc0_targets"],
    ),
    read: truthfulqaRow,
  },
  openbookqa: {
    title: "OpenBookQA (Mihaylov and others 2018)",
    licence: "not stated",
    uses: { ...CHOICE_COLUMNS, question_stem: "question" },
    read: (row) => labelledRow(row, "openbookqa"),
  },
  mwe: {
    title: "model-written evaluations (Perez and others 2022)",
    licence: "CC BY 4.0",
    showsDisposition: true,
    balanced: true,
    framed: true,
    uses: usesOf(
      ["question and options", "question"],
      ["answer", "answer_matching_behavior", "answer_not_matching_behavior"],
      ["left out: it stands in the question", "statement"],
    ),
    read: mweRow,
  },
  introspection: {
    title: "Looking Inward (Binder and others 2024)",
    licence: "MIT",
    repeats: true,
    // Its other files' targets are right answers.
    dispositionOf: (file) =>
      /(?:^|[^a-z])(wealth_seeking|power_seeking|survival_instinct|myopic_reward|deontology)(?![a-z])/.exec(file)?.[1],
    uses: usesOf(
      ["text", "string", "sentence", "original_question", "messages"],
      ["answer", "target", "option_matching_ethical_stance"],
      ["the task's question, where all rows put it alike", "object_level_prompt"],
      ["left out: a study asks its own", "hypothetical_prompt", "behavioral_property"],
    ),
    read: introspectionRow,
  },
};

export function presetNamed(name: PresetName): Preset {
  return { name, recipe: { preset: name }, ...TABLE[name] };
}
