/** What this study cannot show, from what was and was not run; and every warning in full. */
import type { NoiseFloor } from "../records/noise-floor.js";
import type { Plan } from "../records/plan.js";
import type { CellScore } from "../records/scores.js";
import { assumptionsOf } from "./assumptions.js";
import { type Block, type Inline, note, type Section } from "./document.js";
import { formatCount } from "./format-number.js";
import { inputOnlyLimits } from "./input-only-limits.js";
import { joinWords, propertyLabel, readableName } from "./readable-name.js";
import { mainPairs } from "./main-pairs.js";
import { changeLimits, notJudged } from "./not-judged.js";
import type { ReportInput } from "./report-input.js";
import { JUDGED_BY_COMPARISON, trainingLimits } from "./training/training-limits.js";

export function limitsSection(input: ReportInput): Section {
  const { scores, taskWarnings } = input;
  const isMain = mainPairs(input.plan);
  const withWarnings = scores.cells.filter((cell) => cell.warnings.length > 0);
  const warned = withWarnings.filter(isMain);
  const assumptions = assumptionsOf(input);
  return {
    id: "limits",
    title: "Assumptions and limits",
    blocks: [
      ...(assumptions.length === 0 ? [] : [subheading("Assumptions"), list(assumptions.map((text) => [text]))]),
      subheading("Limits: what was and was not run"),
      list(limitsOf(input).map((text) => [text])),
      ...(taskWarnings.length === 0 ? [] : [subheading("Warnings"), list(taskWarnings.map((text) => [text]))]),
      ...(warned.length === 0
        ? []
        : [subheading("Warnings per task and property"), list(warned.map(cellWarning(scores.cells)))]),
      ...(warned.length === withWarnings.length
        ? []
        : [
            note(
              `Of other seeds, series, controls, wordings and changed models ${formatCount(withWarnings.length - warned.length)} more have warnings (08-scores.json).`,
            ),
          ]),
    ],
  };
}

export function limitsOf(
  input: Pick<ReportInput, "plan" | "scores" | "noiseFloors" | "comparisons" | "inputOnly" | "matrix" | "shifts">,
): string[] {
  const { plan, noiseFloors, comparisons } = input;
  const compared = (comparisons?.comparisons.length ?? 0) > 0;
  return [
    ...(plan.adapters
      ? trainingLimits(plan, plan.adapters, compared)
      : models(plan, compared, input.matrix !== undefined)),
    ...notJudged(plan),
    ...changeLimits(input.shifts),
    ...asking(plan),
    ...noise(plan, noiseFloors),
    ...reencoded(plan),
    ...inputOnlyLimits(input),
    "Intervals say what other strings of the same lists could have given. They say nothing about other tasks, wordings or models.",
    "Rows of the table are read side by side without a correction for their number: with many rows some intervals exclude 0 by chance.",
  ];
}

function models({ predictions }: Plan, compared: boolean, matrix: boolean): string[] {
  const states = new Set(predictions.flatMap(({ predictor, target }) => [predictor, target]));
  const self = predictions.some(({ predictor, target }) => predictor === target);
  const cross = predictions.some(({ predictor, target }) => predictor !== target);
  const privileged =
    states.size === 1
      ? "One model only: privileged access is not measured, since no other model predicts the same behavior."
      : compared
        ? JUDGED_BY_COMPARISON
        : matrix
          ? "Privileged access is looked at under “Every predictor about every target”, where every predictor is held against every target."
          : self && cross
            ? "Self-predictions and cross-predictions stand side by side; their difference on the same trials, which would measure privileged access, is not computed here."
            : `Only ${self ? "self-predictions" : "cross-predictions"} were asked: privileged access is not measured.`;
  return [
    `No adapter was trained: ${states.size === 1 ? "this is the untrained model" : "these are the untrained models"}.`,
    privileged,
  ];
}

function asking(plan: Plan): string[] {
  const withExamples = plan.tasks.filter((task) => task.examples && task.definition.examples.length > 0);
  const names = joinWords(withExamples.map((task) => readableName(task.definition.name)));
  const noTrain = plan.tasks.filter((task) => task.train.length === 0);
  const { variants } = plan.hypothetical;
  return [
    ...(withExamples.length === 0
      ? []
      : [
          `Object-level questions of ${names} came after solved examples, which the hypothetical question does not quote: the two are not asked in the same setting.`,
        ]),
    ...(noTrain.length === 0
      ? []
      : [
          `No train strings were asked for ${joinWords(noTrain.map((task) => readableName(task.definition.name)))}: the train-label mode baseline is missing there.`,
        ]),
    variants.length === 1
      ? `One wording of the hypothetical question (${readableName(variants[0] as string)}): how much the wording matters is not measured.`
      : `${formatCount(variants.length)} wordings of the hypothetical question count together in the averages.`,
    plan.objectLevel.temperature === 0
      ? `Object-level answers are greedy: ${plan.calibration ? "accuracies say nothing about behavior when sampled; calibration is about that" : "how behavior varies when sampled, and whether predicted probabilities are calibrated, is not measured"}.`
      : "One sampled object-level answer per string: how behavior varies between samples is not measured.",
  ];
}

function noise(plan: Plan, floors: readonly NoiseFloor[]): string[] {
  const states = [...new Set(plan.predictions.flatMap(({ predictor, target }) => [predictor, target]))];
  const unmeasured = states.filter((state) => !floors.some((floor) => floor.state === state && floor.questions > 0));
  const unsteady = floors.filter((floor) => floor.sameTokens < floor.questions);
  return [
    ...(unmeasured.length === 0 ? [] : [`The noise floor of ${joinWords(unmeasured)} was not measured.`]),
    ...unsteady.map(
      (floor) =>
        `${floor.state} answered ${formatCount(floor.questions - floor.sameTokens)} of ${formatCount(floor.questions)} questions with other tokens when asked again: read the results above the noise floor.`,
    ),
  ];
}

function reencoded({ models }: Plan): string[] {
  return Object.entries(models).flatMap(([state, { encoding, reencodedFrom }]) =>
    reencodedFrom
      ? [
          `${state} ran from a re-encoding of the ${reencodedFrom.encoding} file as ${encoding}; the file as shipped may answer differently.`,
        ]
      : [],
  );
}

function cellWarning(all: readonly CellScore[]): (cell: CellScore) => Inline[] {
  const pairs = new Set(all.map((cell) => JSON.stringify([cell.predictor, cell.target])));
  const several = new Set(all.map((cell) => cell.variant)).size > 1;
  return (cell) => {
    const who = pairs.size > 1 ? `${cell.predictor} about ${cell.target}, ` : "";
    return [{ strong: `${who}${readableName(cell.task)}, ${propertyLabel(cell, several)}. ` }, cell.warnings.join(" ")];
  };
}

function subheading(title: string): Block {
  return { kind: "subheading", title };
}

function list(items: readonly (readonly Inline[])[]): Block {
  return { kind: "list", items };
}
