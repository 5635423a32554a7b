/** Whether a file predicts what it does itself or what its source does, where the two differ; and what each knows of itself and the other. */

import { groupBy } from "../base/group-by.js";
import type { Extraction } from "../properties/property.js";
import { FEWEST_MOVED } from "../score/comparison/moved.js";
import { type Estimate, sideOfZero } from "../score/interval.js";
import type { ResamplingSettings } from "../score/resampling.js";
import {
  countValues,
  DIFFERENCE,
  hasBehavior,
  isRight,
  isScored,
  modeOf,
  type PointRange,
  PROPORTION,
} from "../score/tally.js";
import { questionKey, stringKey, type TrainLabel, type Trial } from "../score/trial.js";
import { type AmountOf, estimateRows } from "./paired-estimate.js";

export type OldSelfFinding = "present_self" | "old_self" | "cannot_be_told";

export interface OldSelf {
  readonly finding: OldSelfFinding;
  /** Why nothing can be told, where nothing can. */
  readonly because?: string;
  /** Trials on which the file and its source behave differently, and strings that they are of. */
  readonly trials: number;
  readonly strings: number;
  /** Share of them on which it names its own behavior, and its source's; the rest are neither. */
  readonly own: Estimate;
  readonly source: Estimate;
  /** The first less the second. */
  readonly lead: Estimate;
  /** The lead less that of somebody who does not know the file: its source, whoever always says the most common thing, a rule on the string. */
  readonly beside: readonly { readonly who: string; readonly lead: number; readonly difference: Estimate }[];
}

export interface SelfKnowledge {
  /** Share of its replies about itself that name a value at all: without one nothing can be right. */
  readonly readable: Estimate;
  /** Share right of what it says of itself. */
  readonly self: Estimate;
  /** Beside whoever always says the most common behavior of it. */
  readonly selfMode: BesideMode;
  /** Less the source's about itself, on the same strings, properties and wordings. */
  readonly change: Estimate;
  /** What it says of its source, and its source of it. */
  readonly aboutSource: Estimate;
  readonly aboutSourceMode: BesideMode;
  readonly bySource: Estimate;
  readonly bySourceMode: BesideMode;
  /** What it says of itself less what its source says of it, paired. */
  readonly overSource: Estimate;
  readonly oldSelf: OldSelf;
}

/** Whoever always says the target's most common behavior, on the questions that are counted. */
export interface BesideMode {
  /** Share right of always saying it. */
  readonly mode: Estimate;
  /** Share right of what was said, less that. */
  readonly above: Estimate;
}

type Saying = (trial: Trial) => Extraction | undefined;

interface OldSelfInput {
  readonly source: string;
  readonly variant: string;
  readonly trials: readonly Trial[];
  /** Train behaviors of both: what the most common thing to say is. */
  readonly labels: readonly TrainLabel[];
}

const SOURCE_SAYS = "its source";

export function scoreSelfKnowledge(input: OldSelfInput, settings: ResamplingSettings): SelfKnowledge {
  const { source, variant, trials } = input;
  const of = (predictor: string, target: string) =>
    trials.filter((trial) => trial.predictor === predictor && trial.target === target);
  const mean = (own: readonly Trial[]) => meanRight(own, trials, settings);
  const paired = (one: readonly Trial[], other: readonly Trial[]) => pairedRight(one, other, trials, settings);
  const beside = (own: readonly Trial[]) => besideMode(own, input.labels, trials, settings);
  const replies = of(variant, variant)
    .filter(isScored)
    .map((row) => ({ row, amount: Number(row.prediction.ok) }));
  return {
    readable: estimateRows(replies, trials, PROPORTION, settings),
    self: mean(of(variant, variant)),
    selfMode: beside(of(variant, variant)),
    change: paired(of(variant, variant), of(source, source)),
    aboutSource: mean(of(variant, source)),
    aboutSourceMode: beside(of(variant, source)),
    bySource: mean(of(source, variant)),
    bySourceMode: beside(of(source, variant)),
    overSource: paired(of(variant, variant), of(source, variant)),
    oldSelf: scoreOldSelf(input, settings),
  };
}

