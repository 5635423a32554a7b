/** From scores to something a person can read: a document in the order of its questions, rendered twice. Pure: no files, no clock. */
import { calibrationSection } from "./calibration/calibration-section.js";
import { cellSection } from "./cell-table.js";
import { changeSection } from "./change/change-section.js";
import { comparisonSection } from "./comparison/comparison-section.js";
import type { Plan } from "../records/plan.js";
import type { ReportDocument, Section } from "./document.js";
import { exclusionsSection } from "./exclusions-section.js";
import { figuresOf, figuresSection } from "./figures-section.js";
import { filesSection } from "./files-section.js";
import { withFirstPage } from "./first-page/with-first-page.js";
import { type Pair, pairsOf } from "./headline-section.js";
import { htmlPage } from "./html-page.js";
import { limitsSection } from "./limits-section.js";
import { matrixSection } from "./matrix/matrix-section.js";
import { mainPairs } from "./main-pairs.js";
import { methodSection } from "./method-section.js";
import { noiseSection } from "./noise-section.js";
import { opening } from "./opening.js";
import { renderHtmlBody } from "./render-html.js";
import { renderMarkdown } from "./render-markdown.js";
import type { ReportFiles, ReportInput } from "./report-input.js";
import { predictorsSection } from "./predictors-section.js";
import { samplesSection } from "./samples-section.js";
import { selfSection } from "./self/self-section.js";
import { beforeAfterSection } from "./training/before-after-section.js";
import { driftSection } from "./training/drift-section.js";
import { effectsOf } from "./training/effects-of.js";
import { trainingSection } from "./training/training-section.js";

/** @throws InwardError REPORT_FAILED when a figure cannot be drawn */
export async function makeReport(input: ReportInput): Promise<ReportFiles> {
  const { plan, scores, comparisons, shifts, experiments } = input;
  const isMain = mainPairs(plan);
  const pairs = pairsOf(scores).filter(isMain);
  const sections = [
    ...(await resultSections(input)),
    ...(comparisons && ((comparisons.selfPredictions ?? []).length > 0 || (comparisons.series ?? []).length > 0)
      ? [await selfSection(comparisons, comparisons.selfPredictions ?? [], plan, scores)]
      : []),
    ...(comparisons && comparisons.comparisons.length > 0 ? [await comparisonSection(comparisons, plan)] : []),
    ...(input.matrix ? [await matrixSection(input.matrix)] : []),
    ...(input.calibration ? [await calibrationSection(input.calibration, isMain)] : []),
    ...(shifts && shifts.changes.length > 0 ? [await changeSection(shifts)] : []),
    await figuresSection(pairs.filter(isDrawn(plan))),
    cellSection(pairs, scores.confidence),
    noiseSection(input.noiseFloors, scores),
    samplesSection(input.samples),
    exclusionsSection(scores, isMain),
    methodSection(plan, scores),
    filesSection(plan, scores, input.manifests),
    limitsSection(input),
  ];
  const document: ReportDocument = {
    ...opening(plan),
    sections: experiments && experiments.experiments.length > 0 ? withFirstPage(experiments, sections) : sections,
  };
  return {
    html: htmlPage(document.title, renderHtmlBody(document)),
    markdown: renderMarkdown(document),
    figures: document.sections.flatMap(figuresOf).map(({ name, svg }) => ({ name, svg })),
  };
}

/** Untrained predictors of a study that trains stand in the figures before and after; so only they are left out. */
function isDrawn(plan: Plan): (pair: Pair) => boolean {
  const adapters = Object.values(plan.adapters ?? {});
  return ({ predictor, target }) => !adapters.some((one) => one.base === predictor && one.target === target);
}

/** Where something was trained, what that changed comes before each predictor's own result. */
async function resultSections(input: ReportInput): Promise<Section[]> {
  const { scores, plan } = input;
  const headline = predictorsSection(plan, scores);
  const { effects, others } = effectsOf(input);
  if (effects.length === 0 && others.length === 0) return [headline];
  return [
    ...(effects.length > 0 ? [await beforeAfterSection(effects, others, scores)] : []),
    await trainingSection(effects, others, plan),
    ...(effects.length > 0 ? [driftSection(effects, scores.confidence)] : []),
    { ...headline, id: "predictors", title: "Each predictor about each target" },
  ];
}
