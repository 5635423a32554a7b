/** Rows as CSV, column by column: what spreadsheets and pandas read, and nothing that a spreadsheet would run. Needs nothing of Node. */

interface Kinds {
  readonly text: string;
  readonly number: number;
  /** A whole number below 2³¹. */
  readonly whole: number;
  readonly truth: boolean;
  readonly texts: readonly string[];
  readonly numbers: readonly number[];
  readonly wholes: readonly number[];
}
type ColumnKind = keyof Kinds;
export type Datum = Kinds[ColumnKind] | undefined;

export interface DataColumn<Row> {
  readonly name: string;
  readonly kind: ColumnKind;
  readonly of: (row: Row) => Datum;
}

/** A column whose values are of its kind. */
export function column<Row, Kind extends ColumnKind>(
  name: string,
  kind: Kind,
  of: (row: Row) => Kinds[Kind] | undefined,
): DataColumn<Row> {
  return { name, kind, of };
}

/** By RFC 4180, line by line, header first. Lists are JSON. A text that a spreadsheet would take for a formula gets an apostrophe before it; numbers never do. */
export function* csvLines<Row>(columns: readonly DataColumn<Row>[], rows: Iterable<Row>): Generator<string> {
  yield csvLine(columns.map(({ name }) => name));
  for (const row of rows) yield csvLine(columns.map(({ of }) => of(row)));
}

/** One line with its end. */
export function csvLine(cells: readonly Datum[]): string {
  return `${cells.map(csvField).join(",")}\r\n`;
}

/** What Excel, LibreOffice and Sheets read as the beginning of a formula, in full width too. */
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;

function csvField(value: Datum): string {
  if (value === undefined) return "";
  if (typeof value === "object") return quoted(JSON.stringify(value));
  if (typeof value !== "string") return String(value);
  return quoted(FORMULA.test(value) ? `'${value}` : value);
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