const hit = (trial: Trial) => (isScored(trial) ? Number(isRight(trial, trial.prediction)) : undefined);

/** Share right. @param all whose strings are drawn */
export function meanRight(own: readonly Trial[], all: readonly Trial[], settings: ResamplingSettings): Estimate {
  const counted = own.flatMap((row) => {
    const amount = hit(row);
    return amount === undefined ? [] : [{ row, amount }];
  });
  return estimateRows(counted, all, PROPORTION, settings);
}

/** Share right of one less that of the other, on the questions that both were asked, whoever they were about. */
export function pairedRight(
  one: readonly Trial[],
  other: readonly Trial[],
  all: readonly Trial[],
  settings: ResamplingSettings,
): Estimate {
  const byKey = new Map(other.map((trial) => [questionKey(trial), trial]));
  const counted = one.flatMap((row) => {
    const beside = byKey.get(questionKey(row));
    const [amount, less] = [hit(row), beside && hit(beside)];
    return amount === undefined || less === undefined ? [] : [{ row, amount: amount - less }];
  });
  return estimateRows(counted, all, DIFFERENCE, settings);
}

/** @param own of any targets; the most common behavior is each one's own */
export function besideMode(
  own: readonly Trial[],
  labels: readonly TrainLabel[],
  all: readonly Trial[],
  settings: ResamplingSettings,
): BesideMode {
  const usual = new Map([...new Set(own.map(({ target }) => target))].map((one) => [one, usualOf(one, labels, all)]));
  const counted = own.filter(isScored).flatMap((row) => {
    const said = usual.get(row.target)?.(row);
    if (said === undefined) return [];
    return [{ row, amount: Number(isRight(row, row.prediction)), mode: Number(isRight(row, said)) }];
  });
  const over = (amountOf: (one: (typeof counted)[number]) => number, range: PointRange) =>
    estimateRows(
      counted.map((one) => ({ row: one.row, amount: amountOf(one) })),
      all,
      range,
      settings,
    );
  return { mode: over(({ mode }) => mode, PROPORTION), above: over(({ amount, mode }) => amount - mode, DIFFERENCE) };
}

interface Differing {
  readonly own: Trial;
  readonly about: Trial;
  readonly now: string;
  readonly was: string;
}

/**
 * Present self: the lead is above 0, above the source's and above everybody's who knows nothing. Old self: it is below 0 and below that of
 * everybody who knows nothing: the behavior that a file has lost is often the more common one, and then who always says that leads so too.
 */
