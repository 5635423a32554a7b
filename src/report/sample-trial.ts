/** Which trials a reader gets to see: few, spread over cells and outcomes, chosen by a rule and not by hand. */
import { createHash } from "node:crypto";
import type { Trial } from "../records/trial.js";
import { isRight, isScored } from "../score/accuracy.js";

/** What was said in a trial, as it was said. */
export interface TrialTexts {
  readonly objectQuestion: string;
  readonly objectAnswer: string;
  readonly hypotheticalQuestion: string;
  readonly hypotheticalReply: string;
}

export interface SampleTrial extends TrialTexts {
  readonly trial: Trial;
  /** `excluded`: the object-level answer has no such behavior, or the engine crashed, so there are no two sides to compare. */
  readonly correct: boolean | "excluded";
}

/** How a trial ended. */
export type Outcome = "right" | "wrong" | "not_compliant" | "excluded";

/** Order in which outcomes take turns. */
const OUTCOMES: readonly Outcome[] = ["right", "wrong", "not_compliant", "excluded"];

export function outcomeOf(trial: Trial): Outcome {
  if (!isScored(trial)) return "excluded";
  if (!trial.prediction.ok) return "not_compliant";
  return isRight(trial, trial.prediction) ? "right" : "wrong";
}

/**
 * Outcomes take turns; each takes a trial of the cell and the string shown least so far, and among those the one whose name
 * hashes lowest. So the choice depends on neither order nor content.
 * @param most trials to show
 * @returns by outcome, then in the order chosen
 */
export function chooseSamples(
  trials: readonly Trial[],
  textsOf: (trial: Trial) => TrialTexts,
  most = 16,
): SampleTrial[] {
  const waiting = new Map(OUTCOMES.map((outcome): [Outcome, RankedTrial[]] => [outcome, []]));
  for (const trial of trials) waiting.get(outcomeOf(trial))?.push({ trial, rank: rankOf(trial) });
  for (const ranked of waiting.values()) ranked.sort((a, b) => (a.rank < b.rank ? -1 : a.rank > b.rank ? 1 : 0));
  const shown = new Map<string, number>();
  const chosen: Trial[] = [];
  for (let turn = 0; chosen.length < Math.min(most, trials.length); turn++) {
    const left = waiting.get(OUTCOMES[turn % OUTCOMES.length] as Outcome) as RankedTrial[];
    const next = leastShown(left, shown);
    if (next === undefined) continue;
    const [{ trial }] = left.splice(next, 1) as [RankedTrial];
    for (const name of [cellOf(trial), stringOf(trial)]) shown.set(name, (shown.get(name) ?? 0) + 1);
    chosen.push(trial);
  }
  return OUTCOMES.flatMap((outcome) =>
    chosen
      .filter((trial) => outcomeOf(trial) === outcome)
      .map((trial) => ({
        trial,
        ...textsOf(trial),
        correct: outcome === "excluded" ? ("excluded" as const) : outcome === "right",
      })),
  );
}

interface RankedTrial {
  readonly trial: Trial;
  readonly rank: string;
}

function leastShown(left: readonly RankedTrial[], shown: ReadonlyMap<string, number>): number | undefined {
  let best: number | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const [index, { trial }] of left.entries()) {
    // A string shown twice tires a reader less than a cell shown twice.
    const times = 1000 * (shown.get(cellOf(trial)) ?? 0) + (shown.get(stringOf(trial)) ?? 0);
    if (times < fewest) {
      fewest = times;
      best = index;
    }
  }
  return best;
}

function cellOf({ target, predictor, task, property, variant }: Trial): string {
  return JSON.stringify([target, predictor, task, property, variant]);
}

function stringOf({ task, item }: Trial): string {
  return JSON.stringify([task, item]);
}

function rankOf(trial: Trial): string {
  return createHash("sha256")
    .update(`sample/${cellOf(trial)}/${trial.item}`)
    .digest("hex");
}
