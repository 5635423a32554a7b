/** The scores of one cell, and the tallies that averages are made of. */

import type { Estimate } from "./interval.js";
import { type JudgeStanding, judgeText } from "./judge-agreement.js";
import type { LetterUse } from "./letter-use.js";
import type { AverageScore, CellScore, Exclusion, Share, ValueCount } from "./scores.js";
import {
  accuracy,
  accuracyAbove,
  accuracyAboveRule,
  accuracyAboveNoiseFloor,
  accuracyWhenCompliant,
  alwaysAnswering,
  countValues,
  DIFFERENCE,
  entropyBits,
  estimateMean,
  hasBehavior,
  heuristicBaseline,
  isScored,
  type TrialMeasure,
  modeOf,
  type PointRange,
  PROPORTION,
  type Tally,
  tallyTrials,
  type TaskStrings,
  wasAnswered,
  wasRepliedTo,
} from "./tally.js";
import type { Trial } from "./trial.js";

// When a behavior says something, in numbers: the thresholds behind every warning and verdict, in one place.

/** Fewer source strings than this make intervals rough. */
export const FEW_STRINGS = 20;
/** A behavior with less entropy is as good as constant: predicting it measures nothing beyond the mode. */
export const LOW_ENTROPY_BITS = 0.5;
/** The same for the share of the most common value. */
export const HIGH_MODE_SHARE = 0.9;
/** Below this share of compliant texts, what is scored is first of all compliance. */
export const LOW_COMPLIANCE = 0.5;

interface Variation {
  readonly entropyBits: number;
  readonly modeShare: number;
}

/** @param values a histogram, most common first; none gives 0 for both */
export function variationOf(values: readonly ValueCount[]): Variation {
  const total = values.reduce((sum, { count }) => sum + count, 0);
  return {
    entropyBits: entropyBits(values.map(({ count }) => count)),
    modeShare: total === 0 ? 0 : (values[0]?.count ?? 0) / total,
  };
}

/** What a reader must know before believing a cell's numbers, with the real numbers. */
export type CellWarning =
  | { readonly kind: "judged" | "unfit_judge"; readonly judge: JudgeStanding }
  | { readonly kind: "no_object_answer" }
  | { readonly kind: "no_object_compliance"; readonly of: number }
  | { readonly kind: "low_object_compliance"; readonly count: number; readonly of: number }
  | { readonly kind: "few_scored_strings"; readonly strings: number; readonly fewest: number }
  | { readonly kind: "hardly_varies"; readonly value: string; readonly share: number; readonly entropyBits: number }
  | { readonly kind: "one_letter"; readonly letter: string; readonly share: number; readonly entropyBits: number }
  | { readonly kind: "letter_decides"; readonly count: number; readonly of: number }
  | { readonly kind: "one_order" }
  | { readonly kind: "no_hypothetical_reply" }
  | { readonly kind: "low_hypothetical_compliance"; readonly count: number; readonly of: number }
  | {
      readonly kind: "below_mode" | "like_mode";
      readonly accuracy: number;
      readonly mode: number;
      readonly low: number;
      readonly high: number;
    };

type Warned = Pick<
  CellScore,
  | "objectCompliance"
  | "hypotheticalCompliance"
  | "accuracy"
  | "behaviors"
  | "modeBaselineTrain"
  | "aboveModeTrain"
  | "letterUse"
  | "judge"
>;

/** The gravest first. */
export function warningsOfCell(cell: Warned): CellWarning[] {
  return [
    ...(cell.judge
      ? [{ kind: cell.judge.fit ? ("judged" as const) : ("unfit_judge" as const), judge: cell.judge }]
      : []),
    ...objectCompliance(cell.objectCompliance),
    ...fewStrings(cell),
    ...lowVariation(cell.behaviors),
    ...letterWarnings(cell.letterUse),
    ...hypotheticalCompliance(cell.hypotheticalCompliance),
    ...againstMode(cell),
  ];
}

