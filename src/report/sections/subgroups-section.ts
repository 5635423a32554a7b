/** Scores by columns that came with the strings: which strings a predictor is right about. */

import type { Scope } from "../../score/scope.js";
import type { Scores } from "../../score/scores.js";
import type { SubgroupScore, SubgroupScores } from "../../score/subgroups.js";
import {
  aside,
  type Block,
  estimateCell,
  formatCount,
  left,
  paragraph,
  right,
  type Section,
  type Table,
} from "../document.js";
import type { StateNames } from "../state-names.js";
import { joinWords, onScope, pairTitle, type PairNames, plural, type PropertyNames, subgroupWords } from "../terms.js";
import { adjustedCell } from "./comparison-cells.js";

/** @returns nothing where the study names no columns */
export function subgroupsSection(
  { subgroups, confidence, cells }: Scores,
  isMain: (pair: PairNames) => boolean,
  names: StateNames,
  property: PropertyNames,
): Section | undefined {
  if (!subgroups) return undefined;
  const shown = subgroups.rows.filter(isMain);
  return {
    id: "subgroups",
    title: "By columns of the data",
    blocks: [
      paragraph(
        "Trials of strings with one value of a column, or with a number in one bin. Exploratory: no verdict rests on a subgroup, and of many subgroups some stand out by chance.",
      ),
      {
        kind: "list",
        items: [
          [aboveSentence(subgroups, 1 - confidence)],
          [fewSentence(subgroups)],
          ...judgedSentence(cells, property),
        ],
      },
      ...subgroups.columns.flatMap(({ column }): Block[] => {
        const scopes = [...new Set(shown.map(({ scope }) => scope))];
        return [
          { kind: "subheading", title: column },
          ...scopes.map((scope) =>
            columnTable(
              shown.filter((row) => row.column === column && row.scope === scope),
              { scope, confidence, names },
            ),
          ),
        ];
      }),
      aside(
        "Both modes are those of the subgroup itself: a predictor that knows no more than what is most common there is not above them. The oracle takes it from the scored strings themselves, ",
        "so that no answer that is always the same exceeds it; the train mode from the subgroup's train strings, of which there may be few (in brackets: labels). ",
        `p is the sign-flip test of what is above the oracle, by string, after Holm's method over all ${formatCount(subgroups.tests)} subgroups with scores, all predictors and scopes together. `,
        "Every trial counts the same (micro); behaviors that hardly vary are left out, as in all averages. Predictors that are not shown here stand in 08-scores.json.",
      ),
    ],
  };
}

function columnTable(
  rows: readonly SubgroupScore[],
  { scope, confidence, names }: { readonly scope: Scope; readonly confidence: number; readonly names: StateNames },
): Table {
  const percent = Number((100 * confidence).toFixed(6));
  return {
    kind: "table",
    caption: `${onScope(scope)}percent of trials, with ${percent} % intervals that are not adjusted (cluster bootstrap by string)`,
    groupTitle: "Predictor",
    columns: [
      left("Subgroup"),
      ...["Right", "Mode (train)", "Mode (oracle)", "Minus train mode, points", "Minus oracle mode, points"].map(right),
      right("p after Holm"),
      right("Trials / strings"),
    ],
    rows: rows.map((row) => ({
      group: pairTitle(row, names),
      cells: [
        { text: subgroupWords(row.subgroup) },
        estimateCell(row.accuracy),
        trainModeCell(row),
        estimateCell(row.modeBaselineOracle),
        estimateCell(row.aboveModeTrain, true),
        estimateCell(row.aboveModeOracle, true),
        adjustedCell(row.holmP),
        { text: `${formatCount(row.trials)} / ${formatCount(row.strings)}` },
      ],
    })),
  };
}

function trainModeCell({ modeBaselineTrain, trainLabels }: SubgroupScore) {
  const cell = estimateCell(modeBaselineTrain);
  return cell.missing ? cell : { ...cell, small: `${cell.small} (${formatCount(trainLabels)})` };
}

/** All properties stand in one row of a subgroup: whose values are a judge's is said beside them. */
function judgedSentence(cells: Scores["cells"], property: PropertyNames): [string][] {
  const judged = [...new Set(cells.flatMap((cell) => (cell.judge ? [property(cell.property)] : [])))];
  return judged.length === 0 ? [] : [[`Among the properties of every row: ${joinWords(judged)}.`]];
}

function aboveSentence({ rows, tests }: SubgroupScores, level: number): string {
  const above = rows.filter(
    ({ holmP, aboveModeOracle: over }) => holmP.ok && holmP.p < level && over.ok && over.value > 0,
  );
  const all = plural(tests, "subgroup", formatCount(tests));
  if (tests === 0) return "No subgroup has enough scored strings.";
  return `Of ${all} with scores, over all predictors, ${above.length === 0 ? "none is" : `${formatCount(above.length)} ${above.length === 1 ? "is" : "are"}`} above the subgroup's mode (oracle) at p < ${Number(level.toFixed(6))} after Holm's method.`;
}

function fewSentence({ columns, fewestStrings }: SubgroupScores): string {
  const counts = columns.map(({ column, subgroups }) => {
    const few = subgroups.filter(({ heldOut }) => heldOut < fewestStrings).length;
    const without = subgroups.find(({ name }) => name === undefined)?.heldOut ?? 0;
    const lack = without === 0 ? "" : `, ${formatCount(without)} held-out strings without a value`;
    return `${column}: ${plural(subgroups.length, "subgroup", formatCount(subgroups.length))}, ${formatCount(few)} of them with fewer than ${formatCount(fewestStrings)} held-out strings and so without scores${lack}`;
  });
  return `${counts.join("; ")}.`;
}
