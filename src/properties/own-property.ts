/** The words in which a user says what a property of their own is: a question, and one rule that reads a value from an answer. */

import { RE2JS, RE2JSException } from "re2js";
import { z } from "zod";
import { shown, UNSAFE_CHARACTER } from "../base/untrusted.js";
import { readChoice, readReply } from "./reading.js";
import { normalize } from "./text.js";

const MOST_CHARACTERS = 2000;
const MOST_VALUES = 500;
const MOST_PATTERN_CHARACTERS = 1000;
/** Up to here every whole number is exact as a double. */
const LARGEST_LIMIT = 1e15;
export const MOST_EXAMPLES = 1000;

const safeText = z
  .string()
  .max(MOST_CHARACTERS, `must have at most ${MOST_CHARACTERS} characters`)
  .refine((text) => text.trim() !== "", "must not be empty")
  .refine((text) => !UNSAFE_CHARACTER.test(text), "holds a NUL or a lone surrogate, which no model can read");

/** `true`, `10` and `yes` are what a person writes as a value; YAML makes numbers and booleans of the first two. */
const scalar = z
  .union([z.string(), z.number(), z.boolean()], "must be a text, a number, true or false")
  .transform(String);

/** What a reply must say to be read as it: in normal form. */
const valueText = scalar
  .transform(normalize)
  .refine((text) => text !== "", "must not be empty")
  .refine((text) => text.length <= 100, "must have at most 100 characters")
  .refine((text) => !UNSAFE_CHARACTER.test(text), "holds a NUL or a lone surrogate, which no model can read")
  .refine(
    (text) => readChoice(text, [text]).ok && hasReadableForm(text),
    "cannot be a value: a reply that says it is read as a refusal, as reasoning, or not at all",
  );

function hasReadableForm(text: string): boolean {
  const told = { name: "", summary: "", question: "", kinds: [], values: [text] } as const;
  const property = {
    ...told,
    extract: () => readChoice(text, [text]),
    read: (said: string) => readChoice(said, [text]),
  };
  return readReply(property, text, "end_of_generation").ok;
}

/** What stands in an answer to be found there, as people write it. */
const words = scalar.refine((text) => normalize(text) !== "", "must not be empty");
const wordList = z.array(words).min(1).max(MOST_VALUES);

/** A list of values, each for itself, or values with the words that stand for each. */
const classes = z.union(
  [wordList, z.record(z.string(), wordList)],
  "must be a list of values, or values with a list of words for each",
);

const pattern = z
  .string()
  .min(1)
  .max(MOST_PATTERN_CHARACTERS, `must have at most ${MOST_PATTERN_CHARACTERS} characters`)
  .superRefine((source, context) => {
    const wrong = whyNoPattern(source);
    if (wrong !== undefined) context.addIssue({ code: "custom", message: wrong });
  });

const limit = z.number().min(-LARGEST_LIMIT).max(LARGEST_LIMIT);

const MOST_JUDGED_VALUES = 26;

/** What a judge may choose, one line each. */
const optionText = scalar
  .transform((text) => text.trim())
  .refine((text) => text !== "", "must not be empty")
  .refine((text) => text.length <= 200, "must have at most 200 characters")
  .refine((text) => !/[\r\n]/.test(text), "must be one line: it is listed as one")
  .refine((text) => !UNSAFE_CHARACTER.test(text), "holds a NUL or a lone surrogate, which no model can read");

const JUDGE_SLOTS = ["answer", "question", "options"];

const judgeSchema = z.strictObject({
  model: z
    .string()
    .min(1)
    .max(1000)
    .optional()
    .describe(
      "Who judges: a name of the study's models, or else a registry name, hf: URI or path of a GGUF; when absent the study's judge.",
    ),
  prompt: safeText
    .refine((text) => text.includes("{answer}"), "needs {answer}, the place of the answer that is judged")
    .superRefine((text, context) => {
      const unknown = [...text.matchAll(/\{(\w+)\}/g)]
        .map(([, slot]) => slot as string)
        .find((one) => !JUDGE_SLOTS.includes(one));
      if (unknown === undefined) return;
      const all = JUDGE_SLOTS.map((one) => `{${one}}`).join(", ");
      context.addIssue({ code: "custom", message: `has {${unknown}}, which stands for nothing; there are ${all}` });
    })
    .describe(
      "What is put to the judge, all of it: {answer} is the place of the answer, {question} that of the prompt that it answers, {options} that of the values' texts under letters.",
    ),
  values: z
    .union(
      [z.array(valueText), z.record(z.string(), optionText)],
      "must be a list of values, or values with the text of each",
    )
    .describe("What it may be: values, or values with the text that stands for each before the judge."),
  by: z
    .enum(["letter", "text"])
    .optional()
    .describe(
      "Which logprob decides: that of an option's letter or of its text; letter where the prompt has {options}, else text.",
    ),
});

