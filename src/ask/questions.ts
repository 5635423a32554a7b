import { inSeededOrder } from "../base/random.js";
import type { AskRequest } from "../model/language-model.js";
import type { Behavior } from "../properties/property.js";
import { propertyNamed } from "../properties/all-properties.js";
import { replyText } from "../properties/reading.js";
import { hasReasoning, partReasoning, type ReasoningUse } from "../properties/reasoning.js";
import { hypotheticalAbout } from "../properties/wordings.js";
import { askedForm } from "../study/forms.js";
import type { Plan, PlannedState, PlannedTask } from "../study/plan.js";
import {
  type Answer,
  type ChatMessage,
  type RecordedReply,
  type Reply,
  sampleKey,
  type SetAsideReason,
} from "../tasks/answer.js";
import { challengedMessages, objectLevelMessages, type Split, type TaskItem } from "../tasks/task.js";
import { hasMatrix, matrixPredictors, matrixTargets } from "./logprob-differences.js";
import { statesOf } from "../study/states.js";
import type { SettledEngine } from "../study/study.js";
import { type OptionQuestion, optionQuestion } from "./option-scores.js";

/** One question for one model state, before it is asked. */
export interface Question {
  readonly key: string;
  readonly state: string;
  readonly task: string;
  readonly item: string;
  readonly split: Split;
  readonly property?: string;
  readonly variant?: string;
  readonly sample: number;
  readonly messages: readonly ChatMessage[];
  readonly maxTokens: number;
  /** Not below 0; of an engine that takes it. */
  readonly temperature: number;
  /** Above temperature 0: run seed, state, key and sample; so a draw does not depend on batch or order. */
  readonly seed?: string;
  /** Object-level only; `off` when absent, as for every hypothetical question. */
  readonly reasoning?: ReasoningUse;
  /** Object-level questions of tasks that are answered by logprob: what is scored beside. */
  readonly options?: OptionQuestion;
  /** Object-level questions whose answers may hold reasoning: the template's thinking mode stays on. */
  readonly thinking?: true;
}

// Object-level questions: the prompts that make a target behave.

/**
 * What the models are asked as they came: targets about train and held-out strings alike, others that somebody learns from about
 * train strings.
 * @param only of this state alone
 * @returns questions in the plan's order: states outside, tasks, then strings
 */
export function objectLevelQuestions(plan: Plan, only?: string): Question[] {
  const targets = new Set([...plan.predictions.map(({ target }) => target), ...answeredElsewhere(plan)]);
  const { teachers } = statesOf(plan);
  // Nobody learns from a state that only the matrix compares.
  const matrixOnly = new Set(onlyInMatrix(plan));
  const itemsOf = (state: string, task: PlannedTask) => [
    ...(targets.has(state) || teachers.has(state) ? task.train : []),
    ...(targets.has(state) || matrixOnly.has(state) ? task.heldOut : []),
  ];
  return questionsFor(plan, 0, itemsOf, only);
}

/**
 * What the targets that carry an adapter are asked again, because training moves behavior: held-out strings, and train strings
 * where somebody learns from what they do, be it what needs no self; of a model with an implant both, as of one that came so.
 * @param round of the training that made them; every round when absent
 * @param only of this state alone
 * @returns empty when nothing is trained or no trained state is a target
 */
export function adaptedObjectLevelQuestions(plan: Plan, round?: 1 | 2, only?: string): Question[] {
  const rounds = round === undefined ? ([1, 2] as const) : [round];
  return rounds.flatMap((one) => questionsFor(plan, one, (state, task) => stringsAgain(plan, state, task), only));
}

/** Whether there are any, without making them. */
export function isAskedAgain(plan: Plan, round: 1 | 2): boolean {
  return listenedTo(plan, round).some((state) => plan.tasks.some((task) => stringsAgain(plan, state, task).length > 0));
}

function stringsAgain(plan: Plan, state: string, task: PlannedTask): TaskItem[] {
  return [...(statesOf(plan).answersTrainStrings(state) ? task.train : []), ...task.heldOut];
}

/** What they did is known, whoever predicts it. */
function answeredElsewhere(plan: Plan): string[] {
  return statesOf(plan).answeredElsewhere.map(({ name }) => name);
}

/** Without those that nobody here asks, because their logs have the answers. */
export function askedHere<Asked extends Pick<Question, "state">>(plan: Plan, questions: readonly Asked[]): Asked[] {
  return questions.filter(({ state }) => statesOf(plan).of(state).elsewhere === undefined);
}

/** States that no prediction is about, and that the matrix has a column of all the same. */
function onlyInMatrix(plan: Plan): string[] {
  if (!hasMatrix(plan)) return [];
  const targets = new Set(plan.predictions.map((prediction) => prediction.target));
  return matrixTargets(plan).filter((state) => !targets.has(state));
}

