/** The report's title and the plain statement of what was asked. */
import type { Plan } from "../records/plan.js";
import type { ReportDocument } from "./document.js";
import { formatCount } from "./format-number.js";
import { hypotheticalQuestions, stringsEach } from "./question-counts.js";
import { joinWords, plural, readableName } from "./readable-name.js";
import { whatWasTrained } from "./training/training-opening.js";

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

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}
