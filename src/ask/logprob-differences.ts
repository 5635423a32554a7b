/** Song et al.'s two numbers of one string for one state, as they were measured: a line of 07-logprob-differences.jsonl. */

import { inSeededOrder } from "../base/random.js";
import { z } from "zod";
import { InwardError } from "../errors.js";
import type { Continuation, ContinuationScore, LanguageModel, ScoreRequest } from "../model/language-model.js";
import type { Plan, PlannedTask } from "../study/plan.js";
import { type SetAsideReason, setAsideSchema } from "../tasks/answer.js";
import { turnsAbout } from "../properties/wordings.js";
import { type AskedForm, askedForm } from "../study/forms.js";
import { itemsOf } from "../tasks/heuristics.js";
import { objectLevelMessages, objectLevelPrompt, type TaskItem } from "../tasks/task.js";
import type { AskingHooks, QuestionKind } from "./groups.js";
import { scorePlainly } from "./plain-question.js";
import { statesOf, type PlanOfStates } from "../study/states.js";

/** Of the beginning of an answer: the sum over its tokens of natural logprobs, the end of the turn left out. */
export interface BeginningLogprob {
  readonly logprob: number;
  readonly tokens: number;
}

/** Natural logprobs of the answers "1" and "2". */
export interface OptionAnswers {
  readonly one: number;
  readonly two: number;
}

export interface MeasuredLogprobDifference {
  /** `<task>/<item>` */
  readonly key: string;
  /** The model state that was asked. */
  readonly state: string;
  readonly task: string;
  readonly item: string;
  /** The two beginnings. */
  readonly first: string;
  readonly second: string;
  /** After the object-level question itself. */
  readonly direct: { readonly first: BeginningLogprob; readonly second: BeginningLogprob };
  /** After a question about it, for each wording: the first beginning listed as 1, and as 2. */
  readonly meta: readonly {
    readonly wording: string;
    readonly inOrder: OptionAnswers;
    readonly swapped: OptionAnswers;
  }[];
}

/** A line for a string on which the engine crashed each time. */
export interface SetAsideLogprobDifference extends Omit<MeasuredLogprobDifference, "direct" | "meta"> {
  readonly setAside: SetAsideReason;
  readonly direct?: undefined;
  readonly meta?: undefined;
}

export type LogprobDifferenceRow =
  | (MeasuredLogprobDifference & { readonly setAside?: undefined })
  | SetAsideLogprobDifference;

const beginningSchema = z.object({ logprob: z.number(), tokens: z.number() });
const optionsSchema = z.object({ one: z.number(), two: z.number() });
export const logprobDifferenceSchema = z
  .object({
    key: z.string(),
    state: z.string(),
    task: z.string(),
    item: z.string(),
    first: z.string(),
    second: z.string(),
    direct: z.object({ first: beginningSchema, second: beginningSchema }).optional(),
    meta: z.array(z.object({ wording: z.string(), inOrder: optionsSchema, swapped: optionsSchema })).optional(),
    setAside: setAsideSchema.optional(),
  })
  .refine(
    ({ direct, meta, setAside }) => [direct, meta].every((one) => (one === undefined) === (setAside !== undefined)),
    "neither measured nor set aside",
  );

// Which states the matrix of every predictor about every target has. A function of the plan alone.

type Predictions = PlanOfStates & Pick<Plan, "predictions">;

export function hasMatrix({ experiments = [] }: Pick<Plan, "experiments">): boolean {
  return experiments.includes("matrix");
}

const PREDICTORS = new WeakMap<Plan["predictions"], readonly string[]>();

/** The rows: whoever predicts anything. A reply to a hypothetical question does not depend on whom it is held against. */
export function matrixPredictors({ predictions }: Pick<Plan, "predictions">): readonly string[] {
  const known = PREDICTORS.get(predictions) ?? [...new Set(predictions.map(({ predictor }) => predictor))];
  PREDICTORS.set(predictions, known);
  return known;
}