/** An answer, and the value that it has. */
export const exampleSchema = z.strictObject({
  answer: z.string().max(100_000).describe("What a model could say."),
  value: valueText.optional().describe("What the rule must read from it; absent: nothing."),
  question: z.string().max(100_000).optional().describe("The prompt that it answers, for a judge that is shown it."),
});

/** The keys of a rule: a definition has exactly one of them. */
export const RULES = ["matches", "captures", "oneOf", "mentions", "range", "bins", "judge"] as const;

export const OWN_NAME = /^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$/;

export const ownPropertySchema = z
  .strictObject({
    question: safeText.describe(
      "What a model is asked about its answer, as: Would your response …? It ends by saying what the reply may be.",
    ),
    summary: safeText.optional().describe("What it is, for lists and tables."),
    of: z
      .string()
      .min(1)
      .optional()
      .describe("Another property, whose value the rule reads; the whole answer when absent."),
    kinds: z
      .array(z.enum(["sequence", "numbers", "continuation", "options"]))
      .min(1)
      .optional()
      .describe("Kinds of task that it is for; when absent those of the property that it reads, or all."),
    matches: pattern.optional().describe("A regular expression (RE2): whether something in the answer matches it."),
    captures: pattern
      .optional()
      .describe("A regular expression (RE2) with one group: what the group holds where it first matches."),
    oneOf: classes
      .optional()
      .describe("The whole answer is one of these values, or one of the words of a value: animal: [cat, dog]."),
    mentions: classes.optional().describe("Which of these values, or of the words of a value, the answer says first."),
    range: z
      .strictObject({
        from: limit.optional().describe("Smallest number inside."),
        to: limit.optional().describe("Largest number inside."),
      })
      .refine(({ from, to }) => from !== undefined || to !== undefined, "needs from, to, or both")
      .refine(({ from, to }) => from === undefined || to === undefined || from <= to, "from is above to")
      .optional()
      .describe("Whether a number lies in a range, ends included."),
    bins: z
      .array(
        z.strictObject({
          value: valueText.describe("What a number of this bin is called."),
          upTo: limit.optional().describe("Largest number of the bin; the last bin may leave it out."),
        }),
      )
      .min(2)
      .max(MOST_VALUES)
      .optional()
      .describe("In which of several ranges a number lies, smallest first; each begins above the one before."),
    judge: judgeSchema
      .optional()
      .describe(
        "A model reads the answer and says which value it has, by the logprobs of the values' texts or letters.",
      ),
    values: z
      .array(valueText)
      .min(2)
      .max(MOST_VALUES)
      .optional()
      .describe(
        "matches, range: what it is called when it is so, and when not (true, false). captures: all that may be.",
      ),
    otherwise: valueText
      .optional()
      .describe("oneOf, mentions: the value of an answer with none of them; else it has none."),
    caseSensitive: z.boolean().optional().describe("matches, captures: whether A differs from a."),
    examples: z
      .array(exampleSchema)
      .max(MOST_EXAMPLES)
      .optional()
      .describe("Answers with their values, which the rule is held to; what a judge is calibrated on and measured by."),
    examplesFrom: z
      .string()
      .min(1)
      .max(1000)
      .optional()
      .describe(
        "judge: a JSONL, CSV or TSV of examples, relative to the file that names it; the plan keeps its rows and checksum.",
      ),
    examplesSha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, "must be a sha256 in hexadecimal digits")
      .optional()
      .describe("sha256 that the file of examples must have; the plan always names it."),
  })
  .superRefine((definition, context) => {
    const wrong = whyUnsound(definition);
    if (wrong) context.addIssue({ code: "custom", path: [wrong.key], message: wrong.message });
  });

