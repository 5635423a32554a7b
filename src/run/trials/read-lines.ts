/** Files of lines, read as they are: a piece at a time, with the place of each line, and what is no line of ours told instead of thrown. */

import { open } from "node:fs/promises";
import { constants } from "node:fs";
import type { z } from "zod";
import { mostTelling } from "../../base/schema-issue.js";
import { NO_LINK } from "../../base/untrusted.js";
import { plainPath, type LookedAt, statRunFile } from "./plain-files.js";

const PIECE = 1 << 20;
/** A longer line is nobody's answer. */
const LONGEST_LINE = 64 * 1024 * 1024;
/** Of the lines that are passed over, so many are told with their reason. */
const TOLD = 20;

/** Where a line stands in its file. */
export interface LinePlace {
  /** From 0. */
  readonly line: number;
  /** Bytes. */
  readonly start: number;
  readonly length: number;
}

export interface PassedOver {
  readonly count: number;
  readonly first: readonly string[];
}

/**
 * @param schema what each line must be
 * @param onRow called for each line that is; the last one, where it has no line feed, is still being written and no record
 * @throws STORE_INCOMPLETE, STORE_CORRUPT where there is no plain file
 */
export async function readViewLines<Row>(
  run: LookedAt,
  name: string,
  schema: z.ZodType | undefined,
  onRow: (row: Row, place: LinePlace) => void,
): Promise<PassedOver> {
  statRunFile(run, name);
  const file = await open(plainPath(run, name), constants.O_RDONLY | NO_LINK);
  const first: string[] = [];
  let count = 0;
  const passOver = (line: number, why: string) => {
    count++;
    if (first.length < TOLD) first.push(`${name}, line ${line + 1}: ${why}`);
  };
  try {
    let line = 0;
    let start = 0;
    let rest: Buffer[] = [];
    let restLength = 0;
    const take = (bytes: Buffer) => {
      const place = { line, start, length: bytes.length };
      line++;
      start += bytes.length + 1;
      const parsed = parseRow<Row>(bytes, schema);
      if (parsed.ok) onRow(parsed.row, place);
      else passOver(place.line, parsed.why);
    };
    for (;;) {
      const piece = Buffer.alloc(PIECE);
      const { bytesRead } = await file.read(piece, 0, PIECE);
      if (bytesRead === 0) break;
      let from = 0;
      for (let end = piece.indexOf(10); end >= 0 && end < bytesRead; end = piece.indexOf(10, from)) {
        const bytes = piece.subarray(from, end);
        take(rest.length === 0 ? bytes : Buffer.concat([...rest, bytes]));
        rest = [];
        restLength = 0;
        from = end + 1;
      }
      if (from >= bytesRead) continue;
      rest.push(piece.subarray(from, bytesRead));
      restLength += bytesRead - from;
      if (restLength > LONGEST_LINE) {
        passOver(line, `it is longer than ${LONGEST_LINE} bytes; what follows was not read`);
        return { count, first };
      }
    }
    if (restLength > 0) passOver(line, "it is cut off: still being written, or its process was killed");
    return { count, first };
  } finally {
    await file.close();
  }
}

type Parsed<Row> = { readonly ok: true; readonly row: Row } | { readonly ok: false; readonly why: string };

function parseRow<Row>(bytes: Buffer, schema: z.ZodType | undefined): Parsed<Row> {
  let row: unknown;
  try {
    row = JSON.parse(bytes.toString("utf8"));
  } catch {
    return { ok: false, why: "it is no JSON" };
  }
  if (row === null || typeof row !== "object") return { ok: false, why: "it is no JSON object" };
  const checked = schema?.safeParse(row);
  if (checked?.success === false) {
    const { path, message } = mostTelling(checked.error);
    return { ok: false, why: `${path.join(".") || "the line"}: ${message}` };
  }
  return { ok: true, row: row as Row };
}

/** Lines of a file by a key of their own, to be read one by one. */
export class LineIndex {
  readonly #places = new Map<string, LinePlace>();

  constructor(
    readonly run: LookedAt,
    readonly name: string,
  ) {}

  /** The first line of a key counts, as for every reader of a run. */
  add(key: string, place: LinePlace): void {
    if (!this.#places.has(key)) this.#places.set(key, place);
  }

  get size(): number {
    return this.#places.size;
  }

  /** @returns undefined where there is no such line @throws STORE_CORRUPT where the file was changed since it was read */
  async read<Row>(key: string, schema?: z.ZodType): Promise<Row | undefined> {
    const place = this.#places.get(key);
    if (place === undefined) return undefined;
    const file = await open(plainPath(this.run, this.name), constants.O_RDONLY | NO_LINK);
    try {
      const bytes = Buffer.alloc(place.length);
      const { bytesRead } = await file.read(bytes, 0, place.length, place.start);
      const parsed = parseRow<Row>(bytes.subarray(0, bytesRead), schema);
      return parsed.ok ? parsed.row : undefined;
    } finally {
      await file.close();
    }
  }
}