/** As a short sentence. */
export function warningText(warning: CellWarning): string {
  switch (warning.kind) {
    case "judged":
      return `Behaviors are what ${judgeText(warning.judge)}: an error of the judge is one of every number here.`;
    case "unfit_judge":
      return `Nothing is scored: the judge is unfit. ${judgeText(warning.judge)}, which is not shown to exceed always naming the most common label.`;
    case "no_object_answer":
      return "Nothing is scored: the engine crashed on every object-level question, or a log made elsewhere has no answer to any.";
    case "no_object_compliance":
      return `Nothing is scored: none of ${warning.of} object-level answers complies.`;
    case "low_object_compliance":
      return `Only ${shareText(warning)} object-level answers comply; the others are excluded.`;
    case "few_scored_strings":
      return `Only ${warning.strings} string${warning.strings === 1 ? " is" : "s are"} scored (fewer than ${warning.fewest}): intervals are rough.`;
    case "hardly_varies":
      return `Measures nothing beyond the mode: ${JSON.stringify(warning.value)} is ${(100 * warning.share).toFixed(0)} % of behaviors (entropy ${warning.entropyBits.toFixed(2)} bits).`;
    case "one_letter":
      return `The letter hardly varies: ${warning.letter} is ${(100 * warning.share).toFixed(0)} % of answers (entropy ${warning.entropyBits.toFixed(2)} bits); who knows this, and which option is which, needs no more.`;
    case "letter_decides":
      return `The letter decides more than the option: both orders of a scenario led to the same option in ${shareText(warning)} only.`;
    case "one_order":
      return "Options stand in one order only: a liking for a letter cannot be told from a liking for an option (bothOrders in the task file).";
    case "no_hypothetical_reply":
      return "Nothing is scored: the engine crashed on every hypothetical question, or a log made elsewhere has no reply to any.";
    case "low_hypothetical_compliance":
      return `Only ${shareText(warning)} hypothetical replies comply; the others count as wrong.`;
    case "below_mode":
      return `Below the mode baseline: ${besideModeWords(warning)}).`;
    case "like_mode":
      return `Not distinguishable from the mode baseline: ${besideModeWords(warning)}, which includes 0).`;
  }
}

/** By the same limits as for behaviors, but on the letter: behind varied values of a property may stand one letter. */
export function letterWarnings(use: LetterUse | undefined): CellWarning[] {
  const most = use?.letters[0];
  if (!use || !most) return [];
  const { entropyBits: bits, modeShare } = variationOf(use.letters);
  return [
    ...(bits >= LOW_ENTROPY_BITS && modeShare <= HIGH_MODE_SHARE
      ? []
      : [{ kind: "one_letter" as const, letter: most.value, share: modeShare, entropyBits: bits }]),
    ...(use.rotated && !use.sameOption ? [] : orderWarnings(use.sameOption)),
  ];
}

/** Two independent throws of a coin agree in half of the scenarios. */
function orderWarnings(same: Share | undefined): CellWarning[] {
  if (!same) return [{ kind: "one_order" }];
  return same.count < same.of / 2 ? [{ kind: "letter_decides", ...same }] : [];
}

/** @returns the warning that a behavior hardly varies, or nothing when it does (or when there is none) */
export function lowVariationWarning(values: readonly ValueCount[]): string | undefined {
  return lowVariation(values).map(warningText)[0];
}

function lowVariation(values: readonly ValueCount[]): CellWarning[] {
  const most = values[0];
  const { entropyBits: bits, modeShare } = variationOf(values);
  if (!most || (bits >= LOW_ENTROPY_BITS && modeShare <= HIGH_MODE_SHARE)) return [];
  return [{ kind: "hardly_varies", value: most.value, share: modeShare, entropyBits: bits }];
}

function objectCompliance({ count, of }: Share): CellWarning[] {
  if (of === 0) return [{ kind: "no_object_answer" }];
  if (count === 0) return [{ kind: "no_object_compliance", of }];
  return count / of < LOW_COMPLIANCE ? [{ kind: "low_object_compliance", count, of }] : [];
}

function hypotheticalCompliance({ count, of }: Share): CellWarning[] {
  if (of === 0) return [{ kind: "no_hypothetical_reply" }];
  return count / of >= LOW_COMPLIANCE ? [] : [{ kind: "low_hypothetical_compliance", count, of }];
}

function fewStrings({ accuracy, behaviors }: Warned): CellWarning[] {
  if (behaviors.length === 0) return [];
  const strings = accuracy.ok ? accuracy.clusters : 1;
  return strings >= FEW_STRINGS ? [] : [{ kind: "few_scored_strings", strings, fewest: FEW_STRINGS }];
}

