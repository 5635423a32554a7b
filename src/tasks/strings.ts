/** A user's own task: the YAML's keys with their defaults, the JSONL of its strings, the split of both into train and held-out. */

import { inSeededOrder } from "../base/random.js";
import { z } from "zod";
import { mostTelling } from "../base/schema-issue.js";
import { decodeUtf8, didYouMean, linesOf, parseStrictJson, shown, UNSAFE_CHARACTER } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import { likenessOf } from "./near-twins.js";
import { idsInBothOrders, inOtherOrder, lettersOf } from "./option-lines.js";
import { answering, answeringKeys } from "./option-keys.js";
import {
  type AnswerForm,
  type EarlierTurn,
  type Split,
  STRING_SLOT,
  type TaskDefinition,
  type TaskItem,
  type TaskKind,
} from "./task.js";

/** Far more than any model reads at once; rules on a string, and messages about it, stay fast. */
const MOST_CHARACTERS = 100_000;
const MOST_TURNS = 100;
/** Columns that are kept of one string. */
export const MOST_META = 100;
/** Of what becomes a part of keys and file names. */
const MOST_NAME_CHARACTERS = 100;

const nameOf = (pattern: RegExp, what: string) =>
  z.string().max(MOST_NAME_CHARACTERS, `must have at most ${MOST_NAME_CHARACTERS} characters`).regex(pattern, what);
const NAME = /^[a-z0-9][a-z0-9_.-]*$/;
const ID = /^[A-Za-z0-9_.-]+$/;
/** Of tasks that do not say. */
export const KIND_DEFAULTS: Readonly<
  Record<TaskKind, { readonly answerForm: AnswerForm; readonly maxTokens: number }>
> = {
  sequence: { answerForm: "any", maxTokens: 20 },
  numbers: { answerForm: "number", maxTokens: 8 },
  continuation: { answerForm: "any", maxTokens: 24 },
  options: { answerForm: "option_letter", maxTokens: 4 },
};

const safeText = z
  .string()
  .max(MOST_CHARACTERS, `must have at most ${MOST_CHARACTERS} characters`)
  .refine((text) => text.trim() !== "", "must not be empty")
  .refine((text) => !UNSAFE_CHARACTER.test(text), "holds a NUL or a lone surrogate, which no model can read");

/** The turns before the question; the chat goes on after them with the user's. */
const before = z
  .array(z.strictObject({ role: z.enum(["user", "assistant"]), content: safeText }))
  .min(2)
  .max(MOST_TURNS)
  .refine(
    (turns) => turns.length % 2 === 0 && turns.every(({ role }, at) => role === (at % 2 === 0 ? "user" : "assistant")),
    "must be turns of user and assistant by turns, the first the user's and the last the assistant's",
  );

/** Text that a base model goes on with: the answer brings its own blank. */
const leadingText = safeText.refine(
  (text) => !/\s$/u.test(text),
  "must not end in white space: an answer begins with a blank of its own",
);

/** Where `{string}` stands, and how often. */
function slotsIn(task: { readonly question: string; readonly before?: readonly EarlierTurn[] | undefined }): number {
  const texts = [task.question, ...(task.before ?? []).map(({ content }) => content)];
  return texts.reduce((sum, text) => sum + text.split(STRING_SLOT).length - 1, 0);
}

const hasOneSlot = (task: Parameters<typeof slotsIn>[0]) => slotsIn(task) === 1;
const NOT_ONE_SLOT = {
  path: ["question"],
  message: `must hold ${STRING_SLOT} exactly once, it or one turn of before: the place of the item's text`,
};
/** What a task is in plain text, in the place of its question and of the turns before it. */
const plain = z.strictObject({ question: leadingText, before: before.optional() });
const PLAIN_NOT_ONE_SLOT = { ...NOT_ONE_SLOT, path: ["plain", "question"] };
type OwnTask = Parameters<typeof slotsIn>[0] & { readonly plain?: Parameters<typeof slotsIn>[0] | undefined };
const plainHasOneSlot = (task: OwnTask) =>
  task.plain === undefined || slotsIn({ ...task.plain, before: task.plain.before ?? task.before }) === 1;
