/** Answers that another program asked for: what its log says of each sample, and of itself. Read without a model. */

import { createHash } from "node:crypto";
import type { z } from "zod";
import { mostTelling } from "../base/schema-issue.js";
import { endOfString, isExact, parseStrictJson, readPlainFile } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import type { StopReason } from "../tasks/answer.js";
import type { TokenOfLog } from "../tasks/answer-tokens.js";

/** One answer of another program's log, or why it has none. */
export interface ForeignAnswer {
  /** The log's own id of the sample. */
  readonly sample: string;
  /** Which of several answers to the sample, from 0. */
  readonly epoch: number;
  /** The last turn that was asked, as it was asked. */
  readonly question: string;
  /** Turns before it, a system message included. */
  readonly turnsBefore: number;
  /** The text; or why there is none, which is no empty answer. */
  readonly said:
    | {
        readonly ok: true;
        readonly text: string;
        readonly stop: StopReason;
        readonly by?: "loglikelihood";
        /** Where they were asked for, and the log has their logprobs. */
        readonly tokens?: readonly TokenOfLog[];
      }
    | { readonly ok: false; readonly why: string };
  /** What the log says the right answer is, where it says so: of options the letter. */
  readonly target?: string;
  /** Texts of the options in their order, where the log has them. */
  readonly options?: readonly string[];
  /** Whether the log itself counts the answer as right, where it says so. */
  readonly countedRight?: boolean;
  /** The dataset's own columns of the sample, scalars alone. */
  readonly columns: Readonly<Record<string, string | number | boolean>>;
}

export interface ForeignLog {
  readonly path: string;
  readonly bytes: number;
  /** Of the file, hex. */
  readonly sha256: string;
  readonly format: "lm-eval samples" | "inspect log";
  /** Of the program that wrote it, where it says so. */
  readonly version?: string;
  /** As the log calls it; absent where it does not say. */
  readonly model?: string;
  /** The log's own name of what it asked. */
  readonly task?: string;
  /** Temperatures that the log names. */
  readonly temperatures: readonly number[];
  /** By which of its own scores the log counts an answer as right: `acc`, the name of a scorer. */
  readonly metric?: string;
  readonly answers: readonly ForeignAnswer[];
  /** Reason -> how many samples are no answers for it. */
  readonly leftOut: Readonly<Record<string, number>>;
  /** What a reader must know of the log, in sentences. */
  readonly notes: readonly string[];
}

/** How the option of a sample that was scored by log-likelihood is chosen: as `acc` does, or as `acc_norm` does. */
export const CHOSEN_BY = ["acc", "acc_norm"] as const;
export type ChosenBy = (typeof CHOSEN_BY)[number];

/** A log that is larger is refused unread. */
export const MOST_LOG_BYTES = 256 * 1024 * 1024;

/** What a reader of one format gives: the rest is the file's. */
export type ReadLog = Omit<ForeignLog, "path" | "bytes" | "sha256">;

/** Size and checksum of a log. @throws IMPORT_SOURCE */
export function logFile(path: string): Pick<ForeignLog, "path" | "bytes" | "sha256"> {
  const content = readPlainFile(path, MOST_LOG_BYTES, unreadable(path));
  return { path, bytes: content.length, sha256: createHash("sha256").update(content).digest("hex") };
}

/** A question may be answered once in each epoch. @throws IMPORT_INVALID, IMPORT_EMPTY */
export function checkedLog(log: ForeignLog): ForeignLog {
  const seen = new Set<string>();
  for (const { sample, epoch } of log.answers) {
    const key = JSON.stringify([sample, epoch]);
    if (seen.has(key)) {
      const which = epoch === 0 ? "" : `, epoch ${epoch + 1},`;
      throw invalidLog(log.path, `the sample ${JSON.stringify(sample)}${which} stands twice`);
    }
    seen.add(key);
  }
  if (log.answers.some(({ said }) => said.ok)) return log;
  const why = Object.entries(unansweredReasons(log)).map(([reason, count]) => `${reason}: ${count}`);
  throw new InwardError("IMPORT_EMPTY", `${log.path} holds no answer (${why.join(", ") || "no samples"}).`);
}

