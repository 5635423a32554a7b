/** From scores to something a person can read: a document in the order of its questions, rendered twice. Reads no file and no clock. */

import type { FromCache } from "../ask/answer-cache.js";
import type { NoiseFloor } from "../ask/noise-floor.js";
import type { PatchedRow } from "../ask/patched-distributions.js";
import type { TrainedAdapter } from "../finetune/adapter/card.js";
import type { CalibrationScores } from "../score/calibration/score-calibration.js";
import type { Comparisons } from "../score/comparison/comparisons.js";
import type { Shifts } from "../score/comparison/shift.js";
import type { InputOnlyCell } from "../score/input-only/input-only-predictions.js";
import type { MatrixScores } from "../score/matrix/matrix.js";
import type { Scores } from "../score/scores.js";
import type { LensResults } from "../probe/lens-results.js";
import type { SimulationResults } from "../score/simulation/simulation.js";
import type { InjectionResults } from "../score/injection/injection-scores.js";
import type { InsideResults } from "../probe/inside-results.js";
import type { ProbeResults } from "../probe/probe-results.js";
import type { ExperimentResults } from "../score/verdicts/experiments.js";
import type { EngineManifest, Plan } from "../study/plan.js";
import type { ExperimentName } from "../study/schema.js";
import { formatCount, aside, paragraph, type ReportDocument, type Section } from "./document.js";
import { htmlPage, type ListedTrials, renderHtmlBody } from "./html.js";
import { renderMarkdown } from "./markdown.js";
import { beforeAfterSection, driftSection } from "./sections/before-after.js";
import { calibrationSection } from "./sections/calibration-section.js";
import { changeSection } from "./sections/change.js";
import { comparisonSection } from "./sections/comparison-section.js";
import { elsewhereSection } from "./sections/elsewhere-section.js";
import { exclusionsSection } from "./sections/exclusions.js";
import { figuresOf, figuresSection } from "./sections/figures.js";
import { filesSection } from "./sections/files-section.js";
import { glanceSection, numbersSection } from "./sections/glance.js";
import { type Pair, pairsOf, predictorsSection } from "./sections/headline.js";
import { type IntervalMethods, intervalMethods } from "./sections/intervals.js";
import { judgeSentence, judgesSection } from "./sections/judges-section.js";
import { limitsSection, noiseSection } from "./sections/limits-section.js";
import { matrixSection } from "./sections/matrix-section.js";
import { methodSection } from "./sections/method.js";
import { cellSection } from "./sections/pairs.js";
import { lensSection } from "./sections/lens-section.js";
import { insideSection } from "./sections/inside-section.js";
import { injectionSection } from "./sections/injection-section.js";
import { probesSection } from "./sections/probes-section.js";
import { samplesSection, type SampleTrial } from "./sections/samples.js";
import { simulationSection } from "./sections/simulation-section.js";
import { selfSection } from "./sections/self.js";
import { subgroupsSection } from "./sections/subgroups-section.js";
import { taskAccuracySection } from "./sections/accuracy-section.js";
import { effectsOf } from "../score/verdicts/training-effect.js";
import { trainingSection, whatWasTrained } from "./sections/training-section.js";
import { type StateNames, stateNames } from "./state-names.js";
import {
  countHypotheticalQuestions,
  joinWords,
  type PairNames,
  plural,
  type PropertyNames,
  propertyNames,
  readableName,
  stringsEach,
} from "./terms.js";
import { statesOf } from "../study/states.js";
import { type TrialsInPage, trialsSection } from "./trials-in-page.js";

// Puts the first page before the other sections; its figure moves there from the section that drew it.

/** Names of figures, without the number that the first of several has. */
const FIGURES: Readonly<Record<ExperimentName, string>> = {
  self_prediction: "self-prediction",
  cross_prediction: "comparison",
  calibration: "calibration",
  behavioral_change: "shift",
  matrix: "matrix",
  limits: "limits",
  self_simulation: "simulation-slope",
  injection: "injection",
};

function withFirstPage(
  results: ExperimentResults,
  sections: readonly Section[],
  names: StateNames,
  intervals: IntervalMethods,
): Section[] {
  const figures = sections.flatMap(figuresOf);
  const [key] = results.experiments
    .filter(({ verdicts }) => verdicts.length > 0)
    .toSorted((a, b) => Number(b.name === results.primary?.experiment) - Number(a.name === results.primary?.experiment))
    .flatMap(({ name }) => figures.filter((one) => [FIGURES[name], `${FIGURES[name]}-1`].includes(one.name)));
  const others = sections.map((section) => ({
    ...section,
    blocks: section.blocks.map((block) =>
      block === key
        ? aside(`The figure of this (${key?.title}) stands under `, { link: "experiments", text: "At a glance" }, ".")
        : block,
    ),
  }));
  // After what each experiment says of itself, before the pictures of every pair.
  const place = others.findIndex(({ id }) => id === "figures");
  const [said, rest] = place < 0 ? [others, []] : [others.slice(0, place), others.slice(place)];
  return [glanceSection(results, key, names), ...said, numbersSection(results, names, intervals), ...rest];
}

