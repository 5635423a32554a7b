/** Everything that is known of what one adapter changed: by scope, before and after, and how far behavior moved. */

import type { TrainedAdapter } from "../../finetune/adapter/card.js";
import type { Plan } from "../../study/plan.js";
import { statesOf } from "../../study/states.js";
import { type Scope, planScopes } from "../scope.js";
import type { AccuracyChange, AverageScore, BehaviorDrift, CellScore, Scores } from "../scores.js";
import { averagesIn, hasInputOnly } from "./verdict.js";

/** Who predicts whom: the untrained model about the target, the trained one about it, the trained one about itself. */
export const ROLES = ["before", "after", "about_itself"] as const;

export type Role = (typeof ROLES)[number];

export interface ScopedEffect {
  readonly scope: Scope;
  /** Names of the scope's tasks. */
  readonly tasks: readonly string[];
  /** Micro averages; a role that was not asked is absent. */
  readonly averages: Readonly<Partial<Record<Role, AverageScore>>>;
  /** Of `after`, about the target. */
  readonly cells: readonly CellScore[];
  /** The macro average of `after`. */
  readonly afterMacro?: AverageScore;
  /** Paired on the same trials; absent when there are none. */
  readonly micro?: AccuracyChange;
  readonly macro?: AccuracyChange;
}

export interface TrainingEffect extends TrainedAdapter {
  /** The untrained state. */
  readonly base: string;
  readonly target: string;
  /** Whether the model learnt to predict its own behavior. */
  readonly isSelf: boolean;
  /** Whether another model predicts the same target in this study. */
  readonly hasCrossPrediction: boolean;
  /** Whether a classifier that sees the strings alone stands beside it. */
  readonly hasInputOnly: boolean;
  /** The plan's main one first, which is judged; never empty. */
  readonly scopes: readonly [ScopedEffect, ...ScopedEffect[]];
  /** All of them pooled, where there are several: shown, not judged. */
  readonly pooled?: ScopedEffect;
  /** First over everything, then by task and property; empty when the trained model was not asked what it does. */
  readonly drift: readonly BehaviorDrift[];
  /** About the target. */
  readonly cells: { readonly before: readonly CellScore[]; readonly after: readonly CellScore[] };
}

/** Adapters beyond this many are rows of a table, whatever they learnt. */
const MOST_IN_FULL = 4;

/**
 * @returns `effects`, told in full: those that learnt what a target does, a seed of each condition; and the other adapters: other
 * seeds and sizes, controls, changes
 */
export function effectsOf(input: {
  readonly plan: Plan;
  readonly scores: Scores;
  /** The plan's adapters, in its order. */
  readonly training?: readonly TrainedAdapter[];
}): {
  readonly effects: readonly TrainingEffect[];
  readonly others: readonly TrainedAdapter[];
} {
  const { plan, training = [] } = input;
  const states = statesOf(plan);
  const isPlain = (name: string) => states.plainlyTrained.some((state) => state.name === name);
  const main = training
    .filter(({ name, set }) => states.isMain({ predictor: name, target: set.target }) && isPlain(name))
    .slice(0, MOST_IN_FULL);
  return { effects: effectsIn(input, main), others: training.filter((adapter) => !main.includes(adapter)) };
}

function effectsIn(
  { plan, scores }: { readonly plan: Plan; readonly scores: Scores },
  training: readonly TrainedAdapter[],
) {
  const scopes = planScopes(plan);
  return training.map((adapter): TrainingEffect => {
    const { name, set } = adapter;
    const { target } = set;
    const base = statesOf(plan).of(name).origin;
    const cellsOf = (predictor: string) =>
      scores.cells.filter((cell) => cell.predictor === predictor && cell.target === target);
    const changeOf = (scope: Scope, kind: AccuracyChange["kind"]) =>
      scores.changes?.find(
        (row) => row.after === name && row.target === target && row.scope === scope && row.kind === kind,
      );
    const scopeOf = (scope: Scope): ScopedEffect => {
      const rows = averagesIn(scores, scope);
      const find = (predictor: string, about: string, kind: AverageScore["kind"] = "micro") =>
        rows.find((row) => row.predictor === predictor && row.target === about && row.kind === kind);
      const [before, after, itself] = [find(base, target), find(name, target), find(name, name)];
      const afterMacro = find(name, target, "macro");
      const [micro, macro] = [changeOf(scope, "micro"), changeOf(scope, "macro")];
      return {
        scope,
        tasks: plan.tasks
          .filter(
            ({ definition: { name: task }, properties }) =>
              scope === "all" || properties.some((property) => scopes.of({ task, property }) === scope),
          )
          .map(({ definition }) => definition.name),
        averages: { before, after, about_itself: itself },
        cells: cellsOf(name).filter((cell) => scope === "all" || scopes.of(cell) === scope),
        afterMacro,
        micro,
        macro,
      };
    };
    const [first, ...others] = scopes.all.map(scopeOf).filter(({ averages }) => averages.before || averages.after);
    return {
      ...adapter,
      base,
      target,
      isSelf: base === target,
      hasCrossPrediction: statesOf(plan).plainlyTrained.some(
        ({ origin, training: other }) => other.target === target && origin !== target,
      ),
      hasInputOnly: hasInputOnly(scores, target),
      scopes: first ? [first, ...others] : [scopeOf("all")],
      pooled: others.length > 0 ? scopeOf("all") : undefined,
      drift: (scores.drift ?? []).filter((row) => row.after === name && row.before === base),
      cells: { before: cellsOf(base), after: cellsOf(name) },
    };
  });
}