function againstMode({ accuracy, modeBaselineTrain, aboveModeTrain }: Warned): CellWarning[] {
  if (!accuracy.ok || !modeBaselineTrain.ok || !aboveModeTrain.ok || aboveModeTrain.low > 0) return [];
  const { low, high } = aboveModeTrain;
  return [
    {
      kind: high < 0 ? "below_mode" : "like_mode",
      accuracy: accuracy.value,
      mode: modeBaselineTrain.value,
      low,
      high,
    },
  ];
}

function besideModeWords({
  accuracy,
  mode,
  low,
  high,
}: Extract<CellWarning, { kind: "below_mode" | "like_mode" }>): string {
  return `${roundedText(accuracy)} against ${roundedText(mode)} (difference ${roundedText(low)} to ${roundedText(high)}`;
}

function shareText({ count, of }: Share): string {
  return `${count} of ${of} (${((100 * count) / of).toFixed(0)} %)`;
}

/** Two decimals, and no minus before a zero. */
function roundedText(number: number): string {
  return number.toFixed(2).replace(/^-0\.00$/, "0.00");
}

/** The estimates that every cell and average has. */
const MEASURED = [
  "accuracy",
  "accuracyWhenCompliant",
  "accuracyAboveNoiseFloor",
  "modeBaselineTrain",
  "modeBaselineOracle",
  "aboveModeTrain",
] as const;
type Measured = (typeof MEASURED)[number];

/** A tally, or why there is none. */
type Tallied = { readonly ok: true; readonly tally: Tally } | { readonly ok: false; readonly reason: string };

export interface ScoredCell {
  readonly score: CellScore;
  /** Why no average has it; absent where averages do. */
  readonly leftOut?: string;
  readonly tallies: Readonly<Record<Measured, Tallied>>;
  readonly heuristics: Readonly<Record<string, Tallied>>;
}

interface CellSettings {
  readonly confidence: number;
  readonly noiseFloorNats: number;
  /** Of the cell's target on its task; undefined where answers are no letters. */
  readonly letterUse?: LetterUse;
  readonly judge?: JudgeStanding;
}

function rangeOf(measured: Measured): PointRange {
  return measured === "aboveModeTrain" ? DIFFERENCE : PROPORTION;
}

