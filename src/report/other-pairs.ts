/** Pairs that are not shown in full, a row each: seeds, series, controls, other wordings, changed models. */
import type { Plan } from "../records/plan.js";
import type { Block } from "./document.js";
import { formatCount, formatMissing } from "./format-number.js";
import { type Pair } from "./headline-section.js";
import { estimateCell, shareCell } from "./table-parts.js";
import { stateWords } from "./main-pairs.js";

export function otherPairsBlocks(plan: Plan, pairs: readonly Pair[], confidence: number): Block[] {
  if (pairs.length === 0) return [];
  const percent = Number((100 * confidence).toFixed(6));
  return [
    { kind: "subheading", title: "Other seeds, series, controls, wordings and changed models" },
    {
      kind: "table",
      caption: `Percent of trials (micro averages), with ${percent} % intervals (cluster bootstrap by string)`,
      groupTitle: "Target",
      columns: [
        { title: "Predictor", align: "left" },
        ...["Right", "Mode (train)", "Minus train mode, points", "Replies comply", "Trials / strings"].map((title) => ({
          title,
          align: "right" as const,
        })),
      ],
      rows: byTarget(pairs).map(({ predictor, target, micro }) => ({
        group: `about ${target}`,
        cells: [
          { text: predictor, small: stateWords(plan, predictor) || "as it came" },
          estimateCell(micro?.accuracy),
          estimateCell(micro?.modeBaselineTrain),
          estimateCell(micro?.aboveModeTrain, true),
          micro ? shareCell(micro.hypotheticalCompliance) : { text: formatMissing("not averaged"), missing: true },
          micro?.accuracy.ok
            ? { text: `${formatCount(micro.accuracy.n)} / ${formatCount(micro.accuracy.clusters)}` }
            : { text: formatMissing("no accuracy"), missing: true },
        ],
      })),
    },
  ];
}

/** Targets in the order in which they come first. */
function byTarget(pairs: readonly Pair[]): Pair[] {
  const targets = [...new Set(pairs.map(({ target }) => target))];
  return targets.flatMap((target) => pairs.filter((pair) => pair.target === target));
}
