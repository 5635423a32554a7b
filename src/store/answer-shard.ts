/**
 * The append-only file of a stage that asks: answers, or distributions of them. Work is in groups that the plan fixes; a group's lines are appended in one write
 * when all its replies are there, so that what an interruption leaves is a whole number of groups and perhaps a torn line.
 */
import { type FileHandle, open } from "node:fs/promises";
import { InwardError } from "../errors.js";
import type { Answer } from "../records/answer.js";
import { writeError } from "./file-errors.js";
import { readJsonLines } from "./read-records.js";

/** A line's place in the plan. */
interface Placed {
  readonly state: string;
  readonly key: string;
}

export class AnswerShard<Row extends Placed = Answer> {
  private constructor(
    private readonly path: string,
    private readonly file: FileHandle,
    /** Groups that are finished, the first ones of the plan's order. */
    readonly groupsDone: number,
  ) {}

  /**
   * Opens the shard and cuts off what does not make up whole groups.
   * @param groups state and key of each line, by group, in the plan's order
   * @throws STORE_CORRUPT when a complete line is no record, or not the one that the plan has at its place
   */
  static async open<Row extends Placed = Answer>(
    path: string,
    groups: readonly (readonly Placed[])[],
  ): Promise<AnswerShard<Row>> {
    const { rows, ends } = await readJsonLines<Row>(path);
    const expected = groups.flat();
    const strayAt = rows.findIndex((row, at) => row.key !== expected[at]?.key || row.state !== expected[at]?.state);
    if (strayAt >= 0) {
      throw new InwardError(
        "STORE_CORRUPT",
        `${path}, line ${strayAt + 1}: the plan has ${expected[strayAt]?.key ?? "nothing"} there, the file ${rows[strayAt]?.key}.`,
      );
    }
    let groupsDone = 0;
    let lines = 0;
    for (const group of groups) {
      if (lines + group.length > rows.length) break;
      lines += group.length;
      groupsDone++;
    }
    try {
      const file = await open(path, "a");
      await file.truncate(lines === 0 ? 0 : ends[lines - 1]);
      return new AnswerShard<Row>(path, file, groupsDone);
    } catch (error) {
      throw writeError(error, path);
    }
  }

  /** @throws STORE_DISK_FULL, STORE_UNWRITABLE; the torn end is cut off at the next opening */
  async append(answers: readonly Row[]): Promise<void> {
    try {
      await this.file.appendFile(answers.map((answer) => `${JSON.stringify(answer)}\n`).join(""));
      await this.file.datasync();
    } catch (error) {
      throw writeError(error, this.path);
    }
  }

  close(): Promise<void> {
    return this.file.close();
  }
}