export function scoreOldSelf({ source, variant, trials, labels }: OldSelfInput, settings: ResamplingSettings): OldSelf {
  const pick = (predictor: string, target: string) =>
    new Map(
      trials
        .filter((trial) => trial.predictor === predictor && trial.target === target)
        .map((trial) => [questionKey(trial), trial]),
    );
  const [own, about, bySource] = [pick(variant, variant), pick(variant, source), pick(source, variant)];
  const differing = [...own].flatMap(([key, trial]): Differing[] => {
    const other = about.get(key);
    if (!other || !isScored(trial) || !hasBehavior(other) || trial.behavior.value === other.behavior.value) return [];
    return [{ own: trial, about: other, now: trial.behavior.value, was: other.behavior.value }];
  });
  const leadOf = ({ now, was }: Differing, guess: Extraction | undefined): number =>
    guess?.ok ? Number(guess.value === now) - Number(guess.value === was) : 0;
  const over = (amount: (one: Differing) => number | undefined, range = DIFFERENCE) =>
    estimateRows(
      differing.flatMap((one): AmountOf<Trial>[] => {
        const found = amount(one);
        return found === undefined ? [] : [{ row: one.own, amount: found }];
      }),
      trials,
      range,
      settings,
    );
  const said = ({ own: trial }: Differing) => trial.prediction;
  const named = (which: "now" | "was") =>
    over((one) => Number(one.own.prediction.ok && one.own.prediction.value === one[which]), PROPORTION);
  const lead = over((one) => leadOf(one, said(one)));
  const strings = new Set(differing.map((one) => stringKey(one.own))).size;

  const rivals: { readonly who: string; readonly guess: (one: Differing) => Extraction | undefined }[] = [
    { who: SOURCE_SAYS, guess: ({ own: trial }) => bySource.get(questionKey(trial))?.prediction },
    ...[variant, source].map((state) => {
      const usual = usualOf(state, labels, trials);
      return { who: `the most common behavior of ${state}`, guess: ({ own: trial }: Differing) => usual(trial) };
    }),
    ...(["own", "about"] as const).flatMap((side) =>
      [...new Set(differing.flatMap((one) => Object.keys(one[side].heuristics)))].sort().map((rule) => ({
        who: `the rule ${rule}${side === "own" ? "" : ` of ${source}`}`,
        guess: (one: Differing) => one[side].heuristics[rule],
      })),
    ),
  ];
  const beside = rivals.map(({ who, guess }) => {
    const rows = differing.filter((one) => guess(one) !== undefined);
    const theirs = rows.map((one) => leadOf(one, guess(one)));
    return {
      who,
      lead: theirs.length === 0 ? 0 : theirs.reduce((sum, one) => sum + one, 0) / theirs.length,
      difference: over((one) =>
        guess(one) === undefined ? undefined : leadOf(one, said(one)) - leadOf(one, guess(one)),
      ),
    };
  });
  const numbers = { trials: differing.length, strings, own: named("now"), source: named("was"), lead, beside };
  if (strings < FEWEST_MOVED) {
    const because = `the two differ on ${strings} strings, and fewer than ${FEWEST_MOVED} are too few`;
    return { finding: "cannot_be_told", because, ...numbers };
  }
  const sides = (who: (name: string) => boolean) =>
    beside.filter((one) => who(one.who) && one.difference.ok).map((one) => sideOfZero(one.difference));
  const side = sideOfZero(lead);
  const everybody = sides(() => true);
  const ignorant = sides((name) => name !== SOURCE_SAYS);
  if (side === "above" && everybody.every((one) => one === "above")) return { finding: "present_self", ...numbers };
  if (side === "below" && ignorant.every((one) => one === "below")) return { finding: "old_self", ...numbers };
  const because =
    side === "across" || side === "unknown"
      ? "it names the one no more often than the other"
      : `${beside.find((one) => sideOfZero(one.difference) !== side && (side === "above" || one.who !== SOURCE_SAYS))?.who} leads as far`;
  return { finding: "cannot_be_told", because, ...numbers };
}

/** Of train strings; of all held-out ones where none was asked. */
function usualOf(state: string, labels: readonly TrainLabel[], trials: readonly Trial[]): Saying {
  const learnt = labels.filter(({ target }) => target === state);
  const own = trials.filter((trial) => trial.target === state).filter(hasBehavior);
  const asked = [
    ...new Map(own.map((trial) => [JSON.stringify([trial.task, trial.item, trial.property]), trial])).values(),
  ];
  const shown = asked.map(({ task, property, behavior }) => ({ task, property, value: behavior.value }));
  const keyOf = ({ task, property }: { readonly task: string; readonly property: string }) =>
    JSON.stringify([task, property]);
  const groups = groupBy(learnt.length > 0 ? learnt : shown, keyOf);
  const modes = new Map([...groups].map(([key, rows]) => [key, modeOf(countValues(rows.map(({ value }) => value)))]));
  return ({ task, property }) => {
    const mode = modes.get(keyOf({ task, property }));
    return mode === undefined ? undefined : { ok: true, value: mode };
  };
}
