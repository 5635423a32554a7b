/** Own properties on examples: what the rule reads, what it should, and what a model that is asked the question about the quoted answer says. */

import { z } from "zod";
import { judgedBy, judgeOptions } from "../ask/judge-questions.js";
import { scoreOptions } from "../ask/option-scores.js";
import { toRequest } from "../ask/questions.js";
import { decodeUtf8, linesOf, readPlainFile } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import type { LanguageModel } from "../model/language-model.js";
import { propertyNamed } from "../properties/all-properties.js";
import { labelsOf } from "../properties/judge-labels.js";
import { judgedValues, type JudgeRule, type OwnProperties, type OwnProperty } from "../properties/own-property.js";
import { ruleText } from "../properties/own-rules.js";
import { type BehaviorProperty, type Extraction, missing, value as given } from "../properties/property.js";
import { extractBehavior, readReply, replyText } from "../properties/reading.js";
import { normalize } from "../properties/text.js";
import { hypotheticalTurns, QUOTED_ANSWER, wordedFor } from "../properties/wordings.js";
import { type JudgeAgreement, judgedAs, judgedScores } from "../score/judge-agreement.js";
import { exampleRows } from "../study/load-properties.js";
import type { ModelFile } from "../study/plan.js";
import { againstLabels } from "./judging.js";
import { scoreSchema } from "../study/schema.js";
import type { OptionScores } from "../tasks/answer.js";
import { type ChatKind, plainAnswer } from "../tasks/plain-form.js";
import { lonePrompt } from "../tasks/task.js";

const MOST_EXAMPLE_BYTES = 16 * 1024 * 1024;
const MOST_EXAMPLES = 10_000;
/** As in a study: `hypothetical.maxTokens`. */
const LONGEST_REPLY = 12;

/** An answer, and what a property of it is. */
export interface PropertyExample {
  readonly answer: string;
  /** The answer's string, and the letter or answer that is its target: some properties need them. */
  readonly text?: string;
  readonly target?: string;
  /** Of which property `value` is; every one when absent. */
  readonly property?: string;
  /** Absent: nobody said. null: the answer shows nothing. */
  readonly value?: string | null;
}

/** What the three say of one answer. */
export interface CheckedExample extends PropertyExample {
  readonly rule: Extraction;
  /** Absent where no model was asked, or where the rule reads nothing that it could confirm. */
  readonly model?: Extraction;
}

/** A judge on the labelled answers that ship with its property. */
export interface JudgeCheck extends JudgeAgreement {
  /** Source and checksum of the model that was asked. */
  readonly model: string;
  readonly sha256: string;
  /** The first labelled answer as the judge reads it. */
  readonly reads: string;
}

export interface OwnPropertyCheck {
  readonly property: string;
  readonly rule: string;
  readonly question: string;
  readonly values: BehaviorProperty["values"];
  readonly examples: readonly CheckedExample[];
  /** Examples with a value that the rule does not read. */
  readonly wrong: number;
  /** Of how many examples both read a value, and of how many it is another. */
  readonly asked: number;
  readonly disagreeing: number;
  /** Of a judged property, where its judge was asked: what it says of each example, of a labelled one by a calibration without its fold. */
  readonly judge?: JudgeCheck;
  readonly warnings: readonly string[];
}

const exampleSchema = z.strictObject({
  answer: z.string(),
  text: z.string().optional(),
  target: z.string().optional(),
  property: z.string().min(1).optional(),
  value: z.union([z.string(), z.number(), z.boolean()]).transform(String).nullable().optional(),
});

/**
 * @param path of a JSONL, CSV or TSV of examples, or of a text with one answer a line
 * @throws PROPERTY_INVALID with the line
 */
export function readPropertyExamples(path: string): PropertyExample[] {
  const refuse = (why: string) =>
    new InwardError("PROPERTY_INVALID", `There are no examples that can be read at ${path} (${why}).`);
  const text = decodeUtf8(readPlainFile(path, MOST_EXAMPLE_BYTES, refuse), { code: "PROPERTY_INVALID", place: path });
  const isTable = /\.(jsonl?|csv|tsv)$/i.test(path);
  const examples = isTable
    ? exampleRows(text, path, exampleSchema)
    : linesOf(text, path).map((line) => ({ answer: line.text }));
  if (examples.length === 0) throw refuse("no line that is not blank");
  if (examples.length > MOST_EXAMPLES) throw refuse(`${examples.length} examples; at most ${MOST_EXAMPLES} are read`);
  return examples;
}

