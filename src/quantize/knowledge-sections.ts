/** What a benchmark's report says of behavior as a whole and of self-knowledge: distances, calibration, the old self, adapters. */

import {
  aside,
  decimalCell,
  estimateCell,
  formatCount,
  formatNats,
  formatPercent,
  left,
  right,
  type Section,
  type TableRow,
} from "../report/document.js";
import { KL_MIXING } from "../score/calibration/measures.js";
import { type Estimate, sideOfZero } from "../score/interval.js";
import type { BehaviorDistances, DistanceScores } from "./behavior-distances.js";
import type { CrossedAdapters, CrossedCell } from "./crossed-adapters.js";
import type { OldSelfFinding } from "./old-self.js";
import { againCell, tailCell, cell, natsCell, none, ok } from "./quantize-cells.js";
import type { MeasuredFigure, QuantizeRow } from "./quantize-results.js";
import { SOURCE } from "./variants.js";

const FINDINGS: Readonly<Record<OldSelfFinding, string>> = {
  present_self: "what it does itself",
  old_self: "what its source does",
  cannot_be_told: "cannot be told",
};

export function knowledgeSection(rows: readonly QuantizeRow[]): Section {
  const others = rows.filter(({ variant }) => variant.name !== SOURCE);
  return {
    id: "self",
    title: "What it knows of itself",
    blocks: [
      {
        kind: "table",
        caption:
          "Replies with a value: to questions about itself. Share right of what is said beforehand, replies without a value being wrong. Mode: of whoever always says what the file that is asked about does most often on train strings (on held-out ones where none was asked); above it: less that, on the same questions. Change: less the source's about itself, on the same strings. Over its source: less what the source says of this file, on the same strings. Floor: questions that the file answers otherwise when they are asked again.",
        columns: [
          left("file"),
          right("replies with a value"),
          right("of itself"),
          right("mode"),
          right("above it"),
          right("change"),
          right("of its source"),
          right("mode"),
          right("its source of it"),
          right("mode"),
          right("over its source"),
          right("floor"),
        ],
        rows: rows.map((row) => ({
          cells: [
            ok(row.variant.name),
            cell(row.self, ({ readable }) => estimateCell(readable)),
            cell(row.self, ({ self }) => estimateCell(self)),
            cell(row.self, ({ selfMode }) => estimateCell(selfMode.mode)),
            cell(row.self, ({ selfMode }) => estimateCell(selfMode.above, true)),
            cell(row.self, ({ change }) => estimateCell(change, true)),
            cell(row.self, ({ aboutSource }) => estimateCell(aboutSource)),
            cell(row.self, ({ aboutSourceMode }) => estimateCell(aboutSourceMode.mode)),
            cell(row.self, ({ bySource }) => estimateCell(bySource)),
            cell(row.self, ({ bySourceMode }) => estimateCell(bySourceMode.mode)),
            cell(row.self, ({ overSource }) => estimateCell(overSource, true)),
            cell(row.again, againCell),
          ],
        })),
      },
      {
        kind: "table",
        caption:
          "The old self: on strings where a file and its source behave differently, whose behavior does the file name? A finding needs a lead that is also above, or below, that of everybody who does not know the file.",
        columns: [
          left("file"),
          left("it names"),
          right("its own"),
          right("its source's"),
          right("lead"),
          right("trials"),
        ],
        rows: others.map((row) => ({
          cells: [
            ok(row.variant.name),
            cell(row.self, ({ oldSelf }) => ({
              text: FINDINGS[oldSelf.finding],
              ...(oldSelf.because ? { small: oldSelf.because } : {}),
            })),
            cell(row.self, ({ oldSelf }) => estimateCell(oldSelf.own)),
            cell(row.self, ({ oldSelf }) => estimateCell(oldSelf.source)),
            cell(row.self, ({ oldSelf }) => estimateCell(oldSelf.lead, true)),
            cell(row.self, ({ oldSelf }) => ok(formatCount(oldSelf.trials), `${formatCount(oldSelf.strings)} strings`)),
          ],
        })),
      },
      aside(
        "Scores, baselines and comparisons of all of them are in the report of the study of the answers: 02-answers/09-report.html.",
      ),
    ],
  };
}

/** Brier and the like, as numbers and not as shares. */
const DIGITS = 3;

