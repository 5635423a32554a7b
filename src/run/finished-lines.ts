/**
 * A JSONL file that grows as pieces of a stage's work are finished, a line a piece. Its first line says what the work is made from: of
 * the same work what an earlier process finished is kept, of other work nothing.
 */

import { z } from "zod";
import { hashOf, readJsonLines } from "../base/files.js";
import { GrownFile } from "../base/grown-file.js";

/** The first line. */
export interface BegunLine {
  readonly what: "begun";
  /** Hash of all that the lines follow from. */
  readonly madeFrom: string;
}
export const begunLineSchema = z.strictObject({ what: z.literal("begun"), madeFrom: z.string() });

export class FinishedLines<Line extends object> {
  private constructor(
    private readonly file: GrownFile,
    /** Of an earlier process, in their order. */
    readonly before: readonly Line[],
  ) {}

  /** @param madeFrom all that the lines follow from @throws STORE_CORRUPT, STORE_UNWRITABLE, STORE_DISK_FULL */
  static async open<Line extends object>(
    path: string,
    madeFrom: unknown,
    schema: z.ZodType,
  ): Promise<FinishedLines<Line>> {
    const { rows, ends } = await readJsonLines<object>(path, z.union([begunLineSchema, schema]));
    const first: BegunLine = { what: "begun", madeFrom: hashOf(madeFrom) };
    const isSame = rows[0] !== undefined && hashOf(rows[0]) === hashOf(first);
    const file = await GrownFile.open(path, isSame ? ends : []);
    const lines = new FinishedLines<Line>(file, isSame ? (rows.slice(1) as Line[]) : []);
    if (!isSame) await lines.append(first as never);
    return lines;
  }

  /** Not synced, since a line may take a millisecond to make. @throws STORE_DISK_FULL, STORE_UNWRITABLE; a torn end is cut off at the next opening */
  append(line: Line): Promise<void> {
    return this.file.append(`${JSON.stringify(line)}\n`, { synced: false });
  }

  /** @throws STORE_CORRUPT somebody else has written to it */
  close(): Promise<void> {
    return this.file.close();
  }
}