// The report's title and the plain statement of what was asked.

function opening(plan: Plan, { judges = [] }: Scores): Pick<ReportDocument, "title" | "subtitle" | "opening"> {
  const isTrained = statesOf(plan).trained.length > 0;
  if (plan.predictions.length === 0) {
    return {
      title: `${plan.study}: what was answered`,
      subtitle: `A study by inward ${plan.inwardVersion}`,
      opening: [{ kind: "paragraph", tone: "lead", text: [whatWasAnswered(plan)] }],
    };
  }
  return {
    title: `${plan.study}: what the model does, and what it says it would do${isTrained ? ", before and after training" : ""}`,
    subtitle: `A study by inward ${plan.inwardVersion}`,
    opening: [
      {
        kind: "paragraph",
        tone: "lead",
        text: [isTrained ? whatWasTrained(plan) : whatWasAsked(plan)],
      },
      ...judges.map((judge) => paragraph(judgeSentence(judge))),
    ],
  };
}

/** Nobody predicts anything. */
function whatWasAnswered(plan: Plan): string {
  const strings = plan.tasks.reduce((sum, task) => sum + task.heldOut.length, 0);
  const names = statesOf(plan).answeredElsewhere.map(({ name }) => name);
  return [
    `${joinWords(names)} answered ${plural(strings, "string", formatCount(strings))}`,
    `of ${plural(plan.tasks.length, "task", formatCount(plan.tasks.length))}, asked by another program.`,
    "There are no predictions of these answers, made here or elsewhere: what follows says what was answered, and nothing of whether anybody knew it.",
  ].join(" ");
}

function whatWasAsked(plan: Plan): string {
  const targets = unique(plan.predictions.map(({ target }) => target));
  const properties = unique(plan.tasks.flatMap((task) => task.properties));
  const hypothetical = countHypotheticalQuestions(plan);
  const strings = plan.tasks.reduce((sum, task) => sum + task.heldOut.length, 0);
  const tasks = joinWords(plan.tasks.map((task) => readableName(task.definition.name)));
  const predictors = unique(plan.predictions.map(({ predictor }) => predictor));
  const each = predictors.length > 1 ? " to each" : "";
  return [
    `${joinWords(targets)} answered ${plural(strings, "held-out string", formatCount(strings))} of`,
    `${plural(plan.tasks.length, "task", formatCount(plan.tasks.length))} (${tasks}; ${stringsEach(plan.tasks)}).`,
    `Then, ${whereAsked(plan, predictors)}, ${whoWasAsked(plan, targets)}:`,
    `${plural(hypothetical, "hypothetical question", formatCount(hypothetical))}${each}, about`,
    `${formatCount(properties.length)} ${properties.length === 1 ? "property" : "properties"} of an answer`,
    `(${joinWords(properties.map(readableName))}).`,
    "A prediction is right when it equals the property of the answer that was really given.",
  ].join(" ");
}

