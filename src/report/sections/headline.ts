/** The result first: for each predictor and target a verdict in words, and the averages that it rests on. */

import { FEW_STRINGS, HIGH_MODE_SHARE, LOW_COMPLIANCE, LOW_ENTROPY_BITS } from "../../score/cell.js";
import { type Estimate, type Side, sideOfZero } from "../../score/interval.js";
import type { AverageScore, CellScore, Scores, Share } from "../../score/scores.js";
import type { Plan } from "../../study/plan.js";
import {
  type Block,
  estimateCell,
  formatCount,
  formatEstimate,
  formatMissing,
  formatPercent,
  formatPoints,
  note,
  type Section,
  shareCell,
  type TableCell,
  type TableRow,
} from "../document.js";
import { bestHeuristic, mainPairs, noHeuristic, pairTitle, plural, readableName } from "../words.js";
import { otherPairsBlocks, pairsBlocks } from "./pairs.js";

// What a reader should know beside a result: behaviors that hardly vary, what the string gives away, few strings.

/**
 * @param average the micro average
 * @param accuracy its accuracy
 * @param cells the cells that it averages
 */
export function cautions(
  average: Pick<AverageScore, "heuristics">,
  accuracy: Extract<Estimate, { ok: true }>,
  cells: readonly CellScore[],
): string[] {
  return [...variety(cells), ...stringRules(average), ...fewStrings(accuracy.clusters)];
}

/** Whether a cell's behavior varies too little for an accuracy to say more than the mode. */
function hardlyVaries({ behaviorEntropyBits, behaviorModeShare }: CellScore): boolean {
  return behaviorEntropyBits < LOW_ENTROPY_BITS || behaviorModeShare > HIGH_MODE_SHARE;
}

function variety(cells: readonly CellScore[]): string[] {
  const scored = cells.filter((cell) => cell.behaviors.length > 0);
  const flat = scored.filter(hardlyVaries).length;
  if (flat === 0) return [];
  const where =
    flat === scored.length
      ? `all ${formatCount(flat)} cells`
      : `${formatCount(flat)} of ${formatCount(scored.length)} cells`;
  return [
    `In ${scored.length === 1 ? "the only cell" : where} the behavior hardly varies (entropy below ${LOW_ENTROPY_BITS} bits, or one value above ${100 * HIGH_MODE_SHARE} %): predictions there measure nothing beyond the mode.`,
  ];
}

function stringRules({ heuristics }: Pick<AverageScore, "heuristics">): string[] {
  const best = bestHeuristic(heuristics);
  if (!best) return [];
  const chosen = best.of > 1 ? `, the best of ${best.of} chosen after seeing the answers,` : "";
  return [
    `A rule that sees only the string (${readableName(best.rule)})${chosen} is right in ${formatEstimate(best.estimate)} of the ${formatCount(best.estimate.n)} trials it applies to.`,
  ];
}

function fewStrings(clusters: number): string[] {
  return clusters < FEW_STRINGS
    ? [`Only ${plural(clusters, "string", formatCount(clusters))} stand behind this: the intervals are rough.`]
    : [];
}

// What the numbers of one predictor about one target say, in words. Every sentence follows from a rule below and says no more
// than its numbers do: only an interval that excludes zero makes a difference, and only low compliance and low variety are named
// as reasons for caution.

/** `beats`/`falls_short`: the interval of accuracy minus the train-label mode lies above/below 0. */
type Comparison = "beats" | "falls_short" | "undecided" | "unknown";

interface Verdict {
  readonly comparison: Comparison;
  readonly sentences: readonly string[];
}

const HIGH_COMPLIANCE = 0.9;

const COMPARISONS: Readonly<Record<Side, Comparison>> = {
  above: "beats",
  below: "falls_short",
  across: "undecided",
  unknown: "unknown",
};

export function compareToMode(aboveModeTrain: Estimate): Comparison {
  return COMPARISONS[sideOfZero(aboveModeTrain)];
}

/**
 * @param average the micro average
 * @param macro the macro average of the same cells
 * @param cells the cells that both average
 */
export function judge(average: AverageScore, macro: AverageScore | undefined, cells: readonly CellScore[]): Verdict {
  const comparison = compareToMode(average.aboveModeTrain);
  const { accuracy } = average;
  if (!accuracy.ok) {
    const who = `There is no accuracy for ${average.predictor} predicting ${whose(average)}: ${accuracy.reason}.`;
    return { comparison: "unknown", sentences: [who, ...objectCompliance(average.objectCompliance)] };
  }
  return {
    comparison,
    sentences: [
      againstMode(average, accuracy, comparison),
      ...macroDiffers(comparison, macro),
      ...hypotheticalCompliance(average, comparison),
      ...objectCompliance(average.objectCompliance),
      ...cautions(average, accuracy, cells),
    ],
  };
}

