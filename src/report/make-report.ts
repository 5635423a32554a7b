/** From scores to something a person can read: a document in the order of its questions, rendered twice. Pure: no files, no clock. */
import { calibrationSection } from "./calibration/calibration-section.js";
import { cellSection } from "./cell-table.js";
import { comparisonSection } from "./comparison/comparison-section.js";
import type { ReportDocument, Section } from "./document.js";
import { exclusionsSection } from "./exclusions-section.js";
import { figuresOf, figuresSection } from "./figures-section.js";
import { filesSection } from "./files-section.js";
import { headlineSection, pairsOf } from "./headline-section.js";
import { htmlPage } from "./html-page.js";
import { limitsSection } from "./limits-section.js";
import { matrixSection } from "./matrix/matrix-section.js";
import { methodSection } from "./method-section.js";
import { noiseSection } from "./noise-section.js";
import { opening } from "./opening.js";
import { renderHtmlBody } from "./render-html.js";
import { renderMarkdown } from "./render-markdown.js";
import type { ReportFiles, ReportInput } from "./report-input.js";
import { samplesSection } from "./samples-section.js";
import { beforeAfterSection } from "./training/before-after-section.js";
import { driftSection } from "./training/drift-section.js";
import { effectsOf } from "./training/effects-of.js";
import { trainingSection } from "./training/training-section.js";

/** @throws InwardError REPORT_FAILED when a figure cannot be drawn */
export async function makeReport(input: ReportInput): Promise<ReportFiles> {
  const { plan, scores } = input;
  const pairs = pairsOf(scores);
  const figures = await figuresSection(pairs);
  const document: ReportDocument = {
    ...opening(plan),
    sections: [
      ...(await resultSections(input)),
      ...(input.comparisons ? [await comparisonSection(input.comparisons, plan)] : []),
      ...(input.matrix ? [await matrixSection(input.matrix)] : []),
      ...(input.calibration ? [await calibrationSection(input.calibration)] : []),
      figures,
      cellSection(pairs, scores.confidence),
      noiseSection(input.noiseFloors, scores),
      samplesSection(input.samples),
      exclusionsSection(scores),
      methodSection(plan, scores),
      filesSection(plan, scores, input.manifests),
      limitsSection(input),
    ],
  };
  return {
    html: htmlPage(document.title, renderHtmlBody(document)),
    markdown: renderMarkdown(document),
    figures: document.sections.flatMap(figuresOf).map(({ name, svg }) => ({ name, svg })),
  };
}

/** Where something was trained, what that changed comes before each predictor's own result. */
async function resultSections(input: ReportInput): Promise<Section[]> {
  const { scores } = input;
  const headline = headlineSection(scores);
  const effects = effectsOf(input);
  if (effects.length === 0) return [headline];
  return [
    await beforeAfterSection(effects, scores.confidence),
    await trainingSection(effects),
    driftSection(effects, scores.confidence),
    { ...headline, id: "predictors", title: "Each predictor about each target" },
  ];
}
