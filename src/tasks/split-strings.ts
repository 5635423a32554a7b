/** Gives every string of a user's task its split and its id, and makes sure that nothing scored can have been seen. Pure. */
import { createHash } from "node:crypto";
import { InwardError } from "../errors.js";
import type { Split, TaskDefinition, TaskItem } from "../records/task.js";
import type { StringRow } from "./parse-strings.js";

/** A string with its split settled. */
export interface SplitRow extends StringRow {
  readonly split: Split;
}

/**
 * Half and half by a hash of the text, within each target letter, when no line names a split.
 * The same strings in any order give the same halves.
 * @throws TASK_INVALID when some lines name a split and others do not
 */
export function splitByHash(rows: readonly StringRow[]): SplitRow[] {
  const without = rows.find(({ split }) => split === undefined);
  if (without === undefined) return rows as SplitRow[];
  if (rows.some(({ split }) => split !== undefined)) {
    throw new InwardError(
      "TASK_INVALID",
      `${without.place}: no split, though other lines name theirs; name it in all or none.`,
    );
  }
  const rank = ({ text }: StringRow) => createHash("sha256").update(text).digest("hex");
  const ranked = [...rows].sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
  const trains = new Set(
    [...new Set(rows.map(({ target }) => target))].flatMap((target) => {
      const same = ranked.filter((row) => row.target === target);
      return same.slice(0, same.length >> 1);
    }),
  );
  return rows.map((row) => ({ ...row, split: trains.has(row) ? "train" : "held_out" }));
}

/** @throws TASK_INVALID when a line of a split's own file names the other split */
export function splitByFile(rows: readonly StringRow[], split: Split): SplitRow[] {
  const other = rows.find((row) => row.split !== undefined && row.split !== split);
  if (other)
    throw new InwardError("TASK_INVALID", `${other.place}: split ${other.split} in the file of ${split} strings.`);
  return rows.map((row) => ({ ...row, split }));
}

/**
 * @throws TASK_OVERLAP a string in both splits, or in a solved example too
 * @throws TASK_INVALID a string or an id twice, no held-out strings, a target that is missing or has no place
 */
export function toItems(
  definition: TaskDefinition,
  rows: readonly SplitRow[],
): { train: TaskItem[]; heldOut: TaskItem[] } {
  checkTargets(definition, rows);
  checkTexts(definition, rows);
  const train = withIds(rows, "train");
  const heldOut = withIds(rows, "held_out");
  if (heldOut.length === 0)
    throw new InwardError("TASK_INVALID", `The task ${definition.name} has no held-out strings.`);
  const places = new Map<string, string>();
  for (const { item, place } of [...train, ...heldOut]) {
    const earlier = places.get(item.id);
    if (earlier) throw new InwardError("TASK_INVALID", `${place}: the id "${item.id}" is that of ${earlier} too.`);
    places.set(item.id, place);
  }
  return { train: train.map(({ item }) => item), heldOut: heldOut.map(({ item }) => item) };
}

function withIds(rows: readonly SplitRow[], split: Split): { item: TaskItem; place: string }[] {
  return rows
    .filter((row) => row.split === split)
    .map(({ id, text, target, place }, at) => ({
      item: { id: id ?? `${split}-${at}`, split, text, ...(target === undefined ? {} : { target }) },
      place,
    }));
}

function checkTargets({ kind, disposition, features }: TaskDefinition, rows: readonly SplitRow[]): void {
  for (const { target, place } of rows) {
    if (target !== undefined && kind !== "options" && features?.includes("right_answer") !== true) {
      throw new InwardError("TASK_INVALID", `${place}: only tasks of kind options have a target, not ${kind}.`);
    }
    if (target === undefined && disposition !== undefined) {
      throw new InwardError("TASK_INVALID", `${place}: no target, the letter of the option that shows ${disposition}.`);
    }
  }
}

function checkTexts(definition: TaskDefinition, rows: readonly SplitRow[]): void {
  // Spacing is no difference between two strings.
  const same = (text: string) => text.normalize("NFC").trim().replace(/\s+/gu, " ");
  const seen = new Map<string, SplitRow>();
  for (const row of rows) {
    const earlier = seen.get(same(row.text));
    if (earlier) {
      const code = earlier.split === row.split ? "TASK_INVALID" : "TASK_OVERLAP";
      const splits =
        earlier.split === row.split ? `twice among the ${row.split} strings` : "a train and a held-out string";
      throw new InwardError(code, `${row.place}: ${JSON.stringify(row.text)} is ${splits}, see ${earlier.place}.`);
    }
    seen.set(same(row.text), row);
  }
  for (const { text } of definition.examples) {
    const row = seen.get(same(text));
    if (row)
      throw new InwardError(
        "TASK_OVERLAP",
        `${row.place}: ${JSON.stringify(text)} is a solved example of ${definition.name} too.`,
      );
  }
}
