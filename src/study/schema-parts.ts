/** What several sections of a study's YAML are made of: names, counts, lists, texts that a model reads. */

import { z } from "zod";
import { UNSAFE_CHARACTER } from "../base/untrusted.js";

export const countUpTo = (most: number) => z.int().min(1).max(most);
export const seed = z.int().min(0);
export const share = z.number().min(0).lt(1);
/** Names of states are parts of file names, which have 255 bytes with their endings. */
export const LONGEST_STATE_NAME = 200;
export const nameUpTo = (characters: number) =>
  z
    .string()
    .max(characters)
    .regex(/^[a-z0-9][a-z0-9_.-]*$/, "use lower-case letters, digits, _ . and -, beginning with a letter or digit");
export const name = nameUpTo(100);
export const stateName = nameUpTo(LONGEST_STATE_NAME);

/** More entries than any study has, few enough to be refused before minutes go by. */
export const MOST_ENTRIES = 1000;
/** A matrix of fifty models has 2,500 pairs. */
export const MOST_PREDICTIONS = 10_000;
export const list = <Entry extends z.ZodType>(entry: Entry, most = MOST_ENTRIES) => z.array(entry).min(1).max(most);

/** Refuses a list that names something twice: it would be asked, learnt or counted twice. */
export const distinct = <Names extends z.ZodType<readonly string[]>>(what: string, names: Names) =>
  names.superRefine((all, context) => {
    const twice = all.find((one, at) => all.indexOf(one) < at);
    if (twice === undefined) return;
    context.addIssue({ code: "custom", message: `name each ${what} once; "${twice}" stands twice` });
  });

export const promptText = z
  .string()
  .refine((text) => !UNSAFE_CHARACTER.test(text), "holds a NUL or a lone surrogate, which no model can read");

/** In a plan every default stands written out: where a study may leave a key out, a plan may not. */
export function withoutDefaults<Shape extends z.ZodRawShape>(schema: z.ZodObject<Shape>): z.ZodObject<Shape> {
  const bare = Object.entries(schema.shape).map(([key, one]) => [
    key,
    one instanceof z.ZodDefault ? one.unwrap() : one,
  ]);
  return z.object(Object.fromEntries(bare) as Shape);
}

/** Of a study. */
export const judgeKey = z
  .string()
  .min(1)
  .max(1000)
  .optional()
  .describe(
    "Who judges where a judged property names no model: a name of models, or a registry name, hf: URI or path of a GGUF.",
  );