const file = z.string().min(1).describe("A JSONL file, its path from the task file.");

const keys = {
  name: nameOf(NAME, "use lower-case letters, digits, _ . and -, beginning with a letter or digit"),
  kind: z
    .enum(["sequence", "numbers", "continuation", "options"])
    .describe(
      "What a string is: a list of words, a list of numbers, prose to go on with, or a choice with lettered options.",
    ),
  summary: z.string().min(1).optional().describe("One line for reports."),
  question: safeText.describe("The prompt; {string} stands once, in it or in a turn of before."),
  before: before.optional().describe("Earlier turns, user and assistant by turns."),
  answerForm: z
    .enum(["any", "one_word", "number", "option_letter"])
    .optional()
    .describe("What an answer must be to comply; by the kind when absent."),
  examples: z
    .array(z.strictObject({ text: safeText, answer: safeText }))
    .default([])
    .describe("Solved examples; their texts are no strings of the task."),
  properties: z
    .array(z.string().min(1))
    .min(1)
    .refine((names) => new Set(names).size === names.length, "name each property once")
    .describe("Asked when a study names none."),
  maxTokens: z.int().min(1).max(4096).optional().describe("Longest answer; by the kind when absent."),
  licence: z.string().min(1).default("not stated").describe("Of the strings."),
  source: z.string().min(1).optional().describe("Where the strings come from."),
  // matches_target is about right answers.
  disposition: nameOf(NAME, "use lower-case letters, digits, _ . and -")
    .refine((name) => name !== "target", "may not be called target, whose property is about right answers")
    .optional()
    .describe("Options: what choosing the target shows, for the property matches_<disposition>."),
  dispositionQuestion: safeText
    .refine((text) => /\btrue\b/i.test(text) && /\bfalse\b/i.test(text), "must say how to reply: true or false")
    .optional()
    .describe("The question about the disposition; ends with how to reply."),
  bothOrders: z.boolean().optional().describe("Options: every string is asked in both orders of its two options."),
  ...answeringKeys,
  plain: plain.optional().describe("The words that a base model is asked in."),
  // Their keys are read where properties are known.
  ownProperties: z
    .record(z.string(), z.unknown())
    .optional()
    .describe("Properties of the task's own, by name, as ownProperties of a study."),
  propertiesFrom: z
    .array(file)
    .min(1)
    .max(100)
    .optional()
    .describe("YAML files of own properties, relative to the task file."),
};

/** `strings: file.jsonl`, or one file for each split. Two schemas, so that a slip inside the pair is named and not "invalid union". */
export const oneFileTask = z
  .strictObject({ ...keys, strings: file })
  .refine(hasOneSlot, NOT_ONE_SLOT)
  .refine(plainHasOneSlot, PLAIN_NOT_ONE_SLOT);
export const twoFileTask = z
  .strictObject({ ...keys, strings: z.strictObject({ train: file, heldOut: file }) })
  .refine(hasOneSlot, NOT_ONE_SLOT)
  .refine(plainHasOneSlot, PLAIN_NOT_ONE_SLOT);

/** The whole YAML, for editors. */
export const taskFileSchema = z.union([oneFileTask, twoFileTask]);

/** Keys known at a path of the YAML, for errors that name the nearest one. */
export function knownTaskKeys(path: readonly PropertyKey[]): string[] {
  if (path[0] === "strings") return ["train", "heldOut"];
  if (path[0] === "examples") return ["text", "answer"];
  if (path.includes("before")) return ["role", "content"];
  if (path[0] === "plain") return Object.keys(plain.shape);
  return Object.keys(oneFileTask.shape);
}

export type TaskFile = z.infer<typeof oneFileTask> | z.infer<typeof twoFileTask>;

/**
 * @param fileName the YAML's own name, stated as the source when it names none
 * @param rows targets of an options task are right answers, where they do not show a disposition
 */
