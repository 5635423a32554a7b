/** The result of a study that trains, first: accuracy before and after beside every baseline, and what that does and does not show. */

import type { LossPoint, TrainedAdapter } from "../../finetune/adapter/card.js";
import type { AverageScore, BehaviorDrift, Scores } from "../../score/scores.js";
import type { Plan } from "../../study/plan.js";
import {
  answer,
  type Block,
  estimateCell,
  type Figure,
  formatCount,
  formatMissing,
  formatNats,
  aside,
  pairCell,
  paragraph,
  type Section,
  shareCell,
  type TableCell,
  type TableRow,
} from "../document.js";
import { beforeAfterFigure } from "../figures/training-figure.js";
import {
  arrowOf,
  joinWords,
  plural,
  type PropertyNames,
  readableName,
  reasonWords,
  SCOPE_WORDS,
  scopeWords,
  sourceWords,
  stateWords,
  whatItLearnt,
} from "../terms.js";
import { stringCells, stringTitles } from "./pairs.js";
import { judgeTraining } from "./training-verdict.js";
import { type Role, ROLES, type ScopedEffect, type TrainingEffect } from "../../score/verdicts/training-effect.js";
import { statesOf } from "../../study/states.js";

const ROLE_NAMES: Readonly<Record<Role, string>> = {
  before: "Before training",
  after: "After training",
  about_itself: "After, about its new behavior",
};

/** @throws InwardError REPORT_FAILED */
export async function beforeAfterSection(
  effects: readonly TrainingEffect[],
  others: readonly TrainedAdapter[],
  scores: Scores,
): Promise<Section> {
  const percent = Number((100 * scores.confidence).toFixed(6));
  const blocks: Block[] = [];
  for (const [index, effect] of effects.entries()) {
    const { finding, privilegedAccess, details } = judgeTraining(effect);
    const suffix = effects.length > 1 ? `-${index + 1}` : "";
    blocks.push(
      ...(effects.length > 1 ? [{ kind: "subheading" as const, title: whatItLearnt(effect) }] : []),
      answer(finding, [privilegedAccess, ...details]),
      averagesTable(effect, percent),
      legend(effect),
      await figureOf(effect, `before-after${suffix}`, effects.length > 1),
      changesTable(effect, percent),
    );
  }
  return {
    id: "headline",
    title: "What training changed",
    blocks: [...blocks, ...otherChanges(others, scores, percent)],
  };
}

/** Other seeds and sizes; controls and changes are compared elsewhere. */
function otherChanges(
  others: readonly TrainedAdapter[],
  { changes = [], drift = [] }: Scores,
  percent: number,
): Block[] {
  const rows = others.flatMap(({ name, set }) =>
    changes.filter(
      (row) => row.after === name && row.target === set.target && row.scope !== "all" && row.kind === "micro",
    ),
  );
  if (rows.length === 0) return [];
  return [
    { kind: "subheading", title: "Other seeds and sizes" },
    {
      kind: "table",
      caption: `Before and after, about the same behavior (micro), with ${percent} % intervals; and how many behaviors training moved, where the trained model was asked what it does`,
      columns: [
        { title: "Adapter", align: "left" },
        ...["Before", "After", "Change, points", "Behaviors moved", "Trials / strings"].map((title) => ({
          title,
          align: "right" as const,
        })),
      ],
      rows: rows.map((row) => ({
        cells: [
          { text: row.after, small: `about ${row.target}, on ${SCOPE_WORDS[row.scope]}` },
          estimateCell(row.accuracyBefore),
          estimateCell(row.accuracyAfter),
          estimateCell(row.change, true),
          estimateCell(
            drift.find((one) => one.after === row.after && one.task === undefined)?.differ ?? {
              ok: false,
              reason: "it was not asked",
            },
          ),
          pairCell(row.change, "no accuracy"),
        ],
      })),
    },
  ];
}

function legend(effect: TrainingEffect): Block {
  const { base, name, isSelf } = effect;
  return aside(
    ...(isSelf
      ? [
          `M is ${base} untrained; M1 is the same weights with the adapter `,
          { code: name },
          ". M1 → M: M1's predictions of what M did. M1 → M1: of what M1 does itself. ",
          "M1 learnt from M's answers, so the train mode is M's in all rows. ",
        ]
      : []),
    "Right: a reply that does not comply counts as wrong. The best rule is chosen per row after seeing the answers.",
  );
}

