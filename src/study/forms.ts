/** In which words the states of a plan are asked: those of a chat, or of a text that a base model goes on with. */

import { InwardError } from "../errors.js";
import { hypotheticalVariant, OLD_LOGPROB_WORDINGS, PLAIN_LOGPROB_WORDINGS } from "../properties/wordings.js";
import { inPlainText, plainAnswer, plainFormOf } from "../tasks/plain-form.js";
import type { TaskDefinition } from "../tasks/task.js";
import type { Plan, PlannedTask } from "./plan.js";
import { type PlanOfStates, statesOf } from "./states.js";

/** How each model of a plan is spoken to; a template is a chat's where nothing says otherwise. */
interface PlannedChats {
  readonly chats?: Readonly<Record<string, { readonly kind: "template" | "plain" }>>;
}
type PlanOfForms = PlanOfStates & PlannedChats & Pick<Plan, "wordings">;

/** Templates of the question about the two beginnings, by name. */
export function logprobWordings({ wordings }: Pick<Plan, "wordings">): Readonly<Record<string, string>> {
  return wordings.logprobs ?? OLD_LOGPROB_WORDINGS;
}

export class AskedForm {
  constructor(
    readonly isPlain: boolean,
    private readonly plan: Pick<Plan, "wordings">,
  ) {}

  /** A task in these words: what every question is built of. */
  task<Task extends Pick<PlannedTask, "definition">>(task: Task): Task & { readonly definition: TaskDefinition } {
    return this.isPlain ? { ...task, definition: inPlainText(task.definition) } : task;
  }

  /** Template of a hypothetical question. */
  variant(name: string): string {
    const { variants, plain } = this.plan.wordings;
    return (this.isPlain ? plain?.variants : variants)?.[name] as string;
  }

  /** Templates of the question about two beginnings of an answer, by name. */
  get logprobs(): Readonly<Record<string, string>> {
    const { plain } = this.plan.wordings;
    return this.isPlain && plain?.logprobs ? plain.logprobs : logprobWordings(this.plan);
  }

  /** Of a property's question. */
  question(property: string): string {
    return this.plan.wordings.properties[property] as string;
  }

  /** What is said as an answer: learnt, or shown as a solved example. */
  answer(value: string): string {
    return this.isPlain ? plainAnswer(value) : value;
  }
}

/** @param state or a model */
export function askedForm(plan: PlanOfForms, state: string): AskedForm {
  return new AskedForm(isPlain(plan, statesOf(plan).of(state).model), plan);
}

function isPlain({ chats }: PlannedChats, model: string): boolean {
  return chats?.[model]?.kind === "plain";
}

/**
 * Puts into a plan what its base models are asked in, so that it alone says so; a plan without any stays as it is.
 * @throws STUDY_INVALID a model predicts, or is compared with, one that is asked in other words · TASK_INVALID
 */
export function withPlainForms(plan: Plan & PlannedChats): Plan {
  if (!Object.keys(plan.models).some((model) => isPlain(plan, model))) return plan;
  requireOneForm(plan);
  const { wordings } = plan;
  const variants = Object.keys(wordings.variants).map((name) => [name, hypotheticalVariant(name).plain]);
  const plain = {
    variants: Object.fromEntries(variants),
    ...(wordings.logprobs ? { logprobs: PLAIN_LOGPROB_WORDINGS } : {}),
  };
  const tasks = plan.tasks.map((task) => ({
    ...task,
    definition: { ...task.definition, plain: plainFormOf(task.definition) },
  }));
  for (const { definition } of tasks) inPlainText(definition);
  return { ...plan, tasks, wordings: { ...wordings, plain } };
}

/** What differs in its prompts cannot be told from what differs in its self. */
function requireOneForm(plan: Plan & PlannedChats): void {
  const states = statesOf(plan);
  const pairs = [
    ...plan.predictions.map(({ predictor, target }) => [predictor, target] as const),
    ...states.trained.map(({ name, training }) => [name, training.target] as const),
  ];
  for (const [predictor, target] of pairs) {
    const [one, other] = [states.of(predictor).model, states.of(target).model];
    if (isPlain(plan, one) === isPlain(plan, other)) continue;
    const [plain, chat] = isPlain(plan, one) ? [one, other] : [other, one];
    throw new InwardError(
      "STUDY_INVALID",
      `${predictor} predicts ${target}, but the model ${plain} is asked in plain text and ${chat} by its chat template: they would ` +
        `answer different prompts. Give both one form, such as models.${chat}.chat: plain.`,
    );
  }
}
