/** Reads rows by columns that a person names: a question with its options and answer, or a plain text. */

import { parseStrictJson, shown } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import { MOST_META } from "../tasks/strings.js";
import type { ItemMeta } from "../tasks/task.js";
import { cleanOption, cleanText, type ReadRow, type SaidAnswer } from "./read-questions.js";
import type { RowValues, SourceRow } from "./source-rows.js";

/** How rows of one kind of file are read. */
export interface RowReader {
  /** For the card: which columns or which preset. */
  readonly recipe: Readonly<Record<string, unknown>>;
  /** What becomes of the columns that it knows; all others are kept as meta. */
  readonly uses: Readonly<Record<string, string>>;
  /** Total but for what `@throws` says. */
  readonly read: (row: SourceRow) => ReadRow;
}

export interface NamedColumns {
  readonly question?: string;
  /** One column for each option, or one that holds a list. */
  readonly options?: readonly string[];
  readonly answer?: string;
  /** Strings without options. */
  readonly text?: string;
  readonly id?: string;
}

/** A column, or a value inside a group: `choices.text`. */
export function valueAt(values: RowValues, column: string): unknown {
  if (Object.hasOwn(values, column)) return values[column];
  let found: unknown = values;
  for (const step of column.split(".")) {
    if (found === null || typeof found !== "object" || !Object.hasOwn(found, step)) return undefined;
    found = (found as Record<string, unknown>)[step];
  }
  return found;
}

/** A column that is there, whatever it holds. */
export function hasColumn(values: RowValues, column: string): boolean {
  return valueAt(values, column) !== undefined;
}

/** @returns undefined of what is no text and no number */
export function textIn(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : undefined;
}

export function saidAnswer(value: unknown): SaidAnswer {
  const text = typeof value === "number" ? value : textIn(value)?.trim();
  return text === undefined || text === "" ? undefined : { said: text };
}

/**
 * @throws IMPORT_COLUMNS columns that do not go together
 */
export function columnReader(named: NamedColumns): RowReader {
  const { question, options, answer, text, id } = named;
  const idUse = id === undefined ? {} : { [id]: "id" };
  const recipe = { columns: named };
  const idOf = (row: SourceRow) => (id === undefined ? {} : { id: textIn(valueAt(row.values, id)) });
  if (text !== undefined) {
    if (question !== undefined || options !== undefined) {
      throw new InwardError(
        "IMPORT_COLUMNS",
        "--text is for strings without options; say --question and --options instead, or --text alone.",
      );
    }
    return {
      recipe,
      uses: { [text]: "text", ...idUse },
      read: (row) => {
        const found = textIn(requireColumn(row, text, "--text"));
        return found === undefined ? { excluded: "no_text" } : { text: cleanText(found), ...idOf(row) };
      },
    };
  }
  if (question === undefined || options === undefined) {
    const missing = question === undefined ? "--question" : "--options";
    throw new InwardError(
      "IMPORT_COLUMNS",
      `${missing} is not named: multiple choice wants --question and --options, strings want --text.`,
    );
  }
  const uses = {
    [question]: "question",
    ...Object.fromEntries(options.map((option) => [option, "options"])),
    ...(answer === undefined ? {} : { [answer]: "answer" }),
    ...idUse,
  };
  return {
    recipe,
    uses,
    read: (row) => {
      const found = textIn(requireColumn(row, question, "--question"));
      const listed = readOptions(row, options);
      const said = answer === undefined ? undefined : saidAnswer(requireColumn(row, answer, "--answer"));
      if (found === undefined) return { excluded: "no_text" };
      if (listed === undefined) return { excluded: "broken_options" };
      if (answer !== undefined && said === undefined) return { excluded: "no_answer" };
      return { text: cleanText(found), options: listed, answer: said, ...idOf(row) };
    },
  };
}

/** Of a file that says its columns, a missing one is an error; in JSONL too, for the row that lacks it. */
function requireColumn(row: SourceRow, column: string, flag: string): unknown {
  const value = valueAt(row.values, column);
  if (value !== undefined) return value;
  const there = Object.keys(row.values)
    .slice(0, 20)
    .map((name) => shown(name));
  throw new InwardError(
    "IMPORT_COLUMNS",
    `${row.place}: no column ${shown(column)} (${flag}); there is ${there.join(", ") || "none"}.`,
  );
}

function readOptions(row: SourceRow, columns: readonly string[]): string[] | undefined {
  const values = columns.map((column) => requireColumn(row, column, "--options"));
  if (columns.length === 1) {
    const list = listIn(values[0]);
    return list?.map((one) => cleanOption(textIn(one) ?? ""));
  }
  const texts = values.map((value) => cleanOption(textIn(value) ?? ""));
  // Questions with fewer options leave the last columns empty.
  return texts.slice(0, texts.findLastIndex((text) => text !== "") + 1);
}

/** A list, a group with a list of texts, or a list written as JSON in a cell. */
export function listIn(value: unknown): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value;
  if (value !== null && typeof value === "object") {
    const { text } = value as { readonly text?: unknown };
    return Array.isArray(text) ? text : undefined;
  }
  if (typeof value !== "string" || !value.trim().startsWith("[")) return undefined;
  try {
    // Strict: an option that a double would round is another option.
    const parsed = parseStrictJson(value, { code: "IMPORT_INVALID", place: "a cell" });
    return Array.isArray(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

// What no reader uses is kept as meta.

/** Longer texts are the data's own matter: they would make each plan as large as its data. */
const MOST_META_CHARACTERS = 1000;

/** @returns the values that are kept, and the names of those that are too long, nested, or too many */
export function metaOf(values: RowValues, isUsed: (column: string) => boolean) {
  const kept: Record<string, string | number | boolean> = {};
  const left: string[] = [];
  for (const [column, value] of Object.entries(values)) {
    if (isUsed(column) || value === null || value === undefined || value === "") continue;
    const simple = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
    const text = simple ? value : JSON.stringify(value);
    const fits =
      column !== "" &&
      column.length <= 100 &&
      column !== "__proto__" &&
      (typeof text !== "string" || text.length <= MOST_META_CHARACTERS);
    if (fits && Object.keys(kept).length < MOST_META) kept[column] = text as string | number | boolean;
    else left.push(column);
  }
  return { meta: kept as ItemMeta, left };
}
