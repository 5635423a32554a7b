/** The result of a study that trains, first: accuracy before and after beside every baseline, and what that does and does not show. */
import type { AverageScore, Scores } from "../../records/scores.js";
import type { TrainedAdapter } from "../../records/trained-adapter.js";
import { heuristicCell } from "../cell-table.js";
import { type Block, type Figure, note, type Section, type TableRow } from "../document.js";
import { beforeAfterFigure } from "../figures/before-after-figure.js";
import { estimateCell, pairCell, shareCell } from "../table-parts.js";
import { arrowOf, scopeWords, whatItLearnt } from "./training-words.js";
import { ROLES, type Role, type ScopedEffect, type TrainingEffect } from "./effects-of.js";
import { judgeTraining } from "./training-verdict.js";

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
      { kind: "paragraph", tone: "verdict", text: [{ strong: finding }, ` ${privilegedAccess}`] },
      averagesTable(effect, percent),
      legend(effect),
      { kind: "list", items: details.map((text) => [text]) },
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
      (row) => row.after === name && row.target === set.target && row.scope === "all" && row.kind === "micro",
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
          { text: row.after, small: `about ${row.target}` },
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
  return note(
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
      { title: "Best rule on the string", align: "right" },
      { title: "Right when compliant", align: "right" },
      { title: "Replies comply", align: "right" },
      { title: "Answers comply", align: "right" },
      { title: "Trials / strings", align: "right" },
    ],
    rows: effect.scopes.flatMap((scope) =>
      ROLES.flatMap((role): TableRow[] => {
        const average = scope.averages[role];
        return average ? [averageRow(effect, scope, role, average)] : [];
      }),
    ),
  };
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
      heuristicCell(average),
      estimateCell(average.accuracyWhenCompliant),
      shareCell(average.hypotheticalCompliance),
      shareCell(average.objectCompliance),
      pairCell(average.accuracy, "no accuracy"),
    ],
  };
}

function changesTable({ scopes }: TrainingEffect, percent: number): Block {
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
    rows: scopes.map((scope) => ({
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