function averagesTable(effect: TrainingEffect, percent: number): Block {
  return {
    kind: "table",
    caption: `Percent of trials (micro averages), with ${percent} % intervals (cluster bootstrap by string) in brackets`,
    groupTitle: "Trials of",
    columns: [
      { title: "Predictor → target", align: "left" },
      { title: "Right", align: "right" },
      { title: "Mode (train)", align: "right" },
      { title: "Minus train mode, points", align: "right" },
      { title: "Mode (oracle)", align: "right" },
      ...stringTitles(averagesOf(effect)).map((title) => ({ title, align: "right" as const })),
      { title: "Right when compliant", align: "right" },
      { title: "Replies comply", align: "right" },
      { title: "Answers comply", align: "right" },
      { title: "Trials / strings", align: "right" },
    ],
    rows: withPooled(effect).flatMap((scope) =>
      ROLES.flatMap((role): TableRow[] => {
        const average = scope.averages[role];
        return average ? [averageRow(effect, scope, role, average)] : [];
      }),
    ),
  };
}

/** For tables alone: nothing is judged on trials of several scopes. */
function withPooled({ scopes, pooled }: TrainingEffect): readonly ScopedEffect[] {
  return pooled ? [...scopes, pooled] : scopes;
}

function averagesOf(effect: TrainingEffect): AverageScore[] {
  return withPooled(effect).flatMap(({ averages }) => ROLES.flatMap((role) => averages[role] ?? []));
}

function averageRow(effect: TrainingEffect, scope: ScopedEffect, role: Role, average: AverageScore): TableRow {
  return {
    group: scopeWords(scope),
    cells: [
      { text: ROLE_NAMES[role], small: arrowOf(effect, role) },
      estimateCell(average.accuracy),
      estimateCell(average.modeBaselineTrain),
      estimateCell(average.aboveModeTrain, true),
      estimateCell(average.modeBaselineOracle),
      ...stringCells(average, averagesOf(effect)),
      estimateCell(average.accuracyWhenCompliant),
      shareCell(average.hypotheticalCompliance),
      shareCell(average.objectCompliance),
      pairCell(average.accuracy, "no accuracy"),
    ],
  };
}

function changesTable(effect: TrainingEffect, percent: number): Block {
  return {
    kind: "table",
    caption: `What training changed, paired on the same trials: after minus before, in points, with ${percent} % intervals. Micro: every trial counts the same. Macro: every task × property does.`,
    columns: [
      { title: "Trials of", align: "left" },
      { title: "Before", align: "right" },
      { title: "After", align: "right" },
      { title: "Change (micro)", align: "right" },
      { title: "Change (macro)", align: "right" },
      { title: "Trials / strings", align: "right" },
    ],
    rows: withPooled(effect).map((scope) => ({
      cells: [
        { text: scopeWords(scope) },
        estimateCell(scope.micro?.accuracyBefore),
        estimateCell(scope.micro?.accuracyAfter),
        estimateCell(scope.micro?.change, true),
        estimateCell(scope.macro?.change, true),
        pairCell(scope.micro?.change, "no accuracy"),
      ],
    })),
  };
}

async function figureOf(effect: TrainingEffect, name: string, several: boolean): Promise<Figure> {
  const { before, after } = effect.cells;
  const title = `Before and after training${several ? `: ${whatItLearnt(effect)}` : ""}`;
  const heldOut = effect.scopes.find(({ scope }) => scope === "held_out_tasks")?.tasks ?? [];
  const caption = [
    `Share of trials that are right, per task and property, about the same behavior (${arrowOf(effect, "before")} and ${arrowOf(effect, "after")}), with intervals.`,
    "Upright marks: what always giving one answer would reach.",
    ...(heldOut.length > 0 ? ["“held out”: a task that no example was trained on."] : []),
  ].join(" ");
  return { kind: "figure", name, title, caption, svg: await beforeAfterFigure(title, { before, after, heldOut }) };
}

// How far training moved the behavior itself: the same strings, asked before and after.

export function driftSection(effects: readonly TrainingEffect[], confidence: number, property: PropertyNames): Section {
  const percent = Number((100 * confidence).toFixed(6));
  const blocks = effects.flatMap((effect): Block[] => [
    ...(effects.length > 1 ? [{ kind: "subheading" as const, title: whatItLearnt(effect) }] : []),
    effect.drift.length > 0
      ? driftTable(effect, percent, property)
      : paragraph(`Not asked: what ${effect.name} does itself is no target of this study.`),
  ]);
  return {
    id: "drift",
    title: "How far the behavior moved",
    blocks: [
      aside(
        "Training on hypothetical questions also changes what a model answers to object-level questions. ",
        "So the trained model was asked those again: predictions about its old and about its new behavior are scored apart.",
      ),
      ...blocks,
    ],
  };
}

function driftTable({ drift }: TrainingEffect, percent: number, names: PropertyNames): Block {
  return {
    kind: "table",
    caption: `Share of behaviors that differ, of the strings that have one both before and after, with ${percent} % intervals`,
    groupTitle: "Task",
    columns: [
      { title: "Property", align: "left" },
      { title: "Differ", align: "right" },
      { title: "Both have one", align: "right" },
      { title: "Only before", align: "right" },
      { title: "Only after", align: "right" },
      { title: "Neither", align: "right" },
    ],
    rows: drift.map((row) => driftRow(row, names)),
  };
}