const LISTENED = new WeakMap<Plan, Map<number, string[]>>();

/** States that object-level questions of a round are for, in their order. @param round 0 for models as they came */
export function listenedTo(plan: Plan, round: 0 | 1 | 2): readonly string[] {
  const known = LISTENED.get(plan)?.get(round);
  if (known) return known;
  const all = new Set([
    ...plan.predictions.map(({ target }) => target),
    ...answeredElsewhere(plan),
    ...onlyInMatrix(plan),
    ...statesOf(plan).teachers,
  ]);
  const listened = [...all].filter((state) => statesOf(plan).of(state).round === round);
  LISTENED.set(plan, (LISTENED.get(plan) ?? new Map()).set(round, listened));
  return listened;
}

function questionsFor(
  plan: Plan,
  round: 0 | 1 | 2,
  itemsOf: (state: string, task: PlannedTask) => readonly TaskItem[],
  only: string | undefined,
): Question[] {
  return of(only, listenedTo(plan, round)).flatMap((state) =>
    plan.tasks.flatMap((task) =>
      itemsOf(state, task).flatMap((item) => {
        // What is learnt from is what was answered first.
        const samples = item.split === "held_out" ? plan.objectLevel.samples : 1;
        return sampled(plan, questionFor(plan, state, task, item), samples);
      }),
    ),
  );
}

function questionFor(plan: Plan, state: string, task: PlannedTask, item: TaskItem): Question {
  const key = `${task.definition.name}/${item.id}`;
  const { temperature } = plan.objectLevel;
  const form = askedForm(plan, state);
  const system = systemOf(plan, state);
  const options = optionQuestion(form.task(task), item, { system, said: (answer) => form.answer(answer) });
  let messages: ChatMessage[] | undefined;
  return {
    key,
    state,
    task: task.definition.name,
    item: item.id,
    split: item.split,
    sample: 0,
    // Made when they are read: a large plan has a million questions, and a process of many asks a few thousand of them.
    get messages() {
      messages ??= promptOfItem(plan, state, task, item);
      return messages;
    },
    maxTokens: longestAnswer(plan, task),
    temperature,
    ...(plan.objectLevel.reasoning === undefined ? {} : { reasoning: plan.objectLevel.reasoning }),
    ...(options === undefined ? {} : { options }),
    ...thinkingOf(plan),
  };
}

function systemOf(plan: Plan, state: string): string {
  return statesOf(plan).of(state).system ?? askedForm(plan, state).system;
}

/** The prompt of one object-level question. */
export function promptOfItem(plan: Plan, state: string, task: PlannedTask, item: TaskItem): ChatMessage[] {
  const { definition } = askedForm(plan, state).task(task);
  return objectLevelMessages(definition, item, { examples: task.examples, system: systemOf(plan, state) });
}

/** A question as often as it is asked: the same prompt, each time with a key and a draw of its own. */
function sampled(plan: Plan, question: Question, samples = 1): Question[] {
  const { seed } = plan;
  const { key, state, property, split } = question;
  const { elsewhere } = statesOf(plan).of(state);
  if (elsewhere) {
    const logged = property !== undefined ? elsewhere.replies : split === "held_out" ? elsewhere.samples : 1;
    return Array.from({ length: logged }, (_, sample) => ({ ...question, key: sampleKey(key, sample), sample }));
  }
  if (question.temperature === 0) return [question];
  return Array.from({ length: samples }, (_, sample) => ({
    ...question,
    key: sampleKey(key, sample),
    sample,
    seed: `${seed}/${state}/${key}/${sample}`,
  }));
}

/** Of an object-level prompt. */
export function thinkingOf({ objectLevel }: Pick<Plan, "objectLevel">): { readonly thinking?: true } {
  return objectLevel.reasoning === undefined ? {} : { thinking: true };
}

/** Tokens of the longest object-level answer, with its reasoning where that may be. */
export function longestAnswer({ objectLevel }: Pick<Plan, "objectLevel">, { definition }: PlannedTask): number {
  return definition.maxTokens + (objectLevel.reasoningTokens ?? 0);
}

// The words of one hypothetical question. Asking, finetune sets and shown pairs all use these, so that what is learnt is what is asked.

function turnsAboutItem(
  plan: Plan,
  state: string,
  task: PlannedTask,
  item: TaskItem,
  property: string,
  variant: string,
  showsForm: boolean,
): ChatMessage[] {
  const form = askedForm(plan, state);
  return hypotheticalAbout(form.task(task).definition, item, propertyNamed(property, plan.ownProperties), {
    template: form.variant(variant),
    question: form.question(property),
    examples: task.examples,
    form: showsForm,
  });
}

// Hypothetical questions: what a predictor is asked about the same prompts, every held-out string whatever its own answer was.

