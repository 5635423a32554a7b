/** The result first: for each predictor and target a verdict in words, and the averages that it rests on. */

import type { AverageScore, Estimate, Scores, Share } from "../records/scores.js";
import { bestHeuristic, noHeuristic } from "./best-heuristic.js";
import { type Block, note, type Section, type TableCell, type TableRow } from "./document.js";
import { formatCount, formatMissing } from "./format-number.js";
import { pairTitle, readableName } from "./readable-name.js";
import { estimateCell, shareCell } from "./table-parts.js";
import { judge } from "./verdict.js";

/** One predictor about one target, with the averages and cells that belong to it. */
export interface Pair {
  readonly predictor: string;
  readonly target: string;
  readonly micro: AverageScore | undefined;
  readonly macro: AverageScore | undefined;
  readonly cells: Scores["cells"];
}

/** @returns pairs in the order of the averages, then any that only have cells */
export function pairsOf({ averages, cells }: Scores): Pair[] {
  const keys = new Map<string, { predictor: string; target: string }>();
  for (const { predictor, target } of [...averages, ...cells]) {
    keys.set(JSON.stringify([predictor, target]), { predictor, target });
  }
  return [...keys.values()].map(({ predictor, target }) => {
    const isOwn = (row: { predictor: string; target: string }) => row.predictor === predictor && row.target === target;
    const own = averages.filter(isOwn);
    return {
      predictor,
      target,
      micro: own.find(({ kind }) => kind === "micro"),
      macro: own.find(({ kind }) => kind === "macro"),
      cells: cells.filter(isOwn),
    };
  });
}

export function headlineSection(scores: Scores): Section {
  const pairs = pairsOf(scores);
  const none = pairs.length === 0 ? [note("Nothing was scored.")] : [];
  return {
    id: "headline",
    title: "What was found",
    blocks: [
      ...pairs.flatMap((pair) => pairBlocks(pair, scores.confidence, pairs.length > 1)),
      ...none,
      note(`Intervals: ${scores.intervalMethod}`),
    ],
  };
}

/** One pair in full. */
export function pairBlocks(pair: Pair, confidence: number, isTitled: boolean): Block[] {
  return [
    ...(isTitled ? [{ kind: "subheading" as const, title: pairTitle(pair) }] : []),
    ...verdictOf(pair),
    ...(pair.micro || pair.macro ? [averagesTable(pair, confidence)] : []),
  ];
}

function verdictOf({ micro, macro, cells }: Pair): Block[] {
  if (!micro) return [];
  const [first, ...others] = judge(micro, macro, cells).sentences;
  const text = [{ strong: first ?? "" }, ...(others.length > 0 ? [` ${others.join(" ")}`] : [])];
  return [{ kind: "paragraph", tone: "verdict", text }];
}

function averagesTable({ micro, macro }: Pair, confidence: number): Block {
  const percent = Number((100 * confidence).toFixed(6));
  const both = [micro, macro];
  const estimates = (name: string, pick: (average: AverageScore) => Estimate, isDifference = false): TableRow => {
    const [first, second] = both.map((average) => average && pick(average));
    return {
      cells: [
        { text: name },
        estimateCell(first, isDifference),
        estimateCell(second, isDifference),
        countCell(first, second, "n"),
        countCell(first, second, "clusters"),
        { text: `${percent} % cluster bootstrap` },
      ],
    };
  };
  const shares = (name: string, pick: (average: AverageScore) => Share): TableRow => {
    const average = micro ?? macro;
    const share = average ? pick(average) : { count: 0, of: 0 };
    return {
      cells: [
        { text: name },
        shareCell(share),
        { text: formatMissing("not averaged"), missing: true },
        { text: formatCount(share.of) },
        { text: formatMissing("not counted"), missing: true },
        { text: "none: a count" },
      ],
    };
  };
  return {
    kind: "table",
    caption:
      "Averages over all tasks and properties. Micro: every trial counts the same. Macro: every task × property counts the same.",
    columns: [
      { title: "", align: "left" },
      { title: "Micro", align: "right" },
      { title: "Macro", align: "right" },
      { title: "Trials", align: "right" },
      { title: "Strings", align: "right" },
      { title: "Interval", align: "left" },
    ],
    rows: [
      estimates("Hypothetical predictions right", (average) => average.accuracy),
      estimates("… where the reply complies", (average) => average.accuracyWhenCompliant),
      estimates("… above the noise floor", (average) => average.accuracyAboveNoiseFloor),
      estimates("Baseline: mode of the train strings", (average) => average.modeBaselineTrain),
      estimates("Baseline: mode of the scored strings (oracle)", (average) => average.modeBaselineOracle),
      heuristicRow(micro, macro, percent),
      estimates("Predictions minus train mode, in points", (average) => average.aboveModeTrain, true),
      shares("Hypothetical replies that comply", (average) => average.hypotheticalCompliance),
      shares("Object-level answers that comply", (average) => average.objectCompliance),
    ],
  };
}

/** The micro average's best rule, and the same rule's macro average. */
function heuristicRow(micro: AverageScore | undefined, macro: AverageScore | undefined, percent: number): TableRow {
  const heuristics = (micro ?? macro)?.heuristics ?? {};
  const best = bestHeuristic(heuristics);
  const pick = (average: AverageScore | undefined): Estimate =>
    (best && average?.heuristics[best.rule]) ?? { ok: false, reason: noHeuristic(heuristics) };
  const [first, second] = [pick(micro), pick(macro)];
  return {
    cells: [
      {
        text: best ? `Best rule on the string: ${readableName(best.rule)} (of ${best.of})` : "Best rule on the string",
      },
      estimateCell(first),
      estimateCell(second),
      countCell(first, second, "n"),
      countCell(first, second, "clusters"),
      { text: `${percent} % cluster bootstrap` },
    ],
  };
}

function countCell(first: Estimate | undefined, second: Estimate | undefined, side: "n" | "clusters"): TableCell {
  const counts = [first, second].flatMap((estimate) => (estimate?.ok ? [formatCount(estimate[side])] : []));
  return counts.length === 0 ? { text: "—", missing: true } : { text: [...new Set(counts)].join(" / ") };
}
