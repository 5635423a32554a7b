/** From a name or a path to a task with its strings: a built-in one, or a user's YAML with its JSONL. */
import { readFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { InwardError } from "../errors.js";
import { nearestName } from "../nearest-name.js";
import type { Task, TaskDefinition, TaskItem } from "../records/task.js";
import { hashOf } from "../store/canonical-json.js";
import { ALL_TASKS } from "./all-tasks.js";
import { BUILT_IN_DATASETS, readBuiltInStrings } from "./built-in-strings.js";
import { decodeText } from "./decode-text.js";
import { parseStrings, type StringRow } from "./parse-strings.js";
import { parseTaskFile } from "./read-task-file.js";
import { splitByFile, splitByHash, toItems } from "./split-strings.js";
import { type TaskFile, toDefinition } from "./task-file-schema.js";

/**
 * @param nameOrPath a built-in name, or the path of a task YAML
 * @param relativeTo folder that a path starts from; the working directory when absent
 * @throws TASK_NOT_FOUND, TASK_INVALID, TASK_OVERLAP, TASK_CORRUPT
 */
export async function loadTask(nameOrPath: string, relativeTo = "."): Promise<Task> {
  const builtIn = ALL_TASKS.find(({ name }) => name === nameOrPath);
  if (builtIn) return loadBuiltInTask(builtIn);
  if (!/[\\/]|\.ya?ml$/i.test(nameOrPath)) {
    const near = nearestName(
      nameOrPath,
      ALL_TASKS.map(({ name }) => name),
    );
    throw new InwardError(
      "TASK_NOT_FOUND",
      `There is no task "${nameOrPath}".${near === undefined ? "" : ` Did you mean "${near}"?`}`,
    );
  }
  return loadUserTask(resolve(relativeTo, nameOrPath));
}

/** @param folder where the datasets lie, when not in the package */
export async function loadBuiltInTask(definition: TaskDefinition, folder = BUILT_IN_DATASETS): Promise<Task> {
  const train = await readBuiltInStrings(definition.name, "train", folder);
  const heldOut = await readBuiltInStrings(definition.name, "held_out", folder);
  return toTask(definition, train, heldOut);
}

async function loadUserTask(path: string): Promise<Task> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new InwardError("TASK_NOT_FOUND", `There is no task file that can be read at ${path} (${error.code}).`);
  });
  const file = parseTaskFile(decodeText(bytes, path), path);
  const definition = toDefinition(file, basename(path));
  const { train, heldOut } = toItems(definition, await readRows(file.strings, path));
  return toTask(definition, train, heldOut);
}

async function readRows(strings: TaskFile["strings"], taskPath: string) {
  const read = async (name: string): Promise<StringRow[]> => {
    const path = resolve(dirname(taskPath), name);
    const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      throw new InwardError(
        "TASK_INVALID",
        `${taskPath}: there are no strings that can be read at ${path} (${error.code}).`,
      );
    });
    return parseStrings(bytes, path);
  };
  if (typeof strings === "string") return splitByHash(await read(strings));
  return [...splitByFile(await read(strings.train), "train"), ...splitByFile(await read(strings.heldOut), "held_out")];
}

function toTask(definition: TaskDefinition, train: readonly TaskItem[], heldOut: readonly TaskItem[]): Task {
  return { definition, train, heldOut, sha256: hashOf({ definition, train, heldOut }) };
}