/** Of states, the one alone where there is one. */
function of(only: string | undefined, states: readonly string[]): readonly string[] {
  return only === undefined ? states : states.filter((state) => state === only);
}

/**
 * Questions about one string stand together, property after property, so that they share the string's evaluation. A state with a
 * wording of its own is asked in that, under the name of the plan's: trials are joined by it.
 * @param shown the turns before the questions of states that are shown some; without it those lack them, which is enough to count
 * @param only of this state alone
 * @returns questions in the plan's order: states outside, wordings, tasks, strings, properties; where pairs are shown, properties
 * outside strings, because they share what is shown
 */
export function hypotheticalQuestions(plan: Plan, shown: ShownPairs = () => [], only?: string): Question[] {
  return of(only, matrixPredictors(plan)).flatMap((state) => {
    const { wording, shown: isShown } = statesOf(plan).of(state);
    return plan.hypothetical.variants.flatMap((variant) =>
      plan.tasks.flatMap((task) => {
        const asked = wording ?? variant;
        const ask = (item: TaskItem, property: string): Question => {
          let messages: ChatMessage[] | undefined;
          return {
            key: `${task.definition.name}/${item.id}/${property}/${variant}`,
            state,
            task: task.definition.name,
            item: item.id,
            split: item.split,
            property,
            variant,
            sample: 0,
            get messages() {
              if (messages === undefined) {
                const before = shown(state, property, asked, task.definition.name);
                messages = hypotheticalMessages(plan, state, task, item, property, asked, before);
              }
              return messages;
            },
            maxTokens: plan.hypothetical.maxTokens,
            temperature: plan.hypothetical.temperature,
          };
        };
        const questions = isShown
          ? task.properties.flatMap((property) => task.heldOut.map((item) => ask(item, property)))
          : task.heldOut.flatMap((item) => task.properties.map((property) => ask(item, property)));
        return questions.flatMap((question) => sampled(plan, question, plan.hypothetical.samples));
      }),
    );
  });
}

/**
 * The prompt of one hypothetical question. Its system message is that of the model that is asked: a state with one of its own only
 * teaches a change, and nobody is asked about it.
 * @param state who is asked, or the model that it stands on
 * @param before turns that come first
 */
export function hypotheticalMessages(
  plan: Plan,
  state: string,
  task: PlannedTask,
  item: TaskItem,
  property: string,
  variant: string,
  before: readonly ChatMessage[] = [],
): ChatMessage[] {
  return [
    { role: "system", content: askedForm(plan, state).system },
    ...before,
    ...turnsAboutItem(plan, state, task, item, property, variant, before.length === 0),
  ];
}

// The second turn of tasks that challenge: each first answer is doubted, and the model asked for its final one.

/** @param key of a first answer: `<task>/<item>` */
export function challengedKey(key: string): string {
  return `${key}/challenged`;
}

export function hasChallenges(plan: Plan): boolean {
  return plan.tasks.some(({ definition }) => definition.challenge !== undefined);
}

/** Of questions, those whose answers are challenged when they can be. */
export function challengedAtMost(plan: Plan, asked: readonly Question[]): Question[] {
  const doubting = new Set(plan.tasks.flatMap(({ definition }) => (definition.challenge ? [definition.name] : [])));
  return asked.filter(({ state, task }) => doubting.has(task) && !statesOf(plan).of(state).elsewhere);
}

/**
 * @param asked the first questions, of all tasks
 * @param answers to them; one that was set aside, or has reasoning in it, is no answer and not challenged: templates shorten such
 * @returns in the order of the first questions
 */
export function challengeQuestions(plan: Plan, asked: readonly Question[], answers: readonly Answer[]): Question[] {
  const tasks = new Map(plan.tasks.map((task) => [task.definition.name, task]));
  const replies = new Map<string, Reply>();
  // Whom others asked nobody here can doubt.
  for (const { state, key, reply } of answers) {
    if (reply && !reply.madeElsewhere) replies.set(`${state}|${key}`, reply);
  }
  return asked.flatMap((question) => {
    const task = tasks.get(question.task);
    const challenge = task && askedForm(plan, question.state).task(task).definition.challenge;
    const reply = replies.get(`${question.state}|${question.key}`);
    if (challenge === undefined || reply === undefined || isUnreadable(reply, question.reasoning)) return [];
    return [
      {
        ...question,
        key: challengedKey(question.key),
        messages: challengedMessages(question.messages, reply.text, challenge),
        ...(question.seed === undefined ? {} : { seed: challengedKey(question.seed) }),
      },
    ];
  });
}

function isUnreadable(reply: Reply, reasoning: ReasoningUse | undefined): boolean {
  return reasoning !== "keep" && hasReasoning(replyText(reply, reasoning));
}