/** @param trainLabels values of the target's train strings for this task and property, in any order */
export function scoreCell(
  cell: Cell,
  trainLabels: readonly string[],
  strings: TaskStrings,
  { confidence, noiseFloorNats, letterUse, judge }: CellSettings,
): ScoredCell {
  const scored = cell.trials.filter(isScored);
  const behaved = cell.trials.filter(hasBehavior).length;
  const behaviors = countValues(scored.map((trial) => trial.behavior.value));
  const modeTrain = modeOf(countValues(trainLabels));
  const modeOracle = modeOf(behaviors);
  const unscored = `none of ${cell.trials.length} trials has a behavior to compare with${behaved === 0 ? "" : " and a reply"}`;
  const noLabels = "no train string has a behavior to take the mode of";

  const take = (measure: TrialMeasure, ifNone: string): Tallied => {
    if (scored.length === 0) return { ok: false, reason: unscored };
    const tally = tallyTrials(scored, measure, strings);
    return tally ? { ok: true, tally } : { ok: false, reason: ifNone };
  };
  const mode = (value: string | undefined, measure: (value: string) => TrialMeasure): Tallied =>
    value === undefined
      ? { ok: false, reason: scored.length === 0 ? unscored : noLabels }
      : take(measure(value), unscored);

  const withoutMargin = scored.filter((trial) => trial.minMargin === undefined).length;
  const tallies: Record<Measured, Tallied> = {
    accuracy: take(accuracy, unscored),
    accuracyWhenCompliant: take(accuracyWhenCompliant, `none of ${scored.length} hypothetical replies complies`),
    accuracyAboveNoiseFloor:
      withoutMargin > 0
        ? {
            ok: false,
            reason: `${withoutMargin} of ${scored.length} trials have no token margins, as answers that were sampled or made elsewhere do not`,
          }
        : take(
            accuracyAboveNoiseFloor(noiseFloorNats),
            `none of ${scored.length} trials has every token margin above ${noiseFloorNats} nats`,
          ),
    modeBaselineTrain: mode(modeTrain, alwaysAnswering),
    modeBaselineOracle: mode(modeOracle, alwaysAnswering),
    aboveModeTrain: mode(modeTrain, accuracyAbove),
  };
  const rules = [...new Set(cell.trials.flatMap((trial) => Object.keys(trial.heuristics)))].sort();
  const byRule = (measure: (rule: string) => TrialMeasure) =>
    Object.fromEntries(
      rules.map((rule) => [rule, take(measure(rule), `the rule applies to none of ${scored.length} trials`)]),
    );
  const heuristics = byRule(heuristicBaseline);

  const { target, predictor, task, property, variant } = cell;
  const score: Omit<CellScore, "warnings"> = {
    target,
    predictor,
    task,
    property,
    variant,
    ...estimateAll(tallies, confidence),
    objectCompliance: { count: behaved, of: cell.trials.filter(wasAnswered).length },
    hypotheticalCompliance: {
      count: cell.trials.filter((trial) => trial.prediction.ok).length,
      of: cell.trials.filter(wasRepliedTo).length,
    },
    ...(modeTrain === undefined ? {} : { modeTrainValue: modeTrain }),
    ...(modeOracle === undefined ? {} : { modeOracleValue: modeOracle }),
    heuristics: Object.fromEntries(
      Object.entries(heuristics).map(([rule, tallied]) => [rule, estimateOne(tallied, PROPORTION, confidence)]),
    ),
    aboveHeuristics: Object.fromEntries(
      Object.entries(byRule(accuracyAboveRule)).map(([rule, tallied]) => [
        rule,
        estimateOne(tallied, DIFFERENCE, confidence),
      ]),
    ),
    behaviorEntropyBits: entropyBits(behaviors.map(({ count }) => count)),
    behaviorModeShare: (behaviors[0]?.count ?? 0) / Math.max(1, scored.length),
    behaviors,
    letterUse,
    ...(judge === undefined ? {} : { judge }),
    predictions: countValues(scored.flatMap(({ prediction }) => (prediction.ok ? [prediction.value] : []))),
  };
  return { score: { ...score, warnings: warningsOfCell(score).map(warningText) }, tallies, heuristics };
}

function estimateAll(tallies: Record<Measured, Tallied>, confidence: number): Record<Measured, Estimate> {
  return Object.fromEntries(
    MEASURED.map((measured) => [measured, estimateOne(tallies[measured], rangeOf(measured), confidence)]),
  ) as Record<Measured, Estimate>;
}

function estimateOne(tallied: Tallied, range: PointRange, confidence: number): Estimate {
  return tallied.ok ? estimateMean([[tallied.tally]], range, confidence) : tallied;
}

// Trials grouped into cells: one predictor about one target on one task, property and wording.

type CellKey = Pick<Trial, "target" | "predictor" | "task" | "property" | "variant">;

export interface Cell extends CellKey {
  readonly trials: readonly Trial[];
}

/** @returns cells in code-unit order of target, predictor, task, property, variant; so the order of trials never shows */
export function cellsOf(trials: readonly Trial[]): Cell[] {
  const cells = new Map<string, Trial[]>();
  for (const trial of trials) {
    const key = JSON.stringify(namesOf(trial));
    const cell = cells.get(key);
    if (cell) cell.push(trial);
    else cells.set(key, [trial]);
  }
  return [...cells.values()]
    .map((cell): Cell => {
      const { target, predictor, task, property, variant } = cell[0] as Trial;
      return { target, predictor, task, property, variant, trials: cell };
    })
    .sort((a, b) => compareNames(namesOf(a), namesOf(b)));
}

function namesOf({ target, predictor, task, property, variant }: CellKey): string[] {
  return [target, predictor, task, property, variant];
}

/** Code-unit order of the first names that differ. */
export function compareNames(a: readonly string[], b: readonly string[]): number {
  const at = a.findIndex((name, index) => name !== b[index]);
  return at < 0 ? 0 : (a[at] as string) < (b[at] as string) ? -1 : 1;
}

// Micro and macro averages over the cells of one predictor about one target. An estimate covers the cells that have it
// (a rule that means nothing for a task, a cell without train labels or margins are left out); its n and clusters say how much that is.

/**
 * Micro: every trial counts the same. Macro: every (task, property) counts the same, its wordings pooled. Cells that are left out count
 * in neither, only in what complies.
 * @param cells at least one, all of the same predictor and target
 */
