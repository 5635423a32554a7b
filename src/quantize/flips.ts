/** Answers and behaviors that a file gives and its source does not: how many, which way, and how sure the source was. */

import { medianOf } from "../base/median.js";
import type { Behavior } from "../properties/property.js";
import type { Estimate } from "../score/interval.js";
import type { ResamplingSettings } from "../score/resampling.js";
import { PROPORTION } from "../score/tally.js";
import type { ClusterOf, ClusteredRow } from "../score/trial.js";
import type { Answer } from "../tasks/answer.js";
import { estimateRows } from "./paired-estimate.js";

export interface PropertyFlips {
  readonly task: string;
  readonly property: string;
  /** Share of strings on which both have the property, with another value. */
  readonly flips: Estimate;
  /** Strings on which one of both has it, and which: a flip to or from nothing. */
  readonly lost: number;
  readonly gained: number;
  /** Most frequent first, of those that flipped. */
  readonly directions: readonly { readonly from: string; readonly to: string; readonly count: number }[];
  /** Smallest lead of a token of the source's answers, nats, medians; null where there is none, or answers have no margins. */
  readonly margins: { readonly flipped: number | null; readonly kept: number | null };
  /** Flips whose source was no surer than the floor: another batch composition could flip them too. */
  readonly withinFloor: number;
}

export interface AnswerFlips {
  /** Share of greedy answers whose tokens are the source's, every one. */
  readonly sameAnswers: Estimate;
  /** Over all tasks and properties, each string and property once. */
  readonly behaviors: Estimate;
  readonly properties: readonly PropertyFlips[];
  /** Answers that were right and are wrong, and back; absent where no task has right answers. */
  readonly rightAnswers?: { readonly toWrong: number; readonly toRight: number; readonly of: number };
}

interface FlipsInput {
  readonly source: string;
  readonly variant: string;
  /** Object-level ones of both. */
  readonly answers: readonly Answer[];
  readonly behaviors: readonly Behavior[];
  readonly clusterOf: ClusterOf;
  /** Largest change of a lead that was seen when the same was asked again, nats. */
  readonly floor: number;
}

const IS_CORRECT = "is_correct";
const MOST_DIRECTIONS = 5;

export function scoreFlips(
  { source, variant, answers, behaviors, clusterOf, floor }: FlipsInput,
  settings: ResamplingSettings,
): AnswerFlips {
  const placed = <Row extends { readonly task: string; readonly item: string }>(row: Row) => ({
    ...row,
    cluster: clusterOf(row.task, row.item),
  });
  const heldOut = behaviors.filter(({ split, sample }) => split === "held_out" && sample === 0).map(placed);
  const all: ClusteredRow[] = heldOut;
  const keyOf = ({ task, item, property }: Behavior) => JSON.stringify([task, item, property]);
  const of = (state: string) => new Map(heldOut.filter((row) => row.state === state).map((row) => [keyOf(row), row]));
  const [before, after] = [of(source), of(variant)];
  const shownValue = ({ compliance, extraction }: Behavior) =>
    compliance.ok && extraction.ok ? extraction.value : undefined;

  const cells = new Map<string, { was: (typeof heldOut)[number]; now: Behavior }[]>();
  for (const [key, was] of before) {
    const now = after.get(key);
    if (!now) continue;
    const cell = JSON.stringify([was.task, was.property]);
    cells.set(cell, [...(cells.get(cell) ?? []), { was, now }]);
  }
  const properties: PropertyFlips[] = [];
  const counted: { row: ClusteredRow; amount: number }[] = [];
  let rightAnswers: { toWrong: number; toRight: number; of: number } | undefined;
  for (const [cell, pairs] of [...cells].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const [task, property] = JSON.parse(cell) as [string, string];
    const both = pairs.flatMap(({ was, now }) => {
      const [from, to] = [shownValue(was), shownValue(now)];
      return from === undefined || to === undefined ? [] : [{ row: was, from, to, margin: was.minMargin }];
    });
    const amounts = both.map(({ row, from, to }) => ({ row, amount: Number(from !== to) }));
    counted.push(...amounts);
    const flipped = both.filter(({ from, to }) => from !== to);
    const directions = new Map<string, number>();
    for (const { from, to } of flipped) {
      const key = JSON.stringify([from, to]);
      directions.set(key, (directions.get(key) ?? 0) + 1);
    }
    if (property === IS_CORRECT) {
      rightAnswers ??= { toWrong: 0, toRight: 0, of: 0 };
      rightAnswers.of += both.length;
      rightAnswers.toWrong += flipped.filter(({ from }) => from === "true").length;
      rightAnswers.toRight += flipped.filter(({ to }) => to === "true").length;
    }
    const margins = (rows: typeof both) => {
      const known = rows.flatMap(({ margin }) => (margin === undefined ? [] : [margin]));
      return known.length === 0 ? null : medianOf(known);
    };
    properties.push({
      task,
      property,
      flips: estimateRows(amounts, all, PROPORTION, settings),
      lost: pairs.filter(({ was, now }) => shownValue(was) !== undefined && shownValue(now) === undefined).length,
      gained: pairs.filter(({ was, now }) => shownValue(was) === undefined && shownValue(now) !== undefined).length,
      directions: [...directions]
        .map(([key, count]) => {
          const [from, to] = JSON.parse(key) as [string, string];
          return { from, to, count };
        })
        .sort((a, b) => b.count - a.count || (`${a.from} ${a.to}` < `${b.from} ${b.to}` ? -1 : 1))
        .slice(0, MOST_DIRECTIONS),
      margins: { flipped: margins(flipped), kept: margins(both.filter(({ from, to }) => from === to)) },
      withinFloor: flipped.filter(({ margin }) => margin !== undefined && margin <= floor).length,
    });
  }
  return {
    sameAnswers: sameAnswers(answers.map(placed), { source, variant }, settings),
    behaviors: estimateRows(counted, all, PROPORTION, settings),
    properties,
    ...(rightAnswers ? { rightAnswers } : {}),
  };
}

function sameAnswers(
  answers: readonly (Answer & ClusteredRow)[],
  { source, variant }: Pick<FlipsInput, "source" | "variant">,
  settings: ResamplingSettings,
): Estimate {
  const heldOut = answers.filter(({ split }) => split === "held_out");
  const own = new Map(heldOut.filter(({ state }) => state === variant).map((answer) => [answer.key, answer]));
  const counted = heldOut.flatMap((answer) => {
    const other = answer.state === source ? own.get(answer.key) : undefined;
    if (!answer.reply || !other?.reply || answer.reply.madeElsewhere || answer.reply.options) return [];
    return [{ row: answer, amount: Number(answer.reply.tokenIds.join() === other.reply.tokenIds.join()) }];
  });
  return estimateRows(counted, heldOut, PROPORTION, settings);
}
