/** Parquet files, read by hyparquet in a thread of their own. */

import { Worker } from "node:worker_threads";
import { InwardError } from "../errors.js";
import { builtScript } from "../model/worker-process.js";
import type { SourceFile } from "./source-files.js";
import type { RowValues, SourceRow, SourceTable } from "./source-rows.js";

export interface ParquetTask {
  readonly path: string;
  readonly mostRows: number;
  readonly mostBytes: number;
}

/** What the thread says: what the file holds, then rows as they are asked for, or why it cannot go on. */
export type ParquetAnswer =
  | { readonly columns: readonly string[]; readonly total: number; readonly sha256: string }
  | { readonly rows: readonly RowValues[] }
  | { readonly failed: string };

/** A batch of rows takes milliseconds; a file that keeps its reader busy for so long is none. What a damaged one says of its lengths can be gone through for hours. */
const mostSeconds = (bytes: number) => Math.min(60, 6 + Math.ceil(bytes / 2 ** 20));
const MOST_MEGABYTES = 4096;

/** @throws IMPORT_INVALID */
export async function parquetTable(file: SourceFile, limits: Omit<ParquetTask, "path">): Promise<SourceTable> {
  const thread = new ParquetThread(file, limits);
  const opened = await thread.answer();
  if (!("columns" in opened)) throw thread.refused("it is damaged");
  const { columns, total, sha256 } = opened;
  async function* rows(): AsyncGenerator<SourceRow> {
    try {
      for (let number = 0; number < total; ) {
        const batch = await thread.next();
        if (!("rows" in batch)) throw thread.refused("it is damaged");
        for (const values of batch.rows) yield { number: ++number, place: `${file.name}, row ${number}`, values };
      }
    } finally {
      await thread.end();
    }
  }
  if (total === 0) await thread.end();
  return { columns, rows: rows(), sha256: () => sha256 };
}

class ParquetThread {
  private readonly worker: Worker;
  private isOver = false;
  /** Who waits for what the thread says next. */
  private waiting: ((answer: ParquetAnswer) => void) | undefined;

  constructor(
    private readonly file: SourceFile,
    limits: Omit<ParquetTask, "path">,
  ) {
    this.worker = new Worker(builtScript("./parquet-worker.js", import.meta.url), {
      workerData: { path: file.path, ...limits } satisfies ParquetTask,
      resourceLimits: { maxOldGenerationSizeMb: MOST_MEGABYTES },
      stdout: true,
      stderr: true,
    });
    this.worker.on("message", (answer: ParquetAnswer) => this.waiting?.(answer));
    for (const event of ["error", "exit"]) {
      this.worker.on(event, () => {
        this.isOver = true;
        this.waiting?.({ failed: "it is damaged" });
      });
    }
  }

  next(): Promise<ParquetAnswer> {
    this.worker.postMessage("next");
    return this.answer();
  }

  /** @throws IMPORT_INVALID after which the thread is over */
  async answer(): Promise<ParquetAnswer> {
    let timer: NodeJS.Timeout | undefined;
    const answer = await new Promise<ParquetAnswer>((resolve) => {
      this.waiting = resolve;
      const seconds = mostSeconds(this.file.bytes);
      timer = setTimeout(() => resolve({ failed: `it kept its reader busy for ${seconds} s` }), 1000 * seconds);
      if (this.isOver) resolve({ failed: "it is damaged" });
    }).finally(() => clearTimeout(timer));
    if (!("failed" in answer)) return answer;
    await this.end();
    throw this.refused(answer.failed);
  }

  refused(why: string): InwardError {
    return new InwardError("IMPORT_INVALID", `${this.file.path} is no Parquet file that can be read: ${why}.`);
  }

  async end(): Promise<void> {
    await this.worker.terminate();
  }
}