/** The columns: the targets of predictions, then every plain predictor, which the matrix would else know nothing of. */
export function matrixTargets(plan: Predictions): string[] {
  const predictors = matrixPredictors(plan).filter((state) => statesOf(plan).of(state).isPlain);
  return [...new Set([...plan.predictions.map(({ target }) => target), ...predictors])];
}

/** Of all states that predict or are predicted, those that are weights alone or weights under an adapter. */
function plainStates(plan: Predictions): string[] {
  return [...new Set([...matrixPredictors(plan), ...matrixTargets(plan)])].filter(
    (state) => statesOf(plan).of(state).isPlain,
  );
}

// What Song et al. ask: how likely two beginnings of an answer are, and which of the two a model says it would choose.

export interface LogprobQuestion extends Omit<MeasuredLogprobDifference, "direct" | "meta"> {
  /** The object-level question with both beginnings, then for each wording both orders with the answers 1 and 2. */
  readonly requests: readonly ScoreRequest[];
  /** Their wordings, in that order. */
  readonly asked: readonly string[];
}

/** Most held-out strings of a task; the first ones. */
export const MOST_STRINGS = 100;

const ANSWERS = ["1", "2"] as const;

/** @returns each question once, in the plan's order: states outside, then tasks and strings; tasks that list nothing have none */
export function logprobQuestions(plan: Plan): LogprobQuestion[] {
  const inForm = new Map<string, Omit<LogprobQuestion, "state">[]>();
  return plainStates(plan).flatMap((state) => {
    const form = askedForm(plan, state);
    const key = JSON.stringify([form.isPlain, form.system]);
    const strings = inForm.get(key) ?? plan.tasks.flatMap((task) => questionsOf(plan, form, task));
    inForm.set(key, strings);
    return strings.map((string) => ({ ...string, state }));
  });
}

/** Cuts the questions into the units that are asked and stored as one: strings of one state, as many as fill a group. */
export function logprobGroups(questions: readonly LogprobQuestion[], groupQuestions: number): LogprobQuestion[][] {
  const requests = questions[0]?.requests.length ?? 1;
  const most = Math.max(1, Math.floor(groupQuestions / requests));
  const groups: LogprobQuestion[][] = [];
  for (const question of questions) {
    const group = groups.at(-1);
    if (group && group.length < most && group[0]?.state === question.state) group.push(question);
    else groups.push([question]);
  }
  return groups;
}

function questionsOf(plan: Plan, form: AskedForm, task: PlannedTask): Omit<LogprobQuestion, "state">[] {
  const { definition, heldOut, train } = task;
  if (definition.kind !== "sequence" && definition.kind !== "numbers") return [];
  const pool = new Set([...train, ...heldOut].flatMap(({ text }) => itemsOf(definition.kind, text)));
  return heldOut.slice(0, MOST_STRINGS).flatMap((item) => {
    const [first, second] = beginningsFor(plan, task, item, pool);
    if (first === undefined || second === undefined) return [];
    const place = { key: `${definition.name}/${item.id}`, task: definition.name, item: item.id, first, second };
    return [
      {
        ...place,
        asked: Object.keys(form.logprobs),
        requests: requestsFor(form, form.task(task), item, [first, second]),
      },
    ];
  });
}

/**
 * Two items of the task's other strings, drawn by seed and string. No model has a part in the choice, so that none is favored by it;
 * an item that stands in the string is left out, since every model likes to repeat and would so resemble every other.
 */
function beginningsFor({ seed }: Plan, { definition }: PlannedTask, item: TaskItem, pool: ReadonlySet<string>) {
  const own = new Set(itemsOf(definition.kind, item.text).map((one) => one.toLowerCase()));
  return inSeededOrder(
    [...pool].filter((candidate) => !own.has(candidate.toLowerCase())),
    (candidate) => JSON.stringify(["logprobs", seed, definition.name, item.id, candidate]),
  ).slice(0, 2);
}