// In-context prediction: a target's (question, behavior) pairs that stand before a hypothetical question, as turns of the chat.

/** The turns that come before a state's question about a property; none for a state that is shown nothing. */
export type ShownPairs = (state: string, property: string, variant: string, task: string) => readonly ChatMessage[];

/**
 * All questions about a property come after the same pairs, those of trained tasks' train strings, as an adapter's examples are;
 * in a seeded order that knows nothing of behaviors. Where there are fewer than the plan wants, all of them.
 * @param behaviors of every state that is shown, on train strings
 */
export function shownPairs(plan: Plan, behaviors: readonly Behavior[]): ShownPairs {
  const known = new Map<string, readonly ChatMessage[]>();
  return (state, property, variant, task) => {
    const { shown } = statesOf(plan).of(state);
    if (!shown) return [];
    const without = shown.as === "other_tasks" ? task : undefined;
    const key = JSON.stringify([state, property, variant, without]);
    const made = known.get(key) ?? turnsOf(plan, behaviors, state, shown, { property, variant, without });
    known.set(key, made);
    return made;
  };
}

function turnsOf(
  plan: Plan,
  behaviors: readonly Behavior[],
  state: string,
  { pairs, target, as }: NonNullable<PlannedState["shown"]>,
  { property, variant, without }: { readonly property: string; readonly variant: string; readonly without?: string },
): ChatMessage[] {
  const tasks = new Map(
    plan.tasks
      .filter((task) => task.trained !== false && task.definition.name !== without)
      .map((task) => [task.definition.name, task] as const),
  );
  const eligible = behaviors.flatMap((behavior) => {
    const task = tasks.get(behavior.task);
    const item = task?.train.find(({ id }) => id === behavior.item);
    const { extraction, compliance } = behavior;
    if (!task || !item || behavior.state !== target || behavior.property !== property || behavior.sample !== 0)
      return [];
    if (behavior.split !== "train" || !compliance.ok || !extraction.ok) return [];
    return [{ task, item, value: extraction.value, name: `shown/${plan.seed}/${behavior.task}/${item.id}` }];
  });
  const ordered = inSeededOrder(eligible, ({ name }) => name);
  return (as === "scrambled" ? dealtOn(ordered) : ordered)
    .slice(0, pairs)
    .flatMap(({ task, item, value }): ChatMessage[] => [
      ...turnsAboutItem(plan, state, task, item, property, variant, false),
      { role: "assistant", content: askedForm(plan, state).answer(value) },
    ]);
}

/** Each string with the value of the next one of its task; a task's only string has none to take. */
function dealtOn<Pair extends { readonly task: PlannedTask; readonly value: string }>(pairs: readonly Pair[]): Pair[] {
  return pairs.flatMap((pair) => {
    const same = pairs.filter(({ task }) => task === pair.task);
    const next = same[(same.indexOf(pair) + 1) % same.length];
    return next === undefined || next === pair ? [] : [{ ...pair, value: next.value }];
  });
}

/** How many likely tokens are stored of an answer: at its first position, and at every one. */
export type StoredTokens = Pick<SettledEngine, "topTokens" | "alternatives">;

/** A question as an engine takes it. */
export function toRequest(question: Question, { topTokens, alternatives }: StoredTokens): AskRequest {
  return {
    messages: question.messages,
    maxTokens: question.maxTokens,
    temperature: question.temperature,
    topTokens,
    ...(alternatives === undefined ? {} : { positions: alternatives }),
    shares: `${question.state}/${question.task}/${question.item}/${question.variant ?? ""}`,
    ...(question.seed === undefined ? {} : { seed: question.seed }),
    ...(question.thinking === undefined ? {} : { thinking: question.thinking }),
  };
}

/** A question and its reply, or why it has none, as a line of the run. */
export function toAnswer(question: Question, said: RecordedReply | SetAsideReason): Answer {
  const { key, state, task, item, split, property, variant, sample } = question;
  const asked = {
    key,
    state,
    task,
    item,
    split,
    ...(property === undefined ? {} : { property }),
    ...(variant === undefined ? {} : { variant }),
    sample,
  };
  if (typeof said === "string") return { ...asked, setAside: said };
  const isStripped = question.reasoning === "strip" && !said.madeElsewhere;
  return { ...asked, reply: isStripped ? withoutReasoning(said) : said };
}

/** A reply whose reasoning never ends, or stands where it cannot be told from the answer, stays whole: it is read as reasoning. */
function withoutReasoning({ opened, ...reply }: Reply): Reply {
  const parted = partReasoning((opened ?? "") + reply.text);
  if (parted === undefined) return opened === undefined ? reply : { ...reply, opened };
  return { ...reply, text: parted.answer, reasoning: parted.reasoning };
}