/** What others put before their questions nobody here knows. */
function whereAsked(plan: Plan, predictors: readonly string[]): string {
  const others = predictors.filter((name) => statesOf(plan).of(name).elsewhere);
  const here = "in separate conversations that do not show those answers";
  if (others.length === 0) return here;
  return others.length === predictors.length
    ? "in conversations that stand in logs"
    : `${here} (of ${joinWords(others)}: in conversations that stand in logs)`;
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

/** @throws InwardError REPORT_FAILED when a figure cannot be drawn */
export async function makeReport(input: ReportInput): Promise<MadeReport> {
  const { plan, scores, comparisons, shifts, experiments } = input;
  const isMain = (pair: PairNames) => statesOf(plan).isMain(pair);
  const pairs = pairsOf(plan, scores).filter(isMain);
  const intervals = intervalMethods(input);
  const names = stateNames(plan);
  const property = propertyNames(plan, scores);
  const accuracy = taskAccuracySection(scores);
  const subgroups = subgroupsSection(scores, isMain, names, property);
  const judges = judgesSection(scores);
  const elsewhere = elsewhereSection(plan, scores, property);
  const isPredicted = plan.predictions.length > 0;
  const verdictsOf = (name: ExperimentName) =>
    experiments?.experiments.find((one) => one.name === name)?.verdicts ?? [];
  const sections = [
    ...(isPredicted ? await resultSections(input, names, property) : []),
    ...(elsewhere ? [elsewhere] : []),
    ...(judges ? [judges] : []),
    ...(comparisons && (comparisons.selfPredictions.length > 0 || comparisons.series.length > 0)
      ? [await selfSection(comparisons, plan, scores, names)]
      : []),
    ...(comparisons && comparisons.comparisons.length > 0
      ? [await comparisonSection({ plan, scores, comparisons, names })]
      : []),
    ...(input.matrix ? [await matrixSection(input.matrix, plan)] : []),
    ...(input.calibration ? [await calibrationSection(input.calibration, verdictsOf("calibration"), isMain)] : []),
    ...(input.probes ? [await probesSection(input.probes, names, property)] : []),
    ...(input.lenses ? [await lensSection(input.lenses, names, property)] : []),
    ...(input.simulation
      ? [await simulationSection(input.simulation, verdictsOf("self_simulation"), input.patches ?? [], names, property)]
      : []),
    ...(input.inside ? [insideSection(input.inside, names, property)] : []),
    ...(input.injection && plan.injection
      ? [injectionSection(input.injection, verdictsOf("injection"), plan.injection, names)]
      : []),
    ...(shifts && shifts.changes.length > 0 ? [await changeSection(shifts, plan, names, property)] : []),
    ...(isPredicted
      ? [await figuresSection(pairs.filter(isDrawn(plan)), names), cellSection(pairs, scores.confidence, names)]
      : []),
    ...(subgroups ? [subgroups] : []),
    ...(accuracy ? [accuracy] : []),
    ...(isPredicted
      ? [
          noiseSection(input.noiseFloors, scores),
          samplesSection(input.samples, property),
          ...(input.trials ? [trialsSection(input.trials)] : []),
          exclusionsSection(scores, isMain, property),
        ]
      : []),
    methodSection(plan, scores, input.fromCache),
    intervals.section,
    filesSection(plan, scores, input.manifests),
    limitsSection(input),
  ];
  const judged = experiments && experiments.experiments.length > 0 ? experiments : undefined;
  const document: ReportDocument = {
    ...opening(plan, scores),
    hasFirstPage: judged !== undefined,
    sections: judged ? withFirstPage(judged, sections, names, intervals) : sections,
  };
  return {
    html: htmlPage(document.title, renderHtmlBody(document), input.trials),
    markdown: renderMarkdown(document),
    figures: document.sections.flatMap(figuresOf).map(({ name, svg }) => ({ name, svg })),
  };
}

/** Untrained predictors of a study that trains stand in the figures before and after; so only they are left out. */
function isDrawn(plan: Plan): (pair: Pair) => boolean {
  const { trained } = statesOf(plan);
  return ({ predictor, target }) =>
    !trained.some(({ training }) => training.base === predictor && training.target === target);
}

/** Where something was trained, what that changed comes before each predictor's own result. */
async function resultSections(input: ReportInput, names: StateNames, property: PropertyNames): Promise<Section[]> {
  const { scores, plan } = input;
  const headline = predictorsSection(plan, scores, names);
  const { effects, others } = effectsOf(input);
  if (effects.length === 0 && others.length === 0) return [headline];
  return [
    ...(effects.length > 0 ? [await beforeAfterSection(effects, others, scores)] : []),
    await trainingSection(effects, others, plan, property),
    ...(effects.length > 0 ? [driftSection(effects, scores.confidence, property)] : []),
    { ...headline, id: "predictors", title: "Each predictor about each target" },
  ];
}

// What a report is made from and what it is made into: values only, so that the same input gives the same bytes.

export interface ReportInput {
  readonly plan: Plan;
  readonly scores: Scores;
  readonly noiseFloors: readonly NoiseFloor[];
  /** By model state: the engine that asked it. */
  readonly manifests: Readonly<Record<string, EngineManifest>>;
  /** Answers that the run did not ask itself; absent when it asked all. */
  readonly fromCache?: FromCache;
  readonly samples: readonly SampleTrial[];
  /** Sentences about the run that a reader must know, such as what the check of a task found. */
  readonly taskWarnings: readonly string[];
  /** The plan's adapters, in its order; absent or empty when nothing was trained. */
  readonly training?: readonly TrainedAdapter[];
  /** Absent when no target has both a self and a cross predictor. */
  readonly comparisons?: Comparisons;
  /** By the state whose train behaviors a classifier of strings learnt: what it learnt from, or why there is none. */
  readonly inputOnly?: Readonly<Record<string, readonly InputOnlyCell[]>>;
  /** Absent when no distributions were measured. */
  readonly calibration?: CalibrationScores;
  /** Absent when the study asks for no matrix. */
  readonly matrix?: MatrixScores;
  /** Absent in runs that are older than experiments; there the report begins with its sections. */
  readonly experiments?: ExperimentResults;
  /** Absent when the study does not look inside. */
  readonly probes?: ProbeResults;
  /** Absent when no lens reads. */
  readonly lenses?: LensResults;
  /** What patches did; absent when the study writes nothing inside. */
  readonly simulation?: SimulationResults;
  /** Of these the examples are. */
  readonly patches?: readonly PatchedRow[];
  /** Absent when no answers are taken apart. */
  readonly inside?: InsideResults;
  /** Absent when nothing is injected. */
  readonly injection?: InjectionResults;
  /** Absent when no behavior was changed. */
  readonly shifts?: Shifts;
  /** In the page, with what lists them; absent where nobody predicts anything, or that was not built. */
  readonly trials?: TrialsInPage & ListedTrials;
}

interface ReportFigure {
  /** File name without `.svg`. */
  readonly name: string;
  /** Stands alone: white background, fixed colours. */
  readonly svg: string;
}

export interface MadeReport {
  /** One file that opens from disk: nothing to load, and no script but that of the list of trials. */
  readonly html: string;
  /** The same content; its figures are `figures/<name>.svg` beside it. */
  readonly markdown: string;
  readonly figures: readonly ReportFigure[];
}
