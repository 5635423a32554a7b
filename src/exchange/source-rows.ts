/** Rows of a file of any format, each a map of columns to plain values, with its place for messages. */

import { createHash } from "node:crypto";
import { decodeUtf8, parseStrictJson, readPlainFile, shown } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import { type ByteLines, byteLines } from "../base/byte-lines.js";
import { csvTable, requireColumns } from "../base/csv.js";
import { parquetTable } from "./parquet.js";
import type { SourceFile } from "./source-files.js";

/** More than any set of questions has, few enough to be held in memory. */
const MOST_ROWS = 1_000_000;
/** Formats that are read whole. */
const MOST_WHOLE_BYTES = 512 * 1024 * 1024;

/** Columns to values: text, number, boolean, a list or a group of those. What is absent, empty or null has no value. */
export type RowValues = Readonly<Record<string, unknown>>;

export interface SourceRow {
  /** From 1 on, in its file. */
  readonly number: number;
  /** File and line, or entry, for messages. */
  readonly place: string;
  readonly values: RowValues;
}

export interface SourceTable {
  /** Where the file says them before its rows. */
  readonly columns?: readonly string[];
  readonly rows: AsyncIterable<SourceRow> | Iterable<SourceRow>;
  /** sha256 of the file, hex, once its rows were read. */
  readonly sha256: () => string;
}

export interface TableOptions {
  /** One character; a comma, or a tab for tsv, when absent. */
  readonly delimiter?: string;
  /** Names for columns of a CSV without a header. */
  readonly names?: (first: readonly string[]) => readonly string[] | undefined;
}

/** @throws IMPORT_SOURCE, IMPORT_INVALID with the line, also while rows are read */
export async function openTable(file: SourceFile, options: TableOptions = {}): Promise<SourceTable> {
  if (file.format === "parquet") {
    const table = await parquetTable(file, { mostRows: MOST_ROWS, mostBytes: MOST_WHOLE_BYTES });
    requireColumns(table.columns ?? [], { path: file.path, code: "IMPORT_INVALID" });
    return table;
  }
  if (file.format === "json") return jsonTable(file);
  const lines = byteLines(file.path);
  if (file.format === "text")
    return { columns: ["text"], rows: counted(textRows(lines, file), file), sha256: lines.sha256 };
  if (file.format === "jsonl") return jsonLinesTable(file, lines);
  return csvSource(file, lines, options);
}

function* counted(rows: Iterable<SourceRow>, { path }: SourceFile): Generator<SourceRow> {
  for (const row of rows) {
    if (row.number > MOST_ROWS) {
      throw new InwardError(
        "IMPORT_INVALID",
        `${row.place}: ${path} has more than ${MOST_ROWS} rows; take a part of it.`,
      );
    }
    yield row;
  }
}

function* textRows({ lines }: ByteLines, { name }: SourceFile): Generator<SourceRow> {
  let at = 0;
  for (const { text, number } of lines) {
    if (text.trim() !== "") yield { number: ++at, place: `${name}, line ${number}`, values: { text } };
  }
}

function csvSource(file: SourceFile, lines: ByteLines, { delimiter, names }: TableOptions): SourceTable {
  const mark = delimiter ?? (file.format === "tsv" ? "\t" : ",");
  const { columns, rows } = csvTable(lines.lines, mark, { path: file.path, code: "IMPORT_INVALID", names });
  function* numbered(): Generator<SourceRow> {
    let number = 0;
    for (const { values, line } of rows) yield { number: ++number, place: `${file.name}, line ${line}`, values };
  }
  return { columns, rows: counted(numbered(), file), sha256: lines.sha256 };
}

// JSON: an object a line, or one array of objects. Some files named .jsonl are such an array.

function jsonLinesTable(file: SourceFile, { lines, sha256 }: ByteLines): SourceTable {
  function* rows(): Generator<SourceRow> {
    let at = 0;
    for (const { text, number } of lines) {
      if (text.trim() === "") continue;
      const value = parseStrictJson(text, { code: "IMPORT_INVALID", place: `${file.path}, line ${number}` });
      yield {
        number: ++at,
        place: `${file.name}, line ${number}`,
        values: groupOf(value, `${file.path}, line ${number}`),
      };
    }
  }
  if (beginsWithBracket(file)) return jsonTable(file);
  return { rows: counted(rows(), file), sha256 };
}

function beginsWithBracket({ path }: SourceFile): boolean {
  const found = byteLines(path).lines;
  try {
    for (const { text } of found) if (text.trim() !== "") return text.trimStart().startsWith("[");
  } catch {
    // A line too long for an object may be an array: it is read whole, or refused there.
    return true;
  }
  return false;
}

function jsonTable(file: SourceFile): SourceTable {
  const bytes = wholeFile(file);
  const text = decodeUtf8(bytes, { code: "IMPORT_INVALID", place: file.path }).trim();
  if (!text.startsWith("[")) {
    // Lines of objects, whatever the name says.
    const { lines, sha256 } = byteLines(file.path);
    if (/^\{[^\n]*\}\s*(\n|$)/.test(text)) return jsonLinesOf(file, { lines, sha256 });
    throw new InwardError("IMPORT_INVALID", `${file.path} is no array of objects, and has no object on each line.`);
  }
  const value = parseStrictJson(text, { code: "IMPORT_INVALID", place: file.path });
  const list = value as readonly unknown[];
  const rows = list.map((one, at) => {
    const place = `${file.name}, entry ${at + 1}`;
    return { number: at + 1, place, values: groupOf(one, place) };
  });
  return { rows: counted(rows, file), sha256: () => sha256Of(bytes) };
}

function jsonLinesOf(file: SourceFile, lines: ByteLines): SourceTable {
  return jsonLinesTable({ ...file, format: "jsonl" }, lines);
}

function groupOf(value: unknown, place: string): RowValues {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new InwardError("IMPORT_INVALID", `${place}: ${shown(value)} is no object of columns.`);
  }
  return value as RowValues;
}

function wholeFile({ path }: SourceFile): Buffer {
  return readPlainFile(
    path,
    MOST_WHOLE_BYTES,
    (why) => new InwardError("IMPORT_SOURCE", `${path} cannot be read (${why}).`),
  );
}

function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