export function toDefinition(
  { strings: _, ownProperties: __, propertiesFrom: ___, reading, answerBy, optionScore, orders, ...task }: TaskFile,
  fileName: string,
  rows: readonly Pick<StringRow, "target">[] = [],
): TaskDefinition {
  const hasRightAnswers =
    task.kind === "options" && task.disposition === undefined && rows.some(({ target }) => target !== undefined);
  return {
    ...task,
    summary: task.summary ?? `own task of ${fileName}`,
    answerForm: task.answerForm ?? KIND_DEFAULTS[task.kind].answerForm,
    maxTokens: task.maxTokens ?? KIND_DEFAULTS[task.kind].maxTokens,
    source: task.source ?? fileName,
    ...answering({ reading, answerBy, optionScore, orders }),
    ...(hasRightAnswers ? { features: ["right_answer"] } : {}),
  };
}

const row = z.strictObject({
  text: safeText,
  split: z.enum(["train", "held_out"]).optional(),
  target: z
    .string()
    .regex(/^[A-Z]$/, "must be one capital letter")
    .optional(),
  // Ids stand inside keys such as task/item#sample.
  id: nameOf(ID, "use letters, digits, _ . and -").optional(),
  cluster: nameOf(ID, "use letters, digits, _ . and -").optional(),
  meta: z
    .record(
      z.string().min(1).max(MOST_NAME_CHARACTERS, `must have at most ${MOST_NAME_CHARACTERS} characters`),
      z.union([z.string().max(MOST_CHARACTERS), z.number(), z.boolean()], "must be a text, a number, true or false"),
    )
    .refine((meta) => Object.keys(meta).length <= MOST_META, `must have at most ${MOST_META} keys`)
    .optional(),
});

/** A string as its file gives it. */
export interface StringRow extends z.infer<typeof row> {
  /** File and line, for messages. */
  readonly place: string;
}

/**
 * @param bytes the file's content; blank lines are skipped
 * @throws TASK_INVALID not UTF-8, not JSON, an unknown or missing key, no strings at all
 */
export function parseStrings(bytes: Uint8Array, path: string): StringRow[] {
  const text = decodeUtf8(bytes, { code: "TASK_INVALID", place: path });
  const rows = linesOf(text, path).map((line) => ({ ...parseRow(line.text, line.place), place: line.place }));
  if (rows.length === 0) throw new InwardError("TASK_INVALID", `${path} holds no strings.`);
  return rows;
}

function parseRow(line: string, place: string): z.infer<typeof row> {
  const result = row.safeParse(parseStrictJson(line, { code: "TASK_INVALID", place }));
  if (result.success) return result.data;
  const issue = mostTelling(result.error);
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    const meant = didYouMean(key, Object.keys(row.shape));
    throw new InwardError("TASK_INVALID", `${place}: the key ${shown(key)} does not exist.${meant}`);
  }
  throw new InwardError("TASK_INVALID", `${place}: ${issue.path.join(".") || "the line"}: ${issue.message}`);
}

// Gives every string of a user's task its split and its id, and makes sure that nothing scored can have been seen.

/** A string with its split settled. */
interface SplitRow extends StringRow {
  readonly split: Split;
}

/**
 * Half and half by a hash of the text, within each target letter, when no line names a split; lines of one cluster stay together, and so do
 * near twins. The same strings in any order give the same halves.
 * @param chance another seed gives other halves; `trainShare` says how much of each target letter's strings are train strings
 * @throws TASK_INVALID when some lines name a split and others do not
 */