/** A model, and how it is spoken to. */
export interface CheckingModel {
  readonly model: LanguageModel;
  readonly kind: ChatKind;
  readonly signal?: AbortSignal;
}

/** A judge, and the file that it is. */
export interface AskedJudge extends CheckingModel {
  readonly file: Pick<ModelFile, "source" | "sha256">;
}

export type JudgeOf = (property: string, rule: JudgeRule) => Promise<AskedJudge>;

/**
 * @param own definitions; each is checked
 * @param examples beside those that stand in the definitions
 * @param with.asked a model that is asked each question about the quoted answer
 * @param with.judgeOf opens the judge of a judged property; without it none is asked
 * @throws PROPERTY_*, ENGINE_*, INTERRUPTED
 */
export async function checkProperties(
  own: OwnProperties,
  examples: readonly PropertyExample[],
  { asked, judgeOf }: { readonly asked?: CheckingModel; readonly judgeOf?: JudgeOf } = {},
): Promise<OwnPropertyCheck[]> {
  const unknown = examples.find(({ property }) => property !== undefined && !Object.hasOwn(own, property));
  if (unknown) {
    throw new InwardError(
      "PROPERTY_INVALID",
      `an example is of ${unknown.property}, and the file defines ${Object.keys(own).join(", ")}.`,
    );
  }
  const checks: OwnPropertyCheck[] = [];
  for (const [name, definition] of Object.entries(own)) {
    const property = propertyNamed(name, own);
    if (definition.judge && judgeOf) {
      const extra = examples.filter((one) => one.property === undefined || one.property === name);
      const { judge, shown } = await withJudge(name, definition, extra, await judgeOf(name, definition.judge));
      const confirmed = asked ? await withModel(property, shown, asked) : shown;
      checks.push({ ...checkOf(property, ruleText(definition), confirmed), judge });
      continue;
    }
    const shown = [
      ...(definition.examples ?? []).map(({ answer, value = null }): PropertyExample => ({ answer, value })),
      ...examples.filter((one) => one.property === undefined || one.property === name),
    ].map(
      (example): CheckedExample => ({
        ...example,
        rule: extractBehavior(
          property,
          example.answer,
          { text: example.text ?? "", ...(example.target === undefined ? {} : { target: example.target }) },
          "end_of_generation",
        ),
      }),
    );
    const confirmed = asked ? await withModel(property, shown, asked) : shown;
    checks.push(checkOf(property, ruleText(definition), confirmed));
  }
  return checks;
}

/** Calibrates a judge on the labelled answers, measures it on them, and takes its word on others. */
async function withJudge(
  name: string,
  definition: OwnProperty,
  extra: readonly PropertyExample[],
  { model, kind, file, signal }: AskedJudge,
): Promise<{ readonly judge: JudgeCheck; readonly shown: CheckedExample[] }> {
  const rule = definition.judge as JudgeRule;
  const labels = labelsOf(definition);
  const said = (answer: string) => (kind === "plain" ? plainAnswer(answer) : answer);
  const questions = [...labels, ...extra.map(({ answer, text }) => ({ answer, question: text }))].map((text) =>
    judgeOptions(rule, text, { system: "", said }),
  );
  const scored = await scoreOptions(model, questions, { signal });
  const values = judgedValues(rule).map(([one]) => one);
  const settings = { ...scoreSchema.parse({}), bootstrapSeed: 0 };
  const agreement = againstLabels(name, rule, labels, (_, at) => scored[at], settings);
  const { source, sha256 } = file;
  const reads = questions[0]?.orders[0]?.messages.at(-1)?.content ?? "";
  const unfit = (one: Extraction): Extraction => (agreement.fit ? one : missing("unfit_judge"));
  return {
    judge: { ...agreement, model: source, sha256, reads },
    shown: [
      ...labels.map(({ answer, value }, at): CheckedExample => {
        const row = agreement.rows[at];
        return { answer, value, rule: row ? given(values[row.said] as string) : missing("not_judged") };
      }),
      ...extra.map((example, at): CheckedExample => {
        const { logShares } = judgedScores(scored[labels.length + at] as OptionScores, judgedBy(rule));
        const judged = () => unfit(given(values[judgedAs(logShares, agreement.calibration).value] as string));
        const context = { text: example.text ?? "", judged };
        const property = propertyNamed(name, { [name]: definition });
        return { ...example, rule: extractBehavior(property, example.answer, context, "end_of_generation") };
      }),
    ],
  };
}

