/** Rows as CSV and as Parquet: the same columns, in the same order. What is missing is an empty field there and null here. */

import { ByteWriter, ParquetWriter, parquetWrite } from "hyparquet-writer";
import { INWARD_VERSION } from "../base/version.js";
import type { Estimate } from "../score/interval.js";
import { column, csvLines, type DataColumn } from "./csv-lines.js";

/** As the writer has it: the reader that it comes with need not be ours. */
type SchemaElement = NonNullable<Parameters<typeof parquetWrite>[0]["schema"]>[number];

/** Rows of one kind, ready to be written. */
export interface DataTable {
  readonly name: string;
  readonly rows: number;
  /** Line by line, header first. */
  readonly csv: () => Iterable<string>;
  /** The file's bytes. */
  readonly parquet: () => Uint8Array;
}

export function dataTable<Row>(name: string, columns: readonly DataColumn<Row>[], rows: readonly Row[]): DataTable {
  return {
    name,
    rows: rows.length,
    csv: () => csvLines(columns, rows),
    parquet: () => parquetBytes(columns, rows),
  };
}

/** A value, its interval, and the reason where there is none. */
export function estimateColumns<Row>(name: string, of: (row: Row) => Estimate): DataColumn<Row>[] {
  const number = (ending: string, read: (found: Extract<Estimate, { ok: true }>) => number) =>
    column<Row, "number">(`${name}${ending}`, "number", (row) => {
      const found = of(row);
      return found.ok ? read(found) : undefined;
    });
  return [
    number("", ({ value }) => value),
    number("Low", ({ low }) => low),
    number("High", ({ high }) => high),
    column(`${name}Reason`, "text", (row) => {
      const found = of(row);
      return found.ok ? undefined : found.reason;
    }),
  ];
}

const ELEMENTS: Readonly<Record<"text" | "number" | "whole" | "truth", Omit<SchemaElement, "name">>> = {
  text: { type: "BYTE_ARRAY", converted_type: "UTF8" },
  number: { type: "DOUBLE" },
  whole: { type: "INT32" },
  truth: { type: "BOOLEAN" },
};
const LISTS = { texts: "text", numbers: "number", wholes: "whole" } as const;

/** Rows that come in batches, each a row group of the file. @returns the file's bytes, piece by piece */
export async function* parquetPieces<Row>(
  columns: readonly DataColumn<Row>[],
  batches: AsyncIterable<readonly Row[]>,
): AsyncGenerator<Uint8Array> {
  const writer = new ByteWriter();
  const file = new ParquetWriter({ writer, schema: schemaOf(columns), createdBy: `inward ${INWARD_VERSION}` });
  const taken = () => {
    const bytes = new Uint8Array(writer.getBuffer());
    writer.index = 0;
    return bytes;
  };
  for await (const rows of batches) {
    await file.write({
      columnData: columns.map(({ name, of }) => ({ name, data: rows.map(of) })),
      rowGroupSize: Math.max(1, rows.length),
    });
    yield taken();
  }
  await file.finish();
  yield taken();
}

/** Snappy-packed, every column nullable, lists as Parquet lists. @returns the file's bytes */
function parquetBytes<Row>(columns: readonly DataColumn<Row>[], rows: readonly Row[]): Uint8Array {
  const writer = new ByteWriter();
  parquetWrite({
    writer,
    columnData: columns.map(({ name, of }) => ({ name, data: rows.map(of) })),
    schema: schemaOf(columns),
    createdBy: `inward ${INWARD_VERSION}`,
  });
  return new Uint8Array(writer.getBuffer());
}

function schemaOf<Row>(columns: readonly DataColumn<Row>[]): SchemaElement[] {
  return [{ name: "root", num_children: columns.length }, ...columns.flatMap(elementsOf)];
}

function elementsOf<Row>({ name, kind }: DataColumn<Row>): SchemaElement[] {
  if (!(kind in LISTS)) return [{ name, repetition_type: "OPTIONAL", ...ELEMENTS[kind as keyof typeof ELEMENTS] }];
  return [
    { name, num_children: 1, repetition_type: "OPTIONAL", converted_type: "LIST" },
    { name: "list", num_children: 1, repetition_type: "REPEATED" },
    { name: "element", repetition_type: "OPTIONAL", ...ELEMENTS[LISTS[kind as keyof typeof LISTS]] },
  ];
}