export function splitByHash(
  kind: TaskKind,
  rows: readonly StringRow[],
  { seed, trainShare = 0.5 }: { readonly seed?: number; readonly trainShare?: number } = {},
): SplitRow[] {
  const without = rows.find(({ split }) => split === undefined);
  if (without === undefined) return rows as SplitRow[];
  if (rows.some(({ split }) => split !== undefined)) {
    throw new InwardError(
      "TASK_INVALID",
      `${without.place}: no split, though other lines name theirs; name it in all or none.`,
    );
  }
  const strata = new Map<string, StringRow[][]>();
  const nameOfUnit = (unit: readonly StringRow[]) =>
    seed === undefined ? unitName(unit) : `${seed}/${unitName(unit)}`;
  const trainOf = (units: readonly unknown[]) => Math.floor(units.length * trainShare);
  for (const unit of inSeededOrder(unitsOf(kind, rows), nameOfUnit)) {
    const stratum = unit
      .map(({ target = "" }) => target)
      .sort()
      .join();
    const known = strata.get(stratum);
    if (known) known.push(unit);
    else strata.set(stratum, [unit]);
  }
  const trains = new Set([...strata.values()].flatMap((units) => units.slice(0, trainOf(units)).flat()));
  // Odd ones of the larger units would all be held out: they go where fewer strings are.
  const odd = [...strata.values()].flatMap((units) =>
    units.length * trainShare > trainOf(units) ? units.slice(trainOf(units), trainOf(units) + 1) : [],
  );
  const larger = odd.filter(({ length }) => length > 1).sort((a, b) => b.length - a.length);
  let left = rows.length - trains.size - larger.flat().length;
  for (const unit of larger) {
    if (trains.size * (1 - trainShare) < left * trainShare) for (const row of unit) trains.add(row);
    else left += unit.length;
  }
  return rows.map((row) => ({ ...row, split: trains.has(row) ? "train" : "held_out" }));
}

/** A group of near twins of near twins that holds more than this share of a task's strings is too large to be on one side. */
const LARGEST_GROUP = 0.25;

/** What is on one side of the split as a whole. Where twins link too many strings, their clusters are; planning then leaves twins out. */
function unitsOf(kind: TaskKind, rows: readonly StringRow[]): StringRow[][] {
  const groups = likenessOf(kind, rows).linked(rows);
  return groups.flatMap((group) => (group.length > LARGEST_GROUP * rows.length ? clustersOf(group) : [group]));
}

function clustersOf(rows: readonly StringRow[]): StringRow[][] {
  const clusters = new Map<string, StringRow[]>();
  for (const row of rows) {
    // A cluster's name and a text are told apart by the first character.
    const name = row.cluster === undefined ? `=${row.text}` : `#${row.cluster}`;
    const known = clusters.get(name);
    if (known) known.push(row);
    else clusters.set(name, [row]);
  }
  return [...clusters.values()];
}

/** Whatever the order of its lines. */
function unitName(unit: readonly StringRow[]): string {
  const [cluster] = unit.map((row) => row.cluster);
  if (cluster !== undefined && unit.every((row) => row.cluster === cluster)) return `#${cluster}`;
  return unit.map(({ text }) => text).sort()[0] as string;
}

/** @throws TASK_INVALID when a line of a split's own file names the other split */
export function splitByFile(rows: readonly StringRow[], split: Split): SplitRow[] {
  const other = rows.find((row) => row.split !== undefined && row.split !== split);
  if (other)
    throw new InwardError("TASK_INVALID", `${other.place}: split ${other.split} in the file of ${split} strings.`);
  return rows.map((row) => ({ ...row, split }));
}

/**
 * @throws TASK_OVERLAP a string or a cluster in both splits, or a string in a solved example too
 * @throws TASK_INVALID a string or an id twice, a cluster called like a string outside it, no held-out strings, a target that is missing or has no place, options that cannot be turned round
 */
export function toItems(
  definition: TaskDefinition,
  rows: readonly SplitRow[],
): { train: TaskItem[]; heldOut: TaskItem[] } {
  checkTargets(definition, rows);
  checkTexts(definition, rows);
  checkClusters(rows);
  const train = withIds(rows, "train");
  const heldOut = withIds(rows, "held_out");
  if (heldOut.length === 0)
    throw new InwardError("TASK_INVALID", `The task ${definition.name} has no held-out strings.`);
  const places = new Map<string, string>();
  for (const { item, place } of [...train, ...heldOut]) {
    const ids = definition.bothOrders ? [item.id, ...idsInBothOrders(item.id)] : [item.id];
    for (const id of ids) {
      const earlier = places.get(id);
      if (earlier) throw new InwardError("TASK_INVALID", `${place}: the id "${id}" is that of ${earlier} too.`);
      places.set(id, place);
    }
  }
  checkClusterNames([...train, ...heldOut]);
  return { train: train.map(({ item }) => item), heldOut: heldOut.map(({ item }) => item) };
}

