/** From a name or a path to a task with its strings: a built-in one, or a user's YAML with its JSONL. */

import { basename, dirname, resolve } from "node:path";
import { hashOf } from "../base/files.js";
import { mostTelling } from "../base/schema-issue.js";
import { decodeUtf8, didYouMean, readPlainFile, shown } from "../base/untrusted.js";
import { MOST_YAML_BYTES, type PlainYaml, parsePlainYaml } from "../base/yaml.js";
import { InwardError } from "../errors.js";
import { namesWith } from "../properties/all-properties.js";
import type { OwnProperties } from "../properties/own-property.js";
import { dispositionPropertyName } from "../properties/option-letters.js";
import { ALL_TASKS, BUILT_IN_DATASETS, readBuiltInStrings } from "../tasks/built-in.js";
import { inBothOrders } from "../tasks/option-lines.js";
import {
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
import { gatherProperties, parseOwnProperties } from "./load-properties.js";

/** A million strings of 60 characters. */
const MOST_STRINGS_BYTES = 64 * 1024 * 1024;

/** A task with the properties that are its own. */
export interface LoadedTask extends Task {
  readonly ownProperties: OwnProperties;
}

/**
 * @param nameOrPath a built-in name, or the path of a task YAML
 * @param relativeTo folder that a path starts from; the working directory when absent
 * @throws TASK_NOT_FOUND, TASK_INVALID, TASK_OVERLAP, TASK_CORRUPT, PROPERTY_*
 */
export async function loadTask(nameOrPath: string, relativeTo = "."): Promise<LoadedTask> {
  const builtIn = ALL_TASKS.find(({ name }) => name === nameOrPath);
  if (builtIn) return loadBuiltInTask(builtIn);
  if (!/[\\/]|\.ya?ml$/i.test(nameOrPath)) {
    const meant = didYouMean(
      nameOrPath,
      ALL_TASKS.map(({ name }) => name),
    );
    throw new InwardError("TASK_NOT_FOUND", `There is no task ${shown(nameOrPath)}.${meant}`);
  }
  return loadUserTask(resolve(relativeTo, nameOrPath));
}

/** @param folder where the datasets lie, when not in the package */
export async function loadBuiltInTask(definition: TaskDefinition, folder = BUILT_IN_DATASETS): Promise<LoadedTask> {
  const train = await readBuiltInStrings(definition.name, "train", folder);
  const heldOut = await readBuiltInStrings(definition.name, "held_out", folder);
  return toTask(definition, {}, train, heldOut);
}

async function loadUserTask(path: string): Promise<LoadedTask> {
  const bytes = readPlainFile(
    path,
    MOST_YAML_BYTES,
    (why) => new InwardError("TASK_NOT_FOUND", `There is no task file that can be read at ${path} (${why}).`),
  );
  const { own, ...file } = parseTaskFile(decodeUtf8(bytes, { code: "TASK_INVALID", place: path }), path);
  const rows = readRows(file, path);
  const definition = toDefinition(file, basename(path), rows);
  const { train, heldOut } = toItems(definition, rows);
  return toTask(definition, own, train, heldOut);
}

function readRows({ kind, strings }: Pick<TaskFile, "kind" | "strings">, taskPath: string) {
  const read = (name: string): StringRow[] => {
    const path = resolve(dirname(taskPath), name);
    const bytes = readPlainFile(
      path,
      MOST_STRINGS_BYTES,
      (why) =>
        new InwardError("TASK_INVALID", `${taskPath}: there are no strings that can be read at ${path} (${why}).`),
    );
    return parseStrings(bytes, path);
  };
  if (typeof strings === "string") return splitByHash(kind, read(strings));
  return [...splitByFile(read(strings.train), "train"), ...splitByFile(read(strings.heldOut), "held_out")];
}

function toTask(
  definition: TaskDefinition,
  own: OwnProperties,
  ...splits: [train: readonly TaskItem[], heldOut: readonly TaskItem[]]
): LoadedTask {
  const [train, heldOut] = definition.bothOrders ? splits.map((items) => items.flatMap(inBothOrders)) : splits;
  const content = { definition, train, heldOut };
  const sha256 = hashOf(Object.keys(own).length === 0 ? content : { ...content, own });
  return { ...content, sha256, ownProperties: own };
}

// The YAML of a user's own task: every slip is TASK_INVALID with the file and, where it has one, the line.

/** @returns with the definitions of its own properties, those of files that it names among them @throws TASK_INVALID, PROPERTY_* */
export function parseTaskFile(text: string, path: string): TaskFile & { readonly own: OwnProperties } {
  const { value: raw, placeOf } = parsePlainYaml(text, path, { syntax: "TASK_INVALID", content: "TASK_INVALID" });
  if (raw === null || typeof raw !== "object" || Array.isArray(raw)) {
    throw new InwardError("TASK_INVALID", `${path} is not a mapping of keys to values.`);
  }
  const group = raw as Readonly<Record<string, unknown>>;
  const schema = typeof group.strings === "object" && group.strings !== null ? twoFileTask : oneFileTask;
  const result = schema.safeParse(group);
  if (!result.success) throw invalid(mostTelling(result.error), group, placeOf);
  const ownProperties = parseOwnProperties(result.data.ownProperties ?? {}, {
    code: "TASK_INVALID",
    placeOf,
    above: ["ownProperties"],
  });
  const own = gatherProperties({ ...result.data, ownProperties }, dirname(path), path);
  checkNames(result.data, own, placeOf);
  return { ...result.data, own };
}

function invalid(
  issue: ReturnType<typeof mostTelling>,
  raw: Readonly<Record<string, unknown>>,
  placeOf: PlainYaml["placeOf"],
): InwardError {
  const at = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    const where = at === "" ? "" : ` under ${at}`;
    const place = placeOf([...issue.path, key]);
    return new InwardError(
      "TASK_INVALID",
      `${place}: the key ${shown(key)}${where} does not exist.${didYouMean(key, knownTaskKeys(issue.path))}`,
    );
  }
  if (issue.path.length === 1 && !Object.hasOwn(raw, at)) {
    return new InwardError("TASK_INVALID", `${placeOf([])}: the key "${at}" is missing.`);
  }
  return new InwardError("TASK_INVALID", `${placeOf(issue.path)}: ${at}: ${issue.message}`);
}

