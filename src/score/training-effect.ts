/** What training changed: averages by scope, accuracy after minus before on the same trials, and how far behavior drifted. Pure. */
import type { AccuracyChange, ScopedAverage, Scope, Scores } from "../records/scores.js";
import type { Trial } from "../records/trial.js";
import { accuracy, wasRepliedTo } from "./accuracy.js";
import { averageCells } from "./averages.js";
import { byQuestion } from "./by-question.js";
import { driftOf } from "./drift.js";
import { estimateOver } from "./estimate-over.js";
import { DIFFERENCE, type Measure, PROPORTION, type PointRange } from "./measure.js";
import type { ScoredCell } from "./score-cell.js";
import type { TaskStrings } from "./tally.js";

/** Which states were trained from which, as the plan says. */
export interface Training {
  /** `after` is `before`'s weights with an adapter that learnt what `target` does. */
  readonly states: readonly { readonly before: string; readonly after: string; readonly target: string }[];
  /** Tasks that no finetune set holds; the strings of the others that are scored are held out too. */
  readonly heldOutTasks: readonly string[];
}

const SCOPES = ["all", "held_out_strings", "held_out_tasks"] as const;

/**
 * @param strings every task's strings and their draws, the same as for all other scores
 * @param pairs the cells of each predictor and target
 */
export function trainingEffect(
  trials: readonly Trial[],
  { states, heldOutTasks }: Training,
  strings: ReadonlyMap<string, TaskStrings>,
  pairs: readonly (readonly ScoredCell[])[],
  confidence: number,
): Required<Pick<Scores, "scopedAverages" | "changes" | "drift">> {
  const inScope = (scope: Scope, task: string) =>
    scope === "all" || heldOutTasks.includes(task) === (scope === "held_out_tasks");
  const scopedAverages = pairs.flatMap((pair) =>
    (["held_out_strings", "held_out_tasks"] as const).flatMap((scope): ScopedAverage[] => {
      const cells = pair.filter(({ score }) => inScope(scope, score.task));
      return cells.length === 0
        ? []
        : averageCells(cells, confidence).map((average): ScopedAverage => ({ ...average, scope }));
    }),
  );
  const about = (predictor: string, target: string, scope: Scope) =>
    trials.filter((trial) => trial.predictor === predictor && trial.target === target && inScope(scope, trial.task));
  const changes = states.flatMap(({ before, after, target }) =>
    SCOPES.flatMap((scope): AccuracyChange[] => {
      const paired = pairTrials(about(before, target, scope), about(after, target, scope));
      if (paired.length === 0) return [];
      const itself = about(after, after, scope);
      return (["micro", "macro"] as const).map((kind): AccuracyChange => {
        const over = (some: readonly Trial[], measure: Measure, range: PointRange) =>
          estimateOver(some, { measure, range, kind }, strings, confidence);
        const was = new Map(paired.map((pair) => [pair.after, pair.before]));
        const ofBefore: Measure = (trial) => accuracy(was.get(trial) as Trial);
        const later = paired.map((pair) => pair.after);
        return {
          target,
          before,
          after,
          scope,
          kind,
          accuracyBefore: over(later, ofBefore, PROPORTION),
          accuracyAfter: over(later, accuracy, PROPORTION),
          change: over(later, (trial) => difference(accuracy(trial), ofBefore(trial)), DIFFERENCE),
          ...(itself.length === 0 ? {} : { accuracyAboutItself: over(itself, accuracy, PROPORTION) }),
        };
      });
    }),
  );
  return { scopedAverages, changes, drift: states.flatMap((state) => driftOf(trials, state, strings, confidence)) };
}

function difference(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a - b;
}

/** The trials that both predictors have a reply for, about one target. */
function pairTrials(before: readonly Trial[], after: readonly Trial[]): { before: Trial; after: Trial }[] {
  const earlier = byQuestion(before);
  const later = byQuestion(after);
  return [...later].flatMap(([key, trial]) => {
    const match = earlier.get(key);
    return match && wasRepliedTo(match) && wasRepliedTo(trial) ? [{ before: match, after: trial }] : [];
  });
}