interface PlacedItem {
  readonly item: TaskItem;
  readonly place: string;
}

function withIds(rows: readonly SplitRow[], split: Split): PlacedItem[] {
  return rows
    .filter((row) => row.split === split)
    .map(({ id, text, target, cluster, meta, place }, at) => ({
      item: { id: id ?? `${split}-${at}`, split, text, target, cluster, meta },
      place,
    }));
}

function checkTargets({ kind, disposition, features }: TaskDefinition, rows: readonly SplitRow[]): void {
  for (const { target, place, text } of rows) {
    if (target !== undefined && kind !== "options" && features?.includes("right_answer") !== true) {
      throw new InwardError("TASK_INVALID", `${place}: only tasks of kind options have a target, not ${kind}.`);
    }
    if (target === undefined && disposition !== undefined) {
      throw new InwardError("TASK_INVALID", `${place}: no target, the letter of the option that shows ${disposition}.`);
    }
    if (target !== undefined && kind === "options" && !lettersOf(text).includes(target)) {
      throw new InwardError(
        "TASK_INVALID",
        `${place}: the target ${target} is none of the options of ${shown(text)} (${lettersOf(text).join(", ")}); options stand in the last lines, such as "A - tea".`,
      );
    }
  }
}

function checkClusters(rows: readonly SplitRow[]): void {
  const first = new Map<string, SplitRow>();
  for (const row of rows) {
    if (row.cluster === undefined) continue;
    const earlier = first.get(row.cluster) ?? row;
    first.set(row.cluster, earlier);
    if (earlier.split !== row.split) {
      throw new InwardError(
        "TASK_OVERLAP",
        `${row.place}: the cluster "${row.cluster}" has a train and a held-out string, see ${earlier.place}.`,
      );
    }
  }
}

/** A string without a cluster is one under its id: two strings, of two splits even, would be one by their names alone. */
function checkClusterNames(items: readonly PlacedItem[]): void {
  const byId = new Map(items.map((one) => [one.item.id, one]));
  for (const { item, place } of items) {
    const named = item.cluster === undefined ? undefined : byId.get(item.cluster);
    if (!named || named.item.cluster === item.cluster) continue;
    throw new InwardError(
      "TASK_INVALID",
      `${place}: the cluster "${item.cluster}" has the name of a string that is not in it, see ${named.place}; give that string the cluster too, or the cluster another name.`,
    );
  }
}

function checkTexts(definition: TaskDefinition, rows: readonly SplitRow[]): void {
  const seen = new Map<string, SplitRow>();
  for (const row of rows) {
    if (definition.bothOrders) {
      const other = inOtherOrder(row.text);
      if (!other.ok) {
        throw new InwardError(
          "TASK_INVALID",
          `${row.place}: bothOrders cannot turn ${shown(row.text)} round: ${other.reason}.`,
        );
      }
      const turned = seen.get(sameText(other.text));
      if (turned) {
        throw new InwardError(
          "TASK_INVALID",
          `${row.place}: ${shown(row.text)} is the other order of ${turned.place}, which bothOrders makes; leave one out.`,
        );
      }
    }
    const earlier = seen.get(sameText(row.text));
    if (earlier) {
      const code = earlier.split === row.split ? "TASK_INVALID" : "TASK_OVERLAP";
      const splits =
        earlier.split === row.split ? `twice among the ${row.split} strings` : "a train and a held-out string";
      throw new InwardError(code, `${row.place}: ${shown(row.text)} is ${splits}, see ${earlier.place}.`);
    }
    seen.set(sameText(row.text), row);
  }
  for (const { text } of definition.examples) {
    const row = seen.get(sameText(text));
    if (row)
      throw new InwardError(
        "TASK_OVERLAP",
        `${row.place}: ${shown(text)} is a solved example of ${definition.name} too.`,
      );
  }
}

/** Spacing is no difference between two strings. */
export function sameText(text: string): string {
  return text.normalize("NFC").trim().replace(/\s+/gu, " ");
}
