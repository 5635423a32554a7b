/** Comma-separated values as RFC 4180 has them: quoted cells may hold delimiters, quotes and line ends. */

import { type ErrorCode, InwardError } from "../errors.js";
import type { TextLine } from "./byte-lines.js";
import { shown } from "./untrusted.js";

interface CsvRecord {
  readonly cells: readonly string[];
  /** The line that it begins on. */
  readonly line: number;
}

/** Of one cell: a quote that nobody closes would take the rest of the file with it. */
const MOST_CELL_CHARACTERS = 1_000_000;

const MOST_COLUMNS = 1000;

/** The file, for messages, and the code of what is wrong with it. */
export interface TablePlace {
  readonly path: string;
  readonly code: ErrorCode;
}

export interface CsvTable {
  readonly columns: readonly string[];
  /** Every row has each column. */
  readonly rows: Iterable<{ readonly values: Readonly<Record<string, string>>; readonly line: number }>;
}

/**
 * @param delimiter one character
 * @param at.names of columns, made from the first record, which is then a row; absent, or nothing made: the first record names them
 * @throws at.code with the line, also while rows are read: no record at all, a row of another number of cells, columns as requireColumns, a
 *   quote that is never closed, text behind a closing quote
 */
export function csvTable(
  lines: Iterable<TextLine>,
  delimiter: string,
  at: TablePlace & { readonly names?: (first: readonly string[]) => readonly string[] | undefined },
): CsvTable {
  const { path, code, names } = at;
  const records = csvRecords(lines, delimiter, at);
  const first = records.next();
  if (first.done) throw new InwardError(code, `${path} has no row.`);
  const { cells: beginning, line: begins } = first.value;
  const given = names?.(beginning);
  const columns = given ?? headerOf(beginning, delimiter, at);
  const row = (cells: readonly string[], line: number) => {
    if (cells.length !== columns.length) {
      throw new InwardError(
        code,
        `${path}, line ${line}: ${cells.length} cells, and ${given ? "the format" : "the header"} has ${columns.length}. A cell that holds ${shown(delimiter)} must stand in quotes.`,
      );
    }
    return { values: Object.fromEntries(columns.map((column, place) => [column, cells[place] as string])), line };
  };
  function* rows() {
    if (given) yield row(beginning, begins);
    for (const { cells, line } of records) yield row(cells, line);
  }
  return { columns, rows: rows() };
}

function headerOf(cells: readonly string[], mark: string, at: TablePlace): string[] {
  // The column of row numbers that pandas writes has no name.
  const columns = cells.map((cell, place) => cell.trim() || `column ${place + 1}`);
  if (cells.some((cell) => cell.includes("\r"))) {
    throw new InwardError(
      at.code,
      `${at.path}, line 1: lines end with CR alone. Save it as CSV whose lines end with LF or CRLF.`,
    );
  }
  requireColumns(columns, at);
  const other = [";", "\t", ",", "|"].find((one) => one !== mark && cells.length === 1 && cells[0]?.includes(one));
  if (other !== undefined) {
    const said = `${at.path}, line 1: one column ${shown(cells[0])}.`;
    throw new InwardError(
      at.code,
      at.code === "IMPORT_INVALID"
        ? `${said} If ${shown(other)} stands between the cells, say --delimiter ${shown(other)}.`
        : `${said} Cells are told apart by ${shown(mark)} here.`,
    );
  }
  return columns;
}

/** @throws code: too many, two of one name, `__proto__` */
export function requireColumns(columns: readonly string[], { path, code }: TablePlace): void {
  if (columns.length > MOST_COLUMNS) {
    throw new InwardError(code, `${path} has ${columns.length} columns; at most ${MOST_COLUMNS} are read.`);
  }
  const twice = columns.find((column, at) => columns.indexOf(column) < at);
  if (twice !== undefined) throw new InwardError(code, `${path}, line 1: two columns are called ${shown(twice)}.`);
  const forbidden = columns.find((column) => column === "__proto__");
  if (forbidden !== undefined) throw new InwardError(code, `${path}: a column is called "__proto__".`);
}

/** Records in order; empty lines between them are no records. A line end inside quotes is `\n`. */
function* csvRecords(
  lines: Iterable<TextLine>,
  delimiter: string,
  { path, code }: TablePlace,
): Generator<CsvRecord, undefined> {
  const refuse = (line: number, what: string) => new InwardError(code, `${path}, line ${line}: ${what}`);
  let cells: string[] = [];
  /** Of the quoted cell that is open. */
  let open: { text: string[]; characters: number; readonly line: number } | undefined;
  let began = 0;
  for (const { text, number } of lines) {
    if (!open && cells.length === 0) {
      if (text.trim() === "") continue;
      began = number;
    }
    let at = 0;
    for (;;) {
      if (!open && text[at] === '"') {
        open = { text: [], characters: 0, line: number };
        at++;
      }
      if (open) {
        const end = endOfQuoted(text, at);
        const part = text.slice(at, end < 0 ? undefined : end).replaceAll('""', '"');
        open.text.push(part);
        open.characters += part.length + 1;
        if (open.characters > MOST_CELL_CHARACTERS) {
          throw refuse(open.line, `the cell that a quote opens has more than ${MOST_CELL_CHARACTERS} characters.`);
        }
        if (end < 0) break;
        const behind = text[end + 1];
        if (behind !== undefined && behind !== delimiter) {
          throw refuse(
            number,
            `${shown(behind)} stands behind a closing quote; a quote inside a cell is written twice.`,
          );
        }
        cells.push(open.text.join("\n"));
        open = undefined;
        at = end + 2;
        if (behind === undefined) break;
      } else {
        const end = text.indexOf(delimiter, at);
        cells.push(text.slice(at, end < 0 ? undefined : end));
        if (end < 0) break;
        at = end + 1;
      }
    }
    if (open) continue;
    yield { cells, line: began };
    cells = [];
  }
  if (open) throw refuse(open.line, "a quote is opened here and never closed.");
}

/** @returns index of the quote that closes the cell; -1 where the line ends inside it */
function endOfQuoted(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at >= 0; at = text.indexOf('"', at + 2)) {
    if (text[at + 1] !== '"') return at;
  }
  return -1;
}
