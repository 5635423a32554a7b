/** The result first: for each predictor and target a verdict in words, and the averages that it rests on. */

import { INPUT_ONLY } from "../../score/input-only/input-only-predictions.js";
import type { Estimate } from "../../score/interval.js";
import type { AverageScore, Scores, Share } from "../../score/scores.js";
import { type Scope, planScopes } from "../../score/scope.js";
import { averagesIn, bestRuleOf } from "../../score/verdicts/verdict.js";
import type { Plan } from "../../study/plan.js";
import { statesOf } from "../../study/states.js";
import {
  answer,
  type Block,
  estimateCell,
  formatCount,
  formatMissing,
  INTERVALS,
  aside,
  type Section,
  shareCell,
  type TableCell,
  type TableRow,
} from "../document.js";
import { modeSentences } from "../mode-sentences.js";
import type { StateNames } from "../state-names.js";
import { noHeuristic, onScope, type PairNames, pairTitle, readableName } from "../terms.js";
import { otherPairsBlocks, pairsBlocks } from "./pairs.js";

/** One predictor about one target, with the averages and cells that belong to it. */
export interface Pair {
  readonly predictor: string;
  readonly target: string;
  /** Of every scope. */
  readonly cells: Scores["cells"];
  /** The plan's main one first, which is the result; never empty. */
  readonly scopes: readonly [ScopedPair, ...ScopedPair[]];
}

export interface ScopedPair {
  readonly scope: Scope;
  readonly micro: AverageScore | undefined;
  readonly macro: AverageScore | undefined;
  /** Those that both average. */
  readonly cells: Scores["cells"];
}

/** @returns pairs in the order of the averages, then any that only have cells */
export function pairsOf(plan: Plan, scores: Scores): Pair[] {
  const scopes = planScopes(plan);
  const keys = new Map<string, { predictor: string; target: string }>();
  for (const { predictor, target } of [...scores.averages, ...scores.cells]) {
    keys.set(JSON.stringify([predictor, target]), { predictor, target });
  }
  return [...keys.values()].map(({ predictor, target }) => {
    const isOwn = (row: { predictor: string; target: string }) => row.predictor === predictor && row.target === target;
    const cells = scores.cells.filter(isOwn);
    const inScope = (scope: Scope): ScopedPair => {
      const own = averagesIn(scores, scope).filter(isOwn);
      return {
        scope,
        micro: own.find(({ kind }) => kind === "micro"),
        macro: own.find(({ kind }) => kind === "macro"),
        cells: cells.filter((cell) => scopes.of(cell) === scope),
      };
    };
    const [main, ...others] = scopes.all;
    return { predictor, target, cells, scopes: [inScope(main), ...others.map(inScope)] };
  });
}

function headlineSection(plan: Plan, scores: Scores, names: StateNames): Section {
  const pairs = pairsOf(plan, scores);
  const none = pairs.length === 0 ? [aside("Nothing was scored.")] : [];
  return {
    id: "headline",
    title: "What was found",
    blocks: [
      ...exploratory(plan),
      ...pairs.flatMap((pair) => pairBlocks(pair, scores.confidence, pairs.length > 1, names)),
      ...none,
      aside(INTERVALS, "."),
    ],
  };
}

/** Where a study names what it is judged by, no average beside it is its result. */
function exploratory({ primary }: Pick<Plan, "primary">): Block[] {
  if (!primary) return [];
  return [
    aside(
      "Exploratory: the study is judged by its primary contrast, under ",
      { link: "experiments", text: "At a glance" },
      ", and not by these averages.",
    ),
  ];
}

/** One pair in full. */
function pairBlocks(pair: Pair, confidence: number, isTitled: boolean, names: StateNames): Block[] {
  return [
    ...(isTitled ? [{ kind: "subheading" as const, title: pairTitle(pair, names) }] : []),
    ...pair.scopes.flatMap((one) => [
      ...verdictOf(one),
      ...(one.micro || one.macro ? [averagesTable(one, confidence)] : []),
    ]),
  ];
}

function verdictOf({ scope, micro, macro, cells }: ScopedPair): Block[] {
  if (!micro) return [];
  const [first, ...others] = modeSentences(micro, macro, cells);
  return [answer(`${onScope(scope)}${first ?? ""}`, others)];
}

function averagesTable({ scope, micro, macro }: ScopedPair, confidence: number): Block {
  const percent = Number((100 * confidence).toFixed(6));
  const both = [micro, macro];
  const estimates = (name: string, pick: (average: AverageScore) => Estimate, isDifference = false): TableRow => {
    const [first, second] = both.map((average) => average && pick(average));
    return {
      cells: [
        { text: name },
        estimateCell(first, isDifference),
        estimateCell(second, isDifference),
        countsCell(first, second, "n"),
        countsCell(first, second, "clusters"),
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
    caption: `${onScope(scope)}${scope === "all" ? "Averages over all tasks and properties" : "averages over its tasks and properties"}. Micro: every trial counts the same. Macro: every task × property counts the same.`,
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
      ...((micro ?? macro)?.heuristics[INPUT_ONLY]
        ? [
            estimates(
              "Input-only classifier",
              ({ heuristics }) => heuristics[INPUT_ONLY] ?? { ok: false, reason: "it was not scored" },
            ),
          ]
        : []),
      estimates("Predictions minus train mode, in points", (average) => average.aboveModeTrain, true),
      shares("Hypothetical replies that comply", (average) => average.hypotheticalCompliance),
      shares("Object-level answers that comply", (average) => average.objectCompliance),
    ],
  };
}

/** The micro average's best rule, and the same rule's macro average. */
function heuristicRow(micro: AverageScore | undefined, macro: AverageScore | undefined, percent: number): TableRow {
  const heuristics = (micro ?? macro)?.heuristics ?? {};
  const best = bestRuleOf(heuristics);
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
      countsCell(first, second, "n"),
      countsCell(first, second, "clusters"),
      { text: `${percent} % cluster bootstrap` },
    ],
  };
}

function countsCell(first: Estimate | undefined, second: Estimate | undefined, side: "n" | "clusters"): TableCell {
  const counts = [first, second].flatMap((estimate) => (estimate?.ok ? [formatCount(estimate[side])] : []));
  return counts.length === 0 ? { text: "—", missing: true } : { text: [...new Set(counts)].join(" / ") };
}

// Each predictor about each target: few pairs one by one, more of them as rows, and what is not shown in full a row each.

/** More pairs are easier to read side by side. */
const MOST_ONE_BY_ONE = 3;

export function predictorsSection(plan: Plan, scores: Scores, names: StateNames): Section {
  const all = pairsOf(plan, scores);
  const isMain = (pair: PairNames) => statesOf(plan).isMain(pair);
  const main = all.filter(isMain);
  const others = all.filter((pair) => !isMain(pair));
  if (others.length === 0 && main.length <= MOST_ONE_BY_ONE) return headlineSection(plan, scores, names);
  return {
    ...headlineSection(plan, scores, names),
    blocks: [
      ...exploratory(plan),
      ...(main.length > MOST_ONE_BY_ONE
        ? pairsBlocks(main, scores.confidence)
        : main.flatMap((pair) => pairBlocks(pair, scores.confidence, true, names))),
      ...otherPairsBlocks(plan, others, scores.confidence),
      aside(INTERVALS, "."),
    ],
  };
}