type Definition = z.output<typeof ownPropertySchema>;
type Fixed<Value> = Value extends (infer Entry)[]
  ? readonly Fixed<Entry>[]
  : Value extends object
    ? { readonly [Key in keyof Value]: Fixed<Value[Key]> }
    : Value;
export type OwnProperty = Fixed<Definition>;
export type JudgeRule = NonNullable<OwnProperty["judge"]>;
/** By name, as plans store them. */
export type OwnProperties = Readonly<Record<string, OwnProperty>>;

export const ownPropertiesSchema = z
  .record(
    z
      .string()
      .max(100)
      .regex(OWN_NAME, "use lower-case letters and digits, words joined by _, beginning with a letter"),
    ownPropertySchema,
  )
  .refine((all) => Object.keys(all).length <= 200, "name at most 200 properties");

/** Values with their words in normal form, in the order of the definition; a plain list stands for itself. */
export function classesOf(given: NonNullable<OwnProperty["oneOf"]>): [value: string, words: readonly string[]][] {
  if (isList(given)) return given.map((word) => [normalize(word), [normalize(word)]]);
  return Object.entries(given).map(([value, some]) => [normalize(value), some.map(normalize)]);
}

/** Values of a judged property in normal form, each with its text before the judge, in the order of the definition. */
export function judgedValues({ values }: JudgeRule): [value: string, text: string][] {
  if (isListed(values)) return values.map((value) => [value, value]);
  return Object.entries(values).map(([value, text]) => [normalize(value), text]);
}

const isListed = (given: JudgeRule["values"]): given is readonly string[] => Array.isArray(given);

const isList = (given: NonNullable<OwnProperty["oneOf"]>): given is readonly string[] => Array.isArray(given);

/** Linear in the text's length whatever the pattern: RE2 has neither look-around nor back-references, which would need more. */
export function re2Pattern(source: string, caseSensitive = false): RE2JS {
  // Composed, as the answer is: a letter with its accent apart would be found in no answer.
  return RE2JS.compile(source.normalize("NFC"), caseSensitive ? 0 : RE2JS.CASE_INSENSITIVE);
}

function whyNoPattern(source: string): string | undefined {
  try {
    re2Pattern(source);
    return undefined;
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    return `${shown(source)} is no regular expression of RE2, which has neither look-around nor back-references: ${error.message}`;
  }
}

/** What no single key can tell. */
function whyUnsound(definition: Definition): { readonly key: string; readonly message: string } | undefined {
  const given = RULES.filter((rule) => definition[rule] !== undefined);
  const [rule] = given;
  if (rule === undefined) return { key: "question", message: `is asked of no rule: give one of ${RULES.join(", ")}` };
  if (given.length > 1) return { key: given[1] as string, message: `is a second rule beside ${rule}: give one` };
  const { values, otherwise, caseSensitive } = definition;
  const isPattern = rule === "matches" || rule === "captures";
  if (caseSensitive !== undefined && !isPattern) return { key: "caseSensitive", message: `means nothing for ${rule}` };
  if (otherwise !== undefined && rule !== "oneOf" && rule !== "mentions")
    return { key: "otherwise", message: `means nothing for ${rule}` };
  const { of, examplesFrom, examplesSha256, examples } = definition;
  if (rule === "judge" && of !== undefined)
    return { key: "of", message: "means nothing for judge: it reads the answer" };
  if (rule !== "judge" && examplesFrom !== undefined) return { key: "examplesFrom", message: "is for judge alone" };
  if (examplesSha256 !== undefined && examplesFrom === undefined)
    return { key: "examplesSha256", message: "needs examplesFrom" };
  if (rule !== "judge" && examples?.some(({ question }) => question !== undefined))
    return { key: "examples", message: "have a question for judge alone" };
  if (values !== undefined && (rule === "oneOf" || rule === "mentions" || rule === "bins" || rule === "judge"))
    return { key: "values", message: `are those of ${rule} already` };
  if (values !== undefined && rule !== "captures" && values.length !== 2)
    return { key: "values", message: `of ${rule} are two: when it is so, and when it is not` };
  return whyNoRule[rule]?.(definition) ?? whyNoValues(definition);
}

