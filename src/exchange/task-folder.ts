/** A task that was imported: its card, and its folder, which is there whole or not at all. */

import { chmod, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { stringify } from "yaml";
import { makeFolder, writeError, writeJson, writeWhole } from "../base/files.js";
import { InwardError } from "../errors.js";
import { loadTask } from "../study/load-task.js";
import type { Task, TaskItem } from "../tasks/task.js";
import type { Exclusions } from "./read-questions.js";
import type { Source } from "./source-files.js";

/** What an import makes, before anything is written. */
export interface ImportedTask {
  readonly name: string;
  /** The YAML's keys. */
  readonly task: Readonly<Record<string, unknown>>;
  readonly rows: readonly ItemRow[];
  readonly card: TaskCard;
}

export type ItemRow = Pick<TaskItem, "id" | "split" | "text" | "target" | "meta">;

/** card.json beside a task that was imported: where its strings come from, and what was done to them. */
export interface TaskCard {
  readonly cardVersion: 1;
  readonly task: string;
  readonly inwardVersion: string;
  readonly source: {
    /** As it was given, without the folders of this machine. */
    readonly given: string;
    readonly kind: Source["kind"];
    readonly revision?: string;
    readonly files: readonly {
      readonly name: string;
      readonly bytes: number;
      readonly sha256: string;
      readonly rows: number;
    }[];
  };
  readonly licence: string;
  /** Everything that the result depends on besides the files. */
  readonly recipe: Readonly<Record<string, unknown>>;
  /** What became of each column. */
  readonly columns: Readonly<Record<string, string>>;
  readonly rows: number;
  readonly excluded: ReturnType<Exclusions["counted"]>;
  readonly train: number;
  readonly heldOut: number;
  readonly examples: number;
  /** How often each letter is the right, or the matching, one; absent where no row says. */
  readonly letters?: Readonly<Record<string, number>>;
  /** What a person should know, in sentences. */
  readonly notes: readonly string[];
  readonly strings: { readonly file: string; readonly sha256: string };
}

export const STRINGS_FILE = "strings.jsonl";
const TASK_FILE = "task.yaml";
const CARD_FILE = "card.json";

// Written whole or not at all: a folder of its own is made beside its place and renamed.

export interface WrittenTask {
  readonly folder: string;
  /** Path of the task's YAML. */
  readonly path: string;
  /** As a study would load it. */
  readonly task: Task;
}

interface TaskWriting {
  readonly replace?: boolean;
  /** Other files of the folder, by name. */
  readonly beside?: Readonly<Record<string, string>>;
  /** Works with what was written before it has its place: where this throws, nothing stays. */
  readonly tried?: (folder: string) => Promise<void>;
}

/**
 * @param folder must not be there yet, unless `replace`
 * @throws what `tried` throws · IMPORT_EXISTS, STORE_UNWRITABLE, STORE_DISK_FULL, TASK_* when a study could not load what was made
 */
export async function writeTask(
  imported: ImportedTask,
  folder: string,
  { replace = false, beside = {}, tried }: TaskWriting = {},
): Promise<WrittenTask> {
  const there = await stat(folder).catch(() => undefined);
  if (there && !replace) {
    throw new InwardError(
      "IMPORT_EXISTS",
      `${folder} is there already; give another --out, or --replace to make it anew.`,
    );
  }
  const isTask = there?.isDirectory() && (await stat(join(folder, CARD_FILE)).catch(() => undefined));
  if (there && !isTask) throw new InwardError("IMPORT_EXISTS", `${folder} is no imported task, and is not replaced.`);
  const parent = dirname(resolve(folder));
  let partial: string | undefined;
  try {
    makeFolder(parent);
    partial = await mkdtemp(join(parent, `.${basename(folder)}.partial-`));
    await writeWhole(join(partial, STRINGS_FILE), imported.rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    await writeJson(join(partial, CARD_FILE), imported.card);
    await writeWhole(join(partial, TASK_FILE), stringify(imported.task, { lineWidth: 0 }));
    for (const [name, content] of Object.entries(beside)) await writeWhole(join(partial, name), content);
    const task = await loadTask(join(partial, TASK_FILE));
    await tried?.(partial);
    // A folder that mkdtemp makes is its owner's alone.
    await chmod(partial, 0o777 & ~process.umask());
    if (there) {
      const before = `${partial}-before`;
      await rename(folder, before);
      try {
        await rename(partial, folder);
      } catch (error) {
        await rename(before, folder);
        throw error;
      }
      await rm(before, { recursive: true });
    } else await rename(partial, folder);
    return { folder, path: join(folder, TASK_FILE), task };
  } catch (error) {
    if (partial !== undefined) await rm(partial, { recursive: true, force: true }).catch(() => {});
    if (!(error instanceof InwardError)) throw writeError(error, folder);
    // What is wrong is in files that nobody will find there.
    const message = partial === undefined ? error.message : error.message.replaceAll(partial, folder);
    throw new InwardError(error.code, message, { cause: error });
  }
}