export function distributionsSection(rows: readonly QuantizeRow[]): Section {
  const others = rows.filter(({ variant }) => variant.name !== SOURCE);
  const scores = (one: DistanceScores) => [
    decimalCell(one.totalVariation, DIGITS),
    tailCell(one.totalVariationBounds, (value) => value.toFixed(DIGITS)),
    ok(formatNats(one.drawnFloor)),
    natsCell(one.klNats),
    tailCell(one.klNatsBounds, formatNats),
    ok(formatCount(one.sampled), `of ${formatCount(countOf(one.totalVariation))}`),
  ];
  const columns = [
    right("total variation"),
    right("at least, at most"),
    right("of drawing alone"),
    right("KL, nats"),
    right("at least, at most"),
    right("drawn"),
  ];
  return {
    id: "distributions",
    title: "What it may do, and what it says that it may do",
    blocks: [
      {
        kind: "table",
        caption: `How far the whole distribution of each property is from the source's at temperature 1: mean over strings and properties, no value being a value. At least, at most: whatever the parts hold that were not expanded. KL: both mixed with ${formatPercent(KL_MIXING)} of a uniform distribution over the values seen. Drawn: by samples and not exact; what drawing alone would give stands beside it.`,
        columns: [left("file"), ...columns],
        rows: others.map((row) => ({
          cells: [
            ok(row.variant.name),
            ...(row.distances.ok ? scores(row.distances.value) : missingCells(row.distances, columns.length)),
          ],
        })),
      },
      {
        kind: "table",
        isCards: true,
        groupTitle: "file",
        caption: "The same by task and property.",
        columns: [left("task, property"), ...columns],
        rows: others.flatMap((row): TableRow[] =>
          row.distances.ok
            ? row.distances.value.properties.map((one) => ({
                group: row.variant.name,
                cells: [ok(`${one.task}, ${one.property}`), ...scores(one)],
              }))
            : [],
        ),
      },
      {
        kind: "table",
        caption:
          "How well each file foresees its own distributions. Brier: 0 to 2, 1 for who names nothing. Skill: 1 − Brier ÷ that of always saying what it does on average. MAD: percentage points between what is held likely and what is. Change: less the source's about its own, on the same questions; above 0 the file knows itself worse.",
        columns: [
          left("file"),
          right("Brier"),
          right("change"),
          right("skill"),
          right("MAD"),
          right("change"),
          right("questions"),
        ],
        rows: rows.map((row) => {
          const isSource = row.variant.name === SOURCE;
          return {
            cells: [
              ok(row.variant.name),
              cell(row.calibration, ({ row: own }) => decimalCell(own.brier, DIGITS)),
              isSource
                ? none("the source itself")
                : cell(row.calibration, ({ change }) => decimalCell(change.brier, DIGITS, true)),
              cell(row.calibration, ({ row: own }) => decimalCell(own.skill, DIGITS)),
              cell(row.calibration, ({ row: own }) => decimalCell(own.madPoints, 1)),
              isSource
                ? none("the source itself")
                : cell(row.calibration, ({ change }) => decimalCell(change.madPoints, 1, true)),
              cell(row.calibration, ({ row: own }) => ok(formatCount(own.comparisons))),
            ],
          };
        }),
      },
    ],
  };
}

function missingCells(measured: MeasuredFigure<BehaviorDistances>, columns: number) {
  return Array.from({ length: columns }, () => none(measured.ok ? "" : measured.reason));
}

function countOf(estimate: Estimate): number {
  return estimate.ok ? estimate.n : 0;
}

/** A rise over the untrained file is mostly the form of an answer and its most common value. */
function modeAside(cells: readonly CrossedCell[]) {
  const notAbove = cells.filter(({ rightMode: { above } }) => sideOfZero(above) !== "above");
  if (notAbove.length === 0) return [];
  const which = notAbove.map(({ trainedOn, askedOn }) => `${trainedOn} on ${askedOn}`).join(", ");
  return [
    aside(
      `Not above the mode, or too few strings to tell: ${which}. Of these nothing says that more was learnt than what the file does most often, however far they are over the untrained file.`,
    ),
  ];
}

export function adaptersSection({ cells, trained }: CrossedAdapters): Section {
  return {
    id: "adapters",
    title: "Trained at one precision, asked at another",
    blocks: [
      {
        kind: "table",
        caption:
          "An adapter that one file learnt to predict itself with, worn by another. Right: about what the file beneath does without it. Mode: of whoever always says what that file does most often; an adapter that is not above it may have learnt no more than that. Over the untrained: less the file without an adapter. Over its own: less the adapter that was trained on the file that wears it; all on the same questions. Of itself: about what it does under the adapter.",
        columns: [
          left("trained on"),
          left("asked on"),
          right("right"),
          right("mode"),
          right("above it"),
          right("over the untrained"),
          right("over its own"),
          right("of itself"),
          right("mode"),
        ],
        rows: cells.map((one) => ({
          cells: [
            ok(one.trainedOn),
            ok(one.askedOn),
            estimateCell(one.right),
            estimateCell(one.rightMode.mode),
            estimateCell(one.rightMode.above, true),
            estimateCell(one.overUntrained, true),
            estimateCell(one.overOwn, true),
            estimateCell(one.ofItself),
            estimateCell(one.ofItselfMode.mode),
          ],
        })),
      },
      ...modeAside(cells),
      aside(
        `${trained.map(({ file, steps }) => `${file}: ${formatCount(steps)} steps`).join(", ")}. The training is a run of its own, 02-adapters-trained/09-report.html; so is the asking, 02-adapters-asked/09-report.html.`,
      ),
    ],
  };
}
