/** Many pairs side by side, a row each: the same averages as the table of one pair. */
import { heuristicCell } from "./cell-table.js";
import type { Block } from "./document.js";
import { formatCount, formatMissing } from "./format-number.js";
import { type Pair } from "./headline-section.js";
import { estimateCell, shareCell } from "./table-parts.js";
import { judge } from "./verdict.js";

export function pairsBlocks(pairs: readonly Pair[], confidence: number): Block[] {
  const percent = Number((100 * confidence).toFixed(6));
  const sentences = pairs.flatMap(({ micro, macro, cells }) =>
    micro ? (judge(micro, macro, cells).sentences[0] ?? []) : [],
  );
  return [
    { kind: "list", items: sentences.map((text) => [text]) },
    {
      kind: "table",
      caption: `Percent of trials over all tasks and properties, with ${percent} % intervals (cluster bootstrap by string). Micro, unless told: every trial counts the same. Macro: every task × property counts the same.`,
      groupTitle: "Target",
      columns: [
        { title: "Predictor", align: "left" },
        ...[
          "Right",
          "Mode (train)",
          "Minus train mode, points",
          "Mode (oracle)",
          "Best rule on the string",
          "Right when compliant",
          "Right above noise floor",
          "Right (macro)",
          "Minus train mode (macro)",
          "Replies comply",
          "Answers comply",
          "Trials / strings",
        ].map((title) => ({ title, align: "right" as const })),
      ],
      rows: pairs.map(({ predictor, target, micro, macro }) => ({
        group: `about ${target}`,
        cells: micro
          ? [
              { text: predictor },
              estimateCell(micro.accuracy),
              estimateCell(micro.modeBaselineTrain),
              estimateCell(micro.aboveModeTrain, true),
              estimateCell(micro.modeBaselineOracle),
              heuristicCell(micro),
              estimateCell(micro.accuracyWhenCompliant),
              estimateCell(micro.accuracyAboveNoiseFloor),
              estimateCell(macro?.accuracy),
              estimateCell(macro?.aboveModeTrain, true),
              shareCell(micro.hypotheticalCompliance),
              shareCell(micro.objectCompliance),
              micro.accuracy.ok
                ? { text: `${formatCount(micro.accuracy.n)} / ${formatCount(micro.accuracy.clusters)}` }
                : { text: formatMissing("no accuracy"), missing: true },
            ]
          : [
              { text: predictor },
              { text: formatMissing("not averaged"), missing: true },
              ...Array.from({ length: 11 }, () => ({ text: "—", missing: true })),
            ],
      })),
    },
  ];
}
