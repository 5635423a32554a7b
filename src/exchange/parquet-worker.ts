/**
 * Reads a Parquet file in a thread of its own: what a damaged file makes its reader do (loop, run out of memory, fail where nobody waits)
 * ends this thread and not the command. Its parent asks for one batch of rows after the other.
 */

import { createHash } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { decompress as zstdDecompress } from "fzstd";
import { type FileMetaData, parquetMetadataAsync, parquetReadObjects, parquetSchema, type SchemaTree } from "hyparquet";
import { readPlainFile } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import type { ParquetAnswer, ParquetTask } from "./parquet.js";

const ROWS_AT_ONCE = 5_000;
const MOST_DEPTH = 64;

/** Snappy is hyparquet's own. Node has no zstd before 22. */
const COMPRESSORS = {
  GZIP: (input: Uint8Array, length: number) => gunzipSync(input, { maxOutputLength: Math.max(1, length) }),
  BROTLI: (input: Uint8Array, length: number) => brotliDecompressSync(input, { maxOutputLength: Math.max(1, length) }),
  ZSTD: (input: Uint8Array, length: number) => zstdDecompress(input, new Uint8Array(length)),
};

const { path, mostRows, mostBytes } = workerData as ParquetTask;
const say = (answer: ParquetAnswer) => parentPort?.postMessage(answer);

async function open() {
  const bytes = readPlainFile(path, mostBytes, (why) => new InwardError("IMPORT_SOURCE", `cannot be read (${why})`));
  const file = {
    byteLength: bytes.length,
    slice: (start: number, end?: number) => {
      const part = bytes.subarray(start, end);
      return part.buffer.slice(part.byteOffset, part.byteOffset + part.byteLength) as ArrayBuffer;
    },
  };
  const metadata = await parquetMetadataAsync(file);
  const total = Number(metadata.num_rows);
  if (!(total >= 0 && total <= mostRows))
    throw new InwardError("IMPORT_INVALID", `it says that it has ${total} rows, and at most ${mostRows} are read`);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  say({ columns: soundColumns(metadata), total, sha256 });
  return { file, metadata, total };
}

const opened = open();
opened.catch(fail);
let start = 0;

parentPort?.on("message", () => {
  next().catch(fail);
});

async function next(): Promise<void> {
  const { file, metadata, total } = await opened;
  const rowEnd = Math.min(total, start + ROWS_AT_ONCE);
  const rows = await parquetReadObjects({ file, metadata, compressors: COMPRESSORS, rowStart: start, rowEnd });
  if (rows.length !== rowEnd - start)
    throw new InwardError("IMPORT_INVALID", `of rows ${start + 1} to ${rowEnd} it has ${rows.length}`);
  start = rowEnd;
  say({ rows: rows.map(plainValue) as Record<string, unknown>[] });
}

/** What hyparquet trips over inside a damaged file is about its own code; which compression it has not is for the person, where there is such a one. */
function fail(error: unknown): void {
  const said = error instanceof Error ? error.message : "";
  const codec = /unsupported compression codec: (?!undefined)(\w+)/.exec(said)?.[1];
  if (error instanceof InwardError) say({ failed: said });
  else
    say({
      failed:
        codec === undefined ? "it is damaged" : `inward cannot unpack ${codec}; write it with snappy, zstd or gzip`,
    });
}

/**
 * Reading begins for all columns at once. One that the schema does not have is waited for by nobody, and its failure would end the process.
 * @returns the names of the columns
 * @throws IMPORT_INVALID where the schema and what is stored do not go together
 */
function soundColumns(metadata: FileMetaData): string[] {
  const { children } = parquetSchema(metadata);
  const leaves = new Set<string>();
  const walk = ({ children: below, path }: SchemaTree, depth: number) => {
    if (depth > MOST_DEPTH) throw new InwardError("IMPORT_INVALID", `columns nest more than ${MOST_DEPTH} deep`);
    if (below.length === 0) leaves.add(path.join("\0"));
    for (const child of below) walk(child, depth + 1);
  };
  for (const child of children) walk(child, 0);
  for (const { columns } of metadata.row_groups) {
    const stored = columns.map(({ meta_data }) => meta_data?.path_in_schema.join("\0"));
    if (new Set(stored).size < stored.length || stored.some((path) => path === undefined || !leaves.has(path))) {
      throw new InwardError("IMPORT_INVALID", "its columns are not those of its schema");
    }
  }
  return children.map(({ element }) => element.name);
}

/** What Parquet has and JSON has not: large integers, dates, bytes. */
function plainValue(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  if (value === undefined) return null;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Uint8Array) return null;
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return Array.from(value as ArrayLike<unknown>, plainValue);
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plainValue(one)]));
  }
  return value;
}
