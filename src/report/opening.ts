/** The report's title and the plain statement of what was asked. */
import type { Plan, PlannedTask } from "../records/plan.js";
import type { ReportDocument } from "./document.js";
import { formatCount } from "./format-number.js";
import { joinWords, plural, readableName } from "./readable-name.js";

export function opening(plan: Plan): Pick<ReportDocument, "title" | "subtitle" | "opening"> {
  return {
    title: `${plan.study}: what the model does, and what it says it would do${plan.adapters ? ", before and after training" : ""}`,
    subtitle: `A study by inward ${plan.inwardVersion}`,
    opening: [
      {
        kind: "paragraph",
        tone: "lead",
        text: [plan.adapters ? whatWasTrained(plan, plan.adapters) : whatWasAsked(plan)],
      },
    ],
  };
}

/** The same for a study that trains: what was asked before and after, and what was learnt in between. */
export function whatWasTrained(plan: Plan, adapters: NonNullable<Plan["adapters"]>): string {
  const models = unique(Object.values(adapters).flatMap(({ base, target }) => [base, target]));
  const namesOf = (tasks: readonly PlannedTask[]) => joinWords(tasks.map((task) => readableName(task.definition.name)));
  const trained = plan.tasks.filter((task) => task.trained);
  const heldOut = plan.tasks.filter((task) => task.trained === false);
  const properties = unique(plan.tasks.flatMap((task) => task.properties));
  const strings = plan.tasks.reduce((sum, task) => sum + task.heldOut.length, 0);
  const train = trained.reduce((sum, task) => sum + task.train.length, 0);
  const asked = hypotheticalQuestions(plan);
  const learnt = Object.values(adapters).map(
    ({ base, target }) => `${base} learnt what ${base === target ? "it does" : `${target} does`}`,
  );
  return [
    `${joinWords(models)} answered ${plural(strings, "held-out string", formatCount(strings))} of`,
    `${plural(plan.tasks.length, "task", formatCount(plan.tasks.length))} (${namesOf(plan.tasks)}; ${stringsEach(plan.tasks)}).`,
    `In separate conversations that do not show those answers, each predictor was asked what they would be: ${plural(asked, "hypothetical question", formatCount(asked))},`,
    `about ${formatCount(properties.length)} ${properties.length === 1 ? "property" : "properties"} of an answer (${joinWords(properties.map(readableName))}).`,
    `This was done before and after training a LoRA adapter: from the answers to ${plural(train, "other string", formatCount(train))} of ${namesOf(trained)}, ${joinWords(learnt)}.`,
    ...(heldOut.length === 0 ? [] : [`Nothing was learnt from ${namesOf(heldOut)}.`]),
    "A prediction is right when it equals the property of the answer that was really given.",
  ].join(" ");
}

function hypotheticalQuestions({ tasks, hypothetical }: Plan): number {
  return tasks.reduce(
    (sum, task) => sum + task.heldOut.length * task.properties.length * hypothetical.variants.length,
    0,
  );
}

export function whatWasAsked(plan: Plan): string {
  const targets = unique(plan.predictions.map(({ target }) => target));
  const properties = unique(plan.tasks.flatMap((task) => task.properties));
  const hypothetical = hypotheticalQuestions(plan);
  const strings = plan.tasks.reduce((sum, task) => sum + task.heldOut.length, 0);
  const tasks = joinWords(plan.tasks.map((task) => readableName(task.definition.name)));
  const predictors = unique(plan.predictions.map(({ predictor }) => predictor));
  const each = predictors.length > 1 ? " to each" : "";
  return [
    `${joinWords(targets)} answered ${plural(strings, "held-out string", formatCount(strings))} of`,
    `${plural(plan.tasks.length, "task", formatCount(plan.tasks.length))} (${tasks}; ${stringsEach(plan.tasks)}).`,
    `Then, in separate conversations that do not show those answers, ${whoWasAsked(plan, targets)}:`,
    `${plural(hypothetical, "hypothetical question", formatCount(hypothetical))}${each}, about`,
    `${formatCount(properties.length)} ${properties.length === 1 ? "property" : "properties"} of an answer`,
    `(${joinWords(properties.map(readableName))}).`,
    "A prediction is right when it equals the property of the answer that was really given.",
  ].join(" ");
}

function whoWasAsked({ predictions }: Plan, targets: readonly string[]): string {
  if (targets.length === 1 && predictions.every(({ predictor, target }) => predictor === target)) {
    return "it was asked what its answers would be";
  }
  const asked = predictions.map(
    ({ predictor, target }) => `${predictor} about ${predictor === target ? "its own answers" : `those of ${target}`}`,
  );
  return `models were asked what the answers would be (${joinWords(asked)})`;
}

function stringsEach(tasks: readonly PlannedTask[]): string {
  const counts = tasks.map((task) => task.heldOut.length);
  const [least, most] = [Math.min(...counts), Math.max(...counts)].map(formatCount);
  return least === most ? `${least} each` : `${least} to ${most} each`;
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}
