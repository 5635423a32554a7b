/** From a name or a path to a task with its strings: a built-in one, or a user's YAML with its JSONL. */

import { readFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { LineCounter, parseDocument } from "yaml";
import type { z } from "zod";
import { hashOf } from "../base/files.js";
import { nearestName } from "../base/nearest-name.js";
import { InwardError } from "../errors.js";
import { ALL_PROPERTIES } from "../properties/all-properties.js";
import { ALL_TASKS, BUILT_IN_DATASETS, readBuiltInStrings } from "../tasks/built-in.js";
import {
  decodeText,
  knownTaskKeys,
  oneFileTask,
  parseStrings,
  splitByFile,
  splitByHash,
  type StringRow,
  type TaskFile,
  toDefinition,
  toItems,
  twoFileTask,
} from "../tasks/strings.js";
import type { Task, TaskDefinition, TaskItem } from "../tasks/task.js";

// Reads the YAML of a user's own task; every slip is TASK_INVALID with the file and, where it has one, the line.

type LineOf = (path: readonly PropertyKey[]) => string;

/** @throws TASK_INVALID */
export function parseTaskFile(text: string, path: string): TaskFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const broken = document.errors[0];
  if (broken) {
    throw new InwardError("TASK_INVALID", `${path}, line ${lines.linePos(broken.pos[0]).line}: ${broken.message}`);
  }
  const raw = toPlain(() => document.toJS({ maxAliasCount: 100 }), path);
  const placeOf: LineOf = (at) => {
    const node = document.getIn(at as (string | number)[], true) as { range?: [number, number, number] } | undefined;
    return node?.range ? `${path}, line ${lines.linePos(node.range[0]).line}` : path;
  };
  const schema = typeof raw.strings === "object" && raw.strings !== null ? twoFileTask : oneFileTask;
  const result = schema.safeParse(raw);
  if (!result.success) throw invalid(mostTelling(result.error.issues), raw, placeOf);
  checkNames(result.data, placeOf);
  return result.data;
}

/** Aliases may refer to nothing or to too much, which the parser says only now. */
function toPlain(read: () => unknown, path: string): Record<string, unknown> {
  let raw: unknown;
  try {
    raw = read();
  } catch (error) {
    throw new InwardError("TASK_INVALID", `${path}: ${(error as Error).message}`);
  }
  if (raw === null || typeof raw !== "object" || Array.isArray(raw)) {
    throw new InwardError("TASK_INVALID", `${path} is not a mapping of keys to values.`);
  }
  return raw as Record<string, unknown>;
}

/** A key written wrong is missing under its right name too: the first says more. */
function mostTelling(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue {
  return (issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0]) as z.core.$ZodIssue;
}

function invalid(issue: z.core.$ZodIssue, raw: Record<string, unknown>, placeOf: LineOf): InwardError {
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    const where = issue.path.length === 0 ? "" : ` under ${issue.path.join(".")}`;
    const place = placeOf([...issue.path, key]);
    return new InwardError(
      "TASK_INVALID",
      `${place}: the key "${key}"${where} does not exist.${meant(key, knownTaskKeys(issue.path))}`,
    );
  }
  const key = issue.path.join(".");
  if (issue.path.length === 1 && !(key in raw)) {
    return new InwardError("TASK_INVALID", `${placeOf([])}: the key "${key}" is missing.`);
  }
  return new InwardError("TASK_INVALID", `${placeOf(issue.path)}: ${key}: ${issue.message}`);
}

function checkNames(task: TaskFile, placeOf: LineOf): void {
  if (ALL_TASKS.some(({ name }) => name === task.name)) {
    throw new InwardError(
      "TASK_INVALID",
      `${placeOf(["name"])}: ${task.name} is a built-in task; give yours another name.`,
    );
  }
  const known = ALL_PROPERTIES.map(({ name }) => name);
  for (const [at, name] of task.properties.entries()) {
    if (known.includes(name)) continue;
    throw new InwardError(
      "TASK_INVALID",
      `${placeOf(["properties", at])}: there is no property "${name}".${meant(name, known)}`,
    );
  }
  if (task.disposition !== undefined && task.kind !== "options") {
    throw new InwardError(
      "TASK_INVALID",
      `${placeOf(["disposition"])}: only tasks of kind options have a disposition, not ${task.kind}.`,
    );
  }
}

function meant(name: string, known: readonly string[]): string {
  const near = nearestName(name, known);
  return near === undefined ? "" : ` Did you mean "${near}"?`;
}

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