async function withModel(
  property: BehaviorProperty,
  examples: readonly CheckedExample[],
  { model, kind, signal }: CheckingModel,
): Promise<CheckedExample[]> {
  const readable = examples.filter(({ rule }) => rule.ok);
  const template = wordedFor(kind, QUOTED_ANSWER);
  const replies = await model.ask(
    readable.map(({ answer }, at) =>
      toRequest(
        {
          key: String(at),
          state: "check",
          task: property.name,
          item: String(at),
          split: "train",
          sample: 0,
          messages: [
            { role: "system", content: "" },
            ...hypotheticalTurns(template, lonePrompt(answer.trim(), kind === "plain" || undefined), property.question),
          ],
          maxTokens: LONGEST_REPLY,
          temperature: 0,
        },
        { topTokens: 1 },
      ),
    ),
    signal ? { signal } : {},
  );
  const said = new Map(
    readable.map((example, at) => {
      const reply = replies[at];
      return [example, reply && readReply(property, replyText(reply), reply.stop)] as const;
    }),
  );
  return examples.map((example) => {
    const read = said.get(example);
    return read ? { ...example, model: read } : example;
  });
}

function checkOf(property: BehaviorProperty, rule: string, examples: readonly CheckedExample[]): OwnPropertyCheck {
  const { name, question, values } = property;
  // What a judge says otherwise than a label is no slip of the definition's: its agreement counts it.
  const isWrong = ({ value, rule: read }: CheckedExample) =>
    property.needs !== "judge" &&
    value !== undefined &&
    (read.ok ? value === null || normalize(value) !== read.value : value !== null);
  const both = examples.filter(({ rule: read, model }) => read.ok && model?.ok);
  const disagreeing = both.filter(({ rule: read, model }) => read.ok && model?.ok && read.value !== model.value).length;
  const asked = examples.filter(({ model }) => model !== undefined).length;
  const unread = asked - both.length;
  const shown = new Set(examples.flatMap(({ rule: read }) => (read.ok ? [read.value] : [])));
  const warnings = [
    ...questionWarnings(property),
    ...(examples.length >= 2 && shown.size === 1 ? [`Every example shows ${JSON.stringify([...shown][0])}.`] : []),
    ...(examples.length > 0 && shown.size === 0 ? ["No example shows any value."] : []),
    ...(examples.length >= 2 && values !== "open" && shown.size > 1
      ? values.filter((one) => !shown.has(one)).map((one) => `No example shows ${JSON.stringify(one)}.`)
      : []),
    ...(disagreeing > 0 ? [`The model and the rule disagree on ${disagreeing} of ${both.length} examples.`] : []),
    ...(unread > 0 ? [`${unread} of ${asked} replies of the model cannot be read as a value.`] : []),
  ];
  return {
    property: name,
    rule,
    question,
    values,
    examples,
    wrong: examples.filter(isWrong).length,
    asked: both.length,
    disagreeing,
    warnings,
  };
}

/** Where question and rule drift apart without any answer: a value that the question does not name is one that nobody can reply. */
function questionWarnings({ question, values }: BehaviorProperty): string[] {
  const said = normalize(question);
  const unnamed = values === "open" ? [] : values.filter((one) => !said.includes(one));
  return [
    ...unnamed.map((one) => `The question does not name the value ${JSON.stringify(one)}.`),
    ...(/\byour?\b/i.test(question)
      ? []
      : ["The question does not say whose answer it is about: wordings about another AI need “your response”."]),
  ];
}
