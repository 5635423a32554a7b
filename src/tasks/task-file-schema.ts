/** The YAML of a user's own task: strict, every default filled in here. */
import { z } from "zod";
import type { AnswerForm, TaskDefinition, TaskKind } from "../records/task.js";

export const STRING_SLOT = "{string}";

const NAME = /^[a-z0-9][a-z0-9_.-]*$/;
const DEFAULTS: Readonly<Record<TaskKind, { readonly answerForm: AnswerForm; readonly maxTokens: number }>> = {
  sequence: { answerForm: "any", maxTokens: 20 },
  numbers: { answerForm: "number", maxTokens: 8 },
  continuation: { answerForm: "any", maxTokens: 24 },
  options: { answerForm: "option_letter", maxTokens: 4 },
};

/** What no prompt can carry faithfully: NUL ends a text inside llama.cpp, a lone surrogate is no character. */
export const UNSAFE_CHARACTER = /[\p{Surrogate}\0]/u;

export const safeText = z
  .string()
  .refine((text) => text.trim() !== "", "must not be empty")
  .refine((text) => !UNSAFE_CHARACTER.test(text), "holds a NUL or a lone surrogate, which no model can read");

const question = safeText.refine(
  (text) => text.split(STRING_SLOT).length === 2,
  `must hold ${STRING_SLOT} exactly once: the place of the item's text`,
);
const file = z.string().min(1);

const keys = {
  name: z.string().regex(NAME, "use lower-case letters, digits, _ . and -, beginning with a letter or digit"),
  kind: z.enum(["sequence", "numbers", "continuation", "options"]),
  summary: z.string().min(1).optional(),
  question,
  answerForm: z.enum(["any", "one_word", "number", "option_letter"]).optional(),
  examples: z.array(z.strictObject({ text: safeText, answer: safeText })).default([]),
  properties: z.array(z.string().min(1)).min(1),
  maxTokens: z.int().min(1).max(4096).optional(),
  licence: z.string().min(1).default("not stated"),
  source: z.string().min(1).optional(),
  disposition: z.string().regex(NAME, "use lower-case letters, digits, _ . and -").optional(),
};

/** `strings: file.jsonl`, or one file for each split. Two schemas, so that a slip inside the pair is named and not "invalid union". */
export const oneFileTask = z.strictObject({ ...keys, strings: file });
export const twoFileTask = z.strictObject({ ...keys, strings: z.strictObject({ train: file, heldOut: file }) });

/** Keys known at a path of the YAML, for errors that name the nearest one. */
export function knownTaskKeys(path: readonly PropertyKey[]): string[] {
  if (path[0] === "strings") return ["train", "heldOut"];
  if (path[0] === "examples") return ["text", "answer"];
  return Object.keys(oneFileTask.shape);
}

export type TaskFile = z.infer<typeof oneFileTask> | z.infer<typeof twoFileTask>;

/** @param fileName the YAML's own name, stated as the source when it names none */
export function toDefinition({ strings: _, ...task }: TaskFile, fileName: string): TaskDefinition {
  const { disposition, ...rest } = task;
  return {
    ...rest,
    summary: task.summary ?? `own task of ${fileName}`,
    answerForm: task.answerForm ?? DEFAULTS[task.kind].answerForm,
    maxTokens: task.maxTokens ?? DEFAULTS[task.kind].maxTokens,
    source: task.source ?? fileName,
    ...(disposition === undefined ? {} : { disposition }),
  };
}