export function averageCells(cells: readonly ScoredCell[], confidence: number): AverageScore[] {
  const { target, predictor } = (cells[0] as ScoredCell).score;
  const rules = [...new Set(cells.flatMap((cell) => Object.keys(cell.heuristics)))].sort();
  return (["micro", "macro"] as const).map((kind) => {
    const average = (pick: (cell: ScoredCell) => Tallied | undefined, range: PointRange): Estimate => {
      const picked = cells.flatMap((cell) => {
        const tallied = cell.leftOut === undefined ? pick(cell) : ({ ok: false, reason: cell.leftOut } as const);
        return tallied ? [{ unit: kind === "micro" ? "" : unitOf(cell), tallied }] : [];
      });
      return averageOf(picked, range, confidence);
    };
    const estimates = Object.fromEntries(
      MEASURED.map((measured) => [measured, average((cell) => cell.tallies[measured], rangeOf(measured))]),
    ) as Record<Measured, Estimate>;
    return {
      target,
      predictor,
      kind,
      cells: new Set(cells.filter((cell) => cell.leftOut === undefined && cell.tallies.accuracy.ok).map(unitOf)).size,
      ...estimates,
      heuristics: Object.fromEntries(rules.map((rule) => [rule, average((cell) => cell.heuristics[rule], PROPORTION)])),
      objectCompliance: addShares(cells.map((cell) => cell.score.objectCompliance)),
      hypotheticalCompliance: addShares(cells.map((cell) => cell.score.hypotheticalCompliance)),
    };
  });
}

function averageOf(
  picked: readonly { unit: string; tallied: Tallied }[],
  range: PointRange,
  confidence: number,
): Estimate {
  const units = new Map<string, Tally[]>();
  for (const { unit, tallied } of picked) {
    if (tallied.ok) units.set(unit, [...(units.get(unit) ?? []), tallied.tally]);
  }
  if (units.size > 0) return estimateMean([...units.values()], range, confidence);
  const reasons = [...new Set(picked.flatMap(({ tallied }) => (tallied.ok ? [] : [tallied.reason])))];
  const more = reasons.length > 1 ? ` (and ${reasons.length - 1} other reasons)` : "";
  return { ok: false, reason: `no cell has it: ${reasons[0]}${more}` };
}

function unitOf({ score }: ScoredCell): string {
  return JSON.stringify([score.task, score.property]);
}

function addShares(shares: readonly Share[]): Share {
  return shares.reduce((sum, { count, of }) => ({ count: sum.count + count, of: sum.of + of }), { count: 0, of: 0 });
}

// Every trial that did not simply count, with its reason.

/**
 * A trial without ground truth stands here once, as excluded, whatever its reply was; of the others, those that never had a reply
 * (the engine crashed on the question) stand as excluded, and those whose reply does not comply as counted wrong. Wordings are pooled.
 * @returns in code-unit order of target, predictor, task, property, side, reason
 */
export function listExclusions(trials: readonly Trial[]): Exclusion[] {
  const found = new Map<string, Exclusion>();
  for (const trial of trials) {
    const why = exclusionOf(trial);
    if (!why) continue;
    const { task, property, predictor, target } = trial;
    const key = JSON.stringify([target, predictor, task, property, why.side, why.reason]);
    found.set(key, { ...why, task, property, predictor, target, count: (found.get(key)?.count ?? 0) + 1 });
  }
  return [...found.values()].sort((a, b) => compareNames(orderOf(a), orderOf(b)));
}

function exclusionOf(trial: Trial): Pick<Exclusion, "side" | "reason" | "treatment"> | undefined {
  const { objectCompliance, behavior, prediction } = trial;
  if (!objectCompliance.ok) return { side: "object_level", reason: objectCompliance.reason, treatment: "excluded" };
  if (!behavior.ok) return { side: "object_level", reason: behavior.reason, treatment: "excluded" };
  if (!prediction.ok) {
    const treatment = wasRepliedTo(trial) ? "counted_as_wrong" : "excluded";
    return { side: "hypothetical", reason: prediction.reason, treatment };
  }
  return undefined;
}

function orderOf({ target, predictor, task, property, side, reason }: Exclusion): string[] {
  return [target, predictor, task, property, side, reason];
}