function requestsFor(
  form: AskedForm,
  { definition, examples }: PlannedTask,
  item: TaskItem,
  [first, second]: readonly [string, string],
): ScoreRequest[] {
  const { system } = form;
  const said = (answer: string) => form.answer(answer);
  const prompt = objectLevelPrompt(definition, item, { examples });
  return [
    {
      messages: objectLevelMessages(definition, item, { examples, system }),
      continuations: asWritten([first, second].map(said)),
    },
    ...Object.values(form.logprobs).flatMap((template) =>
      [
        { one: first, two: second },
        { one: second, two: first },
      ].map(
        (slots): ScoreRequest => ({
          messages: [{ role: "system", content: system }, ...turnsAbout(template, prompt, slots)],
          continuations: asWritten(ANSWERS.map(said)),
        }),
      ),
    ),
  ];
}

/** The answers are our words, not what a model generated: a model that sets a blank before its answers sets it before these. */
function asWritten(answers: readonly string[]): Continuation[] {
  return answers.map((written) => ({ written }));
}

/** @returns why a plan's matrix is without logprob differences; undefined when it has them */
export function whyNoLogprobs(plan: Plan): string | undefined {
  if (plan.engine.engine !== "native")
    return `the engine ${plan.engine.engine} cannot score given beginnings of answers`;
  if (plan.objectLevel.reasoning !== undefined)
    return "answers may begin with reasoning, so that how likely a beginning is does not tell how likely an answer is";
  if (logprobQuestions(plan).length === 0)
    return "no task of the study lists words or numbers that an answer could begin with";
  return undefined;
}

// How they are asked.

/** Strings whose logprob differences are measured. */
export const LOGPROB_STRINGS: QuestionKind<LogprobQuestion, LogprobDifferenceRow> = {
  rowSchema: logprobDifferenceSchema,
  check: (model, group) =>
    model.check(
      group
        .flatMap(({ requests }) => requests)
        .map(({ messages }) => ({ messages, maxTokens: 1, temperature: 0, topTokens: 1 })),
    ),
  ask: scoreGroup,
  setAside: ({ requests: _, asked: __, ...place }, setAside) => ({ ...place, setAside }),
  askPlain: (model, { requests: [first] }, hooks) => scorePlainly(model, first?.messages ?? [], hooks),
};

async function scoreGroup(
  model: LanguageModel,
  group: readonly LogprobQuestion[],
  { heard, onAnswered, signal }: AskingHooks,
): Promise<MeasuredLogprobDifference[]> {
  const requests = group.flatMap((question) => question.requests);
  const scores = await model.score(requests, { onScored: heard, signal });
  let at = 0;
  return group.map(({ requests: own, asked, ...place }): MeasuredLogprobDifference => {
    const [direct, ...meta] = scores.slice(at, at + own.length).map(beginnings);
    at += own.length;
    if (!direct || meta.length !== 2 * asked.length) {
      throw new InwardError("INTERNAL", `The engine gave ${scores.length} scores to ${requests.length} requests.`);
    }
    onAnswered();
    return {
      ...place,
      direct: { first: direct[0], second: direct[1] },
      meta: asked.map((wording, index) => ({
        wording,
        inOrder: answers(meta[2 * index]),
        swapped: answers(meta[2 * index + 1]),
      })),
    };
  });
}

type BeginningPair = readonly [BeginningLogprob, BeginningLogprob];

function beginnings(scores: readonly ContinuationScore[]): BeginningPair {
  const sums = scores.map(({ logprobs }) => ({
    logprob: logprobs.reduce((sum, one) => sum + one, 0),
    tokens: logprobs.length,
  }));
  return [sums[0] as BeginningLogprob, sums[1] as BeginningLogprob];
}

function answers(pair: BeginningPair | undefined): OptionAnswers {
  const [one, two] = pair as BeginningPair;
  return { one: one.logprob, two: two.logprob };
}