/** Keys that mean something for options alone, and what they are about. */
const ONLY_OF_OPTIONS = {
  disposition: "a disposition",
  dispositionQuestion: "a disposition",
  bothOrders: "options to turn round",
  reading: "an option to be read from an answer",
  answerBy: "options to be scored",
  optionScore: "options to be scored",
  orders: "options to be scored",
} as const;

function checkNames(task: TaskFile, own: OwnProperties, placeOf: PlainYaml["placeOf"]): void {
  if (ALL_TASKS.some(({ name }) => name === task.name)) {
    throw new InwardError(
      "TASK_INVALID",
      `${placeOf(["name"])}: ${task.name} is a built-in task; give yours another name.`,
    );
  }
  const shownBy = task.disposition === undefined ? [] : [dispositionPropertyName(task.disposition)];
  const known = [...namesWith(own), ...shownBy];
  for (const [at, name] of task.properties.entries()) {
    if (known.includes(name)) continue;
    throw new InwardError(
      "TASK_INVALID",
      `${placeOf(["properties", at])}: there is no property ${shown(name)}.${didYouMean(name, known)}`,
    );
  }
  for (const [key, what] of Object.entries(ONLY_OF_OPTIONS)) {
    if (task[key as keyof typeof ONLY_OF_OPTIONS] === undefined || task.kind === "options") continue;
    throw new InwardError(
      "TASK_INVALID",
      `${placeOf([key])}: only tasks of kind options have ${what}, not ${task.kind}.`,
    );
  }
  if (task.dispositionQuestion !== undefined && task.disposition === undefined) {
    throw new InwardError(
      "TASK_INVALID",
      `${placeOf(["dispositionQuestion"])}: it asks about a disposition, and the task names none; add disposition: <name>.`,
    );
  }
}