function driftRow(
  { task, property, differ, both, beforeOnly, afterOnly, neither }: BehaviorDrift,
  names: PropertyNames,
): TableRow {
  return {
    group: task === undefined ? "all tasks" : readableName(task),
    cells: [
      { text: property === undefined ? "all properties" : names(property) },
      estimateCell(differ),
      ...[both, beforeOnly, afterOnly, neither].map((count) => ({ text: formatCount(count) })),
    ],
  };
}

// Adapters that are not told in full, a row each: what they learnt, how their loss ended, and every string left out.

/** Share of the steps at either end whose mean loss is shown: single batches scatter. */
const END_SHARE = 0.1;

export function otherAdapters(others: readonly TrainedAdapter[], plan: Plan): Block[] {
  if (others.length === 0) return [];
  const changed = others.some(({ name }) => statesOf(plan).of(name).change);
  const implants = others.flatMap(({ name, uptake }) => (uptake ? [{ name, ...uptake }] : []));
  return [
    { kind: "subheading", title: "The other adapters" },
    ...(changed
      ? [
          aside(
            "A changed adapter goes on from another one and learns answers to object-level questions; hypothetical ones are taught only where the change is planted, as a positive control.",
          ),
        ]
      : []),
    ...implants.map(({ name, train, heldOut }) =>
      aside(
        `${name} answered as it was taught on ${formatCount(train.count)} of ${formatCount(train.of)} train and ${formatCount(heldOut.count)} of ${formatCount(heldOut.of)} held-out strings, in every property that is asked about. Where it did not, its behavior is not the implant's, and the strings may tell it.`,
      ),
    ),
    {
      kind: "table",
      caption:
        "Loss in nats per answer token: mean of the first and of the last tenth of the steps; validation after the last step",
      columns: [
        { title: "Adapter", align: "left" },
        { title: "Examples", align: "right" },
        { title: "Strings", align: "right" },
        { title: "Steps", align: "right" },
        { title: "Loss, first", align: "right" },
        { title: "Loss, last", align: "right" },
        { title: "Validation", align: "right" },
        { title: "Strings left out", align: "left" },
        { title: "sha256 of adapter and set", align: "left" },
      ],
      rows: others.map((adapter) => ({ cells: cellsOfEffect(adapter, plan) })),
    },
  ];
}

function cellsOfEffect({ name, card, set }: TrainedAdapter, plan: Plan): TableCell[] {
  const { losses, validation, data } = card;
  const last = validation.at(-1);
  const ends = Math.max(1, Math.round(losses.length * END_SHARE));
  return [
    { text: name, small: lessonOf(name, plan) },
    { text: formatCount(data.examples), small: `${formatCount(data.answerTokens)} answer tokens` },
    { text: formatCount(set.strings) },
    {
      text: formatCount(losses.length),
      small: `rate ${card.settings.learningRate}, ${plural(card.settings.epochs, "epoch", formatCount(card.settings.epochs))}`,
    },
    meanCell(losses.slice(0, ends)),
    meanCell(losses.slice(-ends)),
    last
      ? {
          text: formatNats(last.lossNatsPerToken),
          small: `${formatCount(last.answersRight)} of ${formatCount(last.answers)} answers`,
        }
      : { text: formatMissing("nothing was held back"), missing: true },
    { text: leftOut(set.cells) },
    { text: [{ code: card.adapter.sha256 }, " ", { code: set.sha256 }] },
  ];
}

function lessonOf(name: string, plan: Plan): string {
  const { change } = statesOf(plan).of(name);
  if (!change) return stateWords(plan, name);
  if (change.alongside !== undefined)
    return `goes on from ${change.from}; learnt the same answers as ${change.alongside}`;
  const tasks = joinWords(change.tasks.map(readableName));
  return `goes on from ${change.from}; learnt to answer ${tasks} with ${sourceWords(change.answers)}`;
}

function meanCell(losses: readonly LossPoint[]): TableCell {
  const tokens = losses.reduce((sum, { answerTokens }) => sum + answerTokens, 0);
  if (tokens === 0) return { text: formatMissing("no step was taken"), missing: true };
  const nats = losses.reduce((sum, { answerTokens, lossNatsPerToken }) => sum + answerTokens * lossNatsPerToken, 0);
  return { text: formatNats(nats / tokens) };
}

/** Over tasks and properties, most common first. */
function leftOut(cells: TrainedAdapter["set"]["cells"]): string {
  const counts = new Map<string, number>();
  for (const { excluded, duplicates } of cells) {
    for (const [reason, count] of Object.entries(excluded)) counts.set(reason, (counts.get(reason) ?? 0) + count);
    if (duplicates > 0) counts.set("duplicates", (counts.get("duplicates") ?? 0) + duplicates);
  }
  const all = [...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  return all.map(([reason, count]) => `${reasonWords(reason)}: ${formatCount(count)}`).join("; ") || "none";
}