const whyNoRule: Partial<
  Record<
    (typeof RULES)[number],
    (definition: Definition) => { readonly key: string; readonly message: string } | undefined
  >
> = {
  captures({ captures = "" }) {
    const groups = re2Pattern(captures).groupCount();
    if (groups === 1) return undefined;
    return { key: "captures", message: `has ${groups} groups; it needs one, and (?:…) for others` };
  },
  bins({ bins = [] }) {
    const open = bins.findIndex(({ upTo }) => upTo === undefined);
    if (open >= 0 && open < bins.length - 1)
      return { key: "bins", message: `${shown(bins[open]?.value)} needs upTo: only the last bin has no end` };
    const falls = bins.findIndex(({ upTo }, at) => at > 0 && upTo !== undefined && upTo <= (bins[at - 1]?.upTo ?? 0));
    if (falls < 0) return undefined;
    return { key: "bins", message: `${shown(bins[falls]?.value)} ends where the bin before it ends, or below` };
  },
  judge({ judge }) {
    const { prompt, by, values } = judge as NonNullable<Definition["judge"]>;
    const all = judgedValues({ prompt, values });
    const key = "judge";
    if (all.length < 2)
      return { key, message: `has ${all.length === 0 ? "no values: name two" : "one value: name a second one"}` };
    if (all.length > MOST_JUDGED_VALUES)
      return { key, message: `has ${all.length} values; ${MOST_JUDGED_VALUES} are the most, one for each letter` };
    const bad = all.map(([value]) => valueText.safeParse(value)).find(({ success }) => !success);
    if (bad) return { key, message: `a value ${bad.error?.issues[0]?.message}` };
    for (const at of [0, 1] as const) {
      const named = all.map((one) => normalize(one[at]));
      const twice = named.find((one, place) => named.indexOf(one) < place);
      if (twice !== undefined) return { key, message: `${shown(twice)} stands twice among its values or their texts` };
    }
    if (by === "letter" && !prompt.includes("{options}"))
      return { key, message: "by: letter needs {options} in the prompt, where the letters stand" };
    return undefined;
  },
  oneOf({ oneOf }) {
    const twice = sharedWord(classesOf(oneOf ?? []), (one, other) => one === other);
    return twice && { key: "oneOf", message: `${shown(twice[0])} stands for two values` };
  },
  /** The answer is read from its beginning, so that what is said later changes nothing: a longer one would never be reached. */
  mentions({ mentions }) {
    const within = sharedWord(classesOf(mentions ?? []), (one, other) => ` ${other} `.includes(` ${one} `));
    if (!within) return undefined;
    return { key: "mentions", message: `${shown(within[0])} stands in ${shown(within[1])}, which is another value` };
  },
};

function sharedWord(
  all: readonly [string, readonly string[]][],
  clash: (one: string, other: string) => boolean,
): readonly [string, string] | undefined {
  for (const [at, [, some]] of all.entries()) {
    for (const [other, [, others]] of all.entries()) {
      if (at === other) continue;
      for (const one of some) for (const second of others) if (clash(one, second)) return [one, second];
    }
  }
  return undefined;
}

function whyNoValues(definition: Definition): { readonly key: string; readonly message: string } | undefined {
  const { oneOf, mentions, otherwise, bins, values } = definition;
  if (definition.judge) return undefined;
  const key = oneOf ? "oneOf" : mentions ? "mentions" : bins ? "bins" : "values";
  const given = oneOf ?? mentions;
  const all = given
    ? [...classesOf(given).map(([value]) => value), ...(otherwise === undefined ? [] : [otherwise])]
    : (bins?.map(({ value }) => value) ?? values ?? []);
  if (given && all.length < 2)
    return { key, message: "has one value: name a second one, or what an answer is otherwise" };
  if (given) {
    const bad = all.map((value) => valueText.safeParse(value)).find(({ success }) => !success);
    if (bad) return { key, message: `a value ${bad.error?.issues[0]?.message}` };
  }
  const twice = all.find((value, at) => all.indexOf(value) < at);
  return twice === undefined ? undefined : { key, message: `name each value once; ${shown(twice)} stands twice` };
}