/** Reason -> how many samples show no answer for it, whether they are left out or kept as unanswered. */
export function unansweredReasons({
  answers,
  leftOut,
}: Pick<ForeignLog, "answers" | "leftOut">): Record<string, number> {
  const counts: Record<string, number> = { ...leftOut };
  for (const { said } of answers) if (!said.ok) counts[said.why] = (counts[said.why] ?? 0) + 1;
  return counts;
}

/** The one id of an answer: `#<n>` follows where a sample was asked several times. */
export function answerId({ sample, epoch }: Pick<ForeignAnswer, "sample" | "epoch">): string {
  return epoch === 0 ? sample : `${sample}#${epoch}`;
}

export function letterAt(place: number): string {
  return String.fromCharCode(65 + place);
}

/** Scalars of a row of data; what is nested, and text that is no text, is no column. */
export function sampleColumns(row: unknown): ForeignAnswer["columns"] {
  if (row === null || typeof row !== "object" || Array.isArray(row)) return {};
  const scalars = Object.entries(row).filter(
    ([name, value]) => name !== "__proto__" && (["string", "boolean"].includes(typeof value) || Number.isFinite(value)),
  );
  return Object.fromEntries(scalars) as ForeignAnswer["columns"];
}

export function parsed<Value>(schema: z.ZodType<Value>, value: unknown, place: string): Value {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = mostTelling(result.error);
  throw invalidLog(place, `${issue.path.join(".") || "the whole"}: ${issue.message}`);
}

/**
 * JSON of a log. A score that is no number is no reason to lose a log; nor is a NUL that a tool said somewhere in it: where one stands in
 * what is read, the sample has no answer, or its question is no string. Whole numbers that a double cannot hold, such as ids of 64 bits, are
 * read as texts of the same digits.
 * @throws IMPORT_INVALID
 */
export function logJson(text: string, place: string): unknown {
  const at = { code: "IMPORT_INVALID", place, texts: "any" } as const;
  try {
    return parseStrictJson(text, at);
  } catch (error) {
    const held = withHeldNumbers(text);
    if (held === text) throw error;
    return parseStrictJson(held, at);
  }
}

/** Outside of strings: Python's numbers that JSON has not become null, and those that a double would round become text. */
function withHeldNumbers(text: string): string {
  const next = /"|-?\b(?:NaN|Infinity)\b|-?\b\d{16,}\b(?![.eE])/g;
  const parts: string[] = [];
  let from = 0;
  for (let found = next.exec(text); found; found = next.exec(text)) {
    const [said] = found;
    if (said === '"') {
      const end = endOfString(text, found.index);
      if (end < 0) break;
      next.lastIndex = end + 1;
      continue;
    }
    const isWhole = /\d/.test(said);
    if (isWhole && (isExact(said) || /[.\d+-]/.test(text[found.index - 1] ?? ""))) continue;
    parts.push(text.slice(from, found.index), isWhole ? `"${said}"` : "null");
    from = next.lastIndex;
  }
  return parts.join("") + text.slice(from);
}

export function invalidLog(path: string, why: string): InwardError {
  return new InwardError("IMPORT_INVALID", `${path}: ${why}.`);
}

export function unreadable(path: string): (why: string) => InwardError {
  return (why) => new InwardError("IMPORT_SOURCE", `${path} cannot be read (${why}).`);
}

export class Counts {
  private readonly counts = new Map<string, number>();

  add(reason: string): void {
    this.counts.set(reason, (this.counts.get(reason) ?? 0) + 1);
  }

  of(reason: string): number {
    return this.counts.get(reason) ?? 0;
  }

  get all(): Record<string, number> {
    return Object.fromEntries(this.counts);
  }
}