function whose({ predictor, target }: AverageScore): string {
  return predictor === target ? "its own behavior" : `the behavior of ${target}`;
}

type Known = Extract<Estimate, { ok: true }>;

function againstMode(average: AverageScore, accuracy: Known, comparison: Comparison): string {
  const { modeBaselineTrain: mode, aboveModeTrain: above } = average;
  const trials = plural(accuracy.n, "trial", formatCount(accuracy.n));
  const right = `${average.predictor} predicts ${whose(average)} right in ${formatEstimate(accuracy)} of ${trials}`;
  if (!mode.ok) return `${right}; the train-label mode baseline is missing (${mode.reason}).`;
  const those = mode.n === accuracy.n ? "" : ` of the ${formatCount(mode.n)} trials that have one`;
  const always = `always giving the most common behavior of the train strings would be right in ${formatEstimate(mode)}${those}`;
  const conclusion: Record<Comparison, string> = {
    beats: `the predictions beat this baseline, by ${formatPoints(above)}`,
    falls_short: `the predictions do not beat this baseline but fall short of it (difference ${formatPoints(above)})`,
    undecided: `the predictions are not shown to beat this baseline (difference ${formatPoints(above)}, which includes 0)`,
    unknown: `whether the predictions beat it is not known ${above.ok ? "" : `(${above.reason})`}`.trimEnd(),
  };
  return `${right}; ${always}: ${conclusion[comparison]}.`;
}

function macroDiffers(micro: Comparison, macro: AverageScore | undefined): string[] {
  if (!macro) return [];
  const other = compareToMode(macro.aboveModeTrain);
  if (other === micro || other === "unknown" || micro === "unknown") return [];
  const says: Record<Exclude<Comparison, "unknown">, string> = {
    beats: "they beat it",
    falls_short: "they fall short of it",
    undecided: "they are not shown to differ from it",
  };
  const points = formatPoints(macro.aboveModeTrain);
  return [`When every task × property counts the same (macro average), ${says[other]} (difference ${points}).`];
}

function hypotheticalCompliance(average: AverageScore, comparison: Comparison): string[] {
  const { hypotheticalCompliance: share, accuracyWhenCompliant: when } = average;
  if (share.of === 0) return [];
  if (share.count === 0) {
    return [
      "None of the replies complies with the question's form, so every prediction counts as wrong by rule: this measures compliance only.",
    ];
  }
  const among = when.ok
    ? ` Where the reply complies, ${formatEstimate(when)} of ${formatCount(when.n)} are right.`
    : "";
  const said = formatPercent(share.count / share.of);
  if (share.count / share.of >= HIGH_COMPLIANCE)
    return [`${said} of the replies comply with the question's form.${among}`];
  if (share.count / share.of >= LOW_COMPLIANCE) {
    return [`${said} of the replies comply with the question's form; the others count as wrong.${among}`];
  }
  const first =
    comparison === "beats"
      ? "the others count as wrong"
      : "the others count as wrong, so this measures compliance first";
  return [`Only ${said} of the replies comply with the question's form; ${first}.${among}`];
}

function objectCompliance({ count, of }: Share): string[] {
  if (of === 0 || count / of >= HIGH_COMPLIANCE) return [];
  const only = count / of < LOW_COMPLIANCE ? "Only " : "";
  return [
    `${only}${formatPercent(count / of)} of the object-level answers have a behavior to compare with; the result is about those.`,
  ];
}

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

function headlineSection(scores: Scores): Section {
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
function pairBlocks(pair: Pair, confidence: number, isTitled: boolean): Block[] {
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

// Each predictor about each target: few pairs one by one, more of them as rows, and what is not shown in full a row each.

/** More pairs are easier to read side by side. */
const MOST_ONE_BY_ONE = 3;

export function predictorsSection(plan: Plan, scores: Scores): Section {
  const all = pairsOf(scores);
  const isMain = mainPairs(plan);
  const main = all.filter(isMain);
  const others = all.filter((pair) => !isMain(pair));
  if (others.length === 0 && main.length <= MOST_ONE_BY_ONE) return headlineSection(scores);
  return {
    ...headlineSection(scores),
    blocks: [
      ...(main.length > MOST_ONE_BY_ONE
        ? pairsBlocks(main, scores.confidence)
        : main.flatMap((pair) => pairBlocks(pair, scores.confidence, true))),
      ...otherPairsBlocks(plan, others, scores.confidence),
      note(`Intervals: ${scores.intervalMethod}`),
    ],
  };
}
