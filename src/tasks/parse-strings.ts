/** Reads the JSONL of a task's strings: one object a line, strict; every slip is TASK_INVALID with its line. */
import { z } from "zod";
import { InwardError } from "../errors.js";
import { nearestName } from "../nearest-name.js";
import { decodeText } from "./decode-text.js";
import { safeText } from "./task-file-schema.js";

const row = z.strictObject({
  text: safeText,
  split: z.enum(["train", "held_out"]).optional(),
  target: z
    .string()
    .regex(/^[A-Z]$/, "must be one capital letter")
    .optional(),
  // Ids stand inside keys such as task/item#sample.
  id: z
    .string()
    .regex(/^[A-Za-z0-9_.-]+$/, "use letters, digits, _ . and -")
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
  const text = decodeText(bytes, path);
  const rows = text.split(/\r?\n/).flatMap((line, at) => {
    if (line.trim() === "") return [];
    const place = `${path}, line ${at + 1}`;
    return [{ ...parseRow(line, place), place }];
  });
  if (rows.length === 0) throw new InwardError("TASK_INVALID", `${path} holds no strings.`);
  return rows;
}

function parseRow(line: string, place: string): z.infer<typeof row> {
  let raw: unknown;
  try {
    raw = JSON.parse(line);
  } catch (error) {
    throw new InwardError("TASK_INVALID", `${place} is not JSON: ${(error as Error).message}`);
  }
  const result = row.safeParse(raw);
  if (result.success) return result.data;
  const { issues } = result.error;
  // A key written wrong is missing under its right name too: the first says more.
  const issue = (issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0]) as z.core.$ZodIssue;
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    const near = nearestName(key, Object.keys(row.shape));
    throw new InwardError(
      "TASK_INVALID",
      `${place}: the key "${key}" does not exist.${near === undefined ? "" : ` Did you mean "${near}"?`}`,
    );
  }
  throw new InwardError("TASK_INVALID", `${place}: ${issue.path.join(".") || "the line"}: ${issue.message}`);
}
