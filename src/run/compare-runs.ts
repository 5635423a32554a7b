/** Two runs side by side: where their plans differ first, then what came of it on the trials that both have. Asks no model. */

import { resolve } from "node:path";
import { hashOf } from "../base/files.js";
import { shown } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import {
  compareRunTrials,
  type KeyedTrial,
  type RunDifferenceOfPair,
  type SharedPair,
} from "../score/comparison/between-runs.js";
import { type JudgeStanding, standingOf } from "../score/judge-agreement.js";
import { planScopes, type Scope, type Scopes } from "../score/scope.js";
import type { TrialRow } from "../score/trial-rows.js";
import type { TrainLabel } from "../score/trial.js";
import { behaviorCell, hardlyVarying } from "../score/varying.js";
import type { Plan, PlannedTask } from "../study/plan.js";
import { RunFolder } from "./folder.js";
import { readJudges } from "./judging.js";
import { differingKeys } from "./planning.js";
import { readTrainLabels, readTrials } from "./score-stages.js";

/** A key of the plan that the two do not share, with what each has there. */
interface PlanDifference {
  /** Dotted; tasks stand by their names. */
  readonly key: string;
  /** JSON, cut where it is longer than a line; `missing` where the plan has no such key. */
  readonly first: string;
  readonly second: string;
}

/** Strings of a task on one side of its split, by their texts. */
interface SharedStrings {
  readonly task: string;
  readonly split: "train" | "held_out";
  readonly shared: number;
  readonly firstOnly: number;
  readonly secondOnly: number;
}

export interface ComparedRuns {
  /** Absolute paths. */
  readonly first: string;
  readonly second: string;
  readonly plan: {
    readonly same: boolean;
    readonly differences: readonly PlanDifference[];
    /** Of tasks that both have. */
    readonly strings: readonly SharedStrings[];
  };
  /** `exploratory`: no plan of either run named a comparison with another. */
  readonly standing: "exploratory";
  readonly pairs: readonly RunDifferenceOfPair[];
  /** How far the judges of judged properties agree with labels, in each run; empty where nothing is judged. */
  readonly judges: { readonly first: readonly JudgeStanding[]; readonly second: readonly JudgeStanding[] };
  /** Tasks and properties that hardly vary in one of the two: compared for nobody, as in averages. */
  readonly leftOut: readonly { readonly target: string; readonly task: string; readonly property: string }[];
  /** Pairs of predictor and target that one of the two has alone. */
  readonly firstOnly: readonly string[];
  readonly secondOnly: readonly string[];
}

export interface CompareOptions {
  /** State of the second run -> what the first calls it. */
  readonly names?: Readonly<Record<string, string>>;
}

/**
 * @param first folder of a run that was scored; intervals are made as its plan says
 * @param second another
 * @throws InwardError USAGE (one run twice; no pair or no trial in common), STORE_NOT_A_RUN, STORE_INCOMPLETE, STORE_CORRUPT, STORE_LOCKED
 */
export async function compareRuns(
  first: string,
  second: string,
  { names = {} }: CompareOptions = {},
): Promise<ComparedRuns> {
  if (resolve(first) === resolve(second)) {
    throw new InwardError("USAGE", `${resolve(first)} is given twice: a run is compared with another one.`);
  }
  const one = await readSide(first, {});
  const other = await readSide(second, names);
  const pairs = sharedPairs(one, other);
  const { confidence, bootstrapReplicates } = one.plan.score;
  const compared = compareRunTrials(pairs, { confidence, bootstrapReplicates, bootstrapSeed: one.plan.seed });
  if (compared.every(({ trials }) => trials.paired + trials.firstOnly + trials.secondOnly + trials.neither === 0)) {
    throw new InwardError(
      "USAGE",
      `The two runs share no trial: of ${pairs.length} pairs that both have, none was asked about the same string, property and wording.`,
    );
  }
  return {
    first: one.path,
    second: other.path,
    plan: {
      same: hashOf(one.plan) === hashOf(other.plan),
      differences: planDifferences(one.plan, other.plan),
      strings: sharedStrings(one.plan, other.plan),
    },
    standing: "exploratory",
    pairs: compared,
    judges: { first: one.judges, second: other.judges },
    leftOut: [...new Set([...one.flat, ...other.flat])].sort().map(cellNamed),
    firstOnly: [...one.pairs].filter((name) => !other.pairs.has(name)),
    secondOnly: [...other.pairs].filter((name) => !one.pairs.has(name)),
  };
}

interface SideOfRun {
  readonly path: string;
  readonly plan: Plan;
  readonly scopes: Scopes;
  readonly trials: readonly TrialRow[];
  readonly judges: readonly JudgeStanding[];
  /** Of what hardly varies. */
  readonly flat: ReadonlySet<string>;
  readonly pairs: ReadonlySet<string>;
}

function readSide(folder: string, names: Readonly<Record<string, string>>): Promise<SideOfRun> {
  return RunFolder.read(folder, async (run) => {
    const named = <Row extends TrialRow | TrainLabel>(row: Row): Row => ({
      ...row,
      target: names[row.target] ?? row.target,
      ...("predictor" in row ? { predictor: names[row.predictor] ?? row.predictor } : {}),
    });
    const rows = await readTrials(run);
    const known = new Set(rows.flatMap(({ target, predictor }) => [target, predictor]));
    const unknown = Object.keys(names).find((name) => !known.has(name));
    if (unknown !== undefined) {
      throw new InwardError("USAGE", `${folder} has no state ${shown(unknown)}; it has ${[...known].join(", ")}.`);
    }
    const trials = rows.map(named);
    const labels = (await readTrainLabels(run)).map(named);
    return {
      path: run.path,
      plan: run.plan,
      scopes: planScopes(run.plan),
      trials,
      judges: (await readJudges(run)).judges.map(standingOf),
      flat: new Set(hardlyVarying(labels).map(behaviorCell)),
      pairs: new Set(trials.map(pairOf)),
    };
  });
}

function pairOf({ predictor, target }: Pick<TrialRow, "predictor" | "target">): string {
  return `${predictor} → ${target}`;
}

function cellNamed(key: string): { target: string; task: string; property: string } {
  const [target, task, property] = JSON.parse(key) as [string, string, string];
  return { target, task, property };
}

/** @throws USAGE where no predictor is asked about one target in both */
function sharedPairs(one: SideOfRun, other: SideOfRun): SharedPair[] {
  const shared = [...one.pairs].filter((name) => other.pairs.has(name));
  if (shared.length === 0) {
    throw new InwardError(
      "USAGE",
      `The two runs have no pair of predictor and target in common: ${[...one.pairs].join(", ")} here, ${[...other.pairs].join(", ")} there. --call <second>=<first> says which state is which.`,
    );
  }
  const flat = new Set([...one.flat, ...other.flat]);
  return shared.flatMap((name) => {
    const [firsts, seconds] = [keyedTrials(one, name, flat), keyedTrials(other, name, flat)];
    const scopes = [...new Set([...firsts.keys(), ...seconds.keys()])];
    const { predictor, target } = one.trials.find((row) => pairOf(row) === name) as TrialRow;
    return scopes.map(
      (scope): SharedPair => ({
        predictor,
        target,
        scope,
        first: firsts.get(scope) ?? [],
        second: seconds.get(scope) ?? [],
      }),
    );
  });
}

/** By scope. */
function keyedTrials(
  { plan, trials, scopes }: SideOfRun,
  pair: string,
  flat: ReadonlySet<string>,
): Map<Scope, KeyedTrial[]> {
  const texts = new Map(
    plan.tasks.flatMap(({ definition: { name }, heldOut }) =>
      heldOut.map(({ id, text }) => [`${name}/${id}`, text] as const),
    ),
  );
  const keyed = new Map<Scope, KeyedTrial[]>();
  for (const trial of trials) {
    if (pairOf(trial) !== pair || flat.has(behaviorCell(trial))) continue;
    const { task, item, property, variant, sample } = trial;
    const scope = scopes.of(trial);
    const key = JSON.stringify([task, texts.get(`${task}/${item}`), property, variant, sample]);
    const own = keyed.get(scope);
    if (own) own.push({ key, trial });
    else keyed.set(scope, [{ key, trial }]);
  }
  return keyed;
}

// What the plans do not share.

/** Strings are counted by their texts elsewhere: ids and order are no difference. */
function withoutStrings({ tasks, ...plan }: Plan): object {
  return {
    ...plan,
    tasks: Object.fromEntries(
      tasks.map(({ train: _, heldOut: __, sha256: ___, definition, ...task }) => [
        definition.name,
        { ...definition, ...task },
      ]),
    ),
  };
}

function planDifferences(first: Plan, second: Plan): PlanDifference[] {
  const [one, other] = [withoutStrings(first), withoutStrings(second)];
  return differingKeys(one, other).map((key) => ({ key, first: shownAt(one, key), second: shownAt(other, key) }));
}

/** Keys may hold dots themselves: the longest that is there is taken. */
function shownAt(group: unknown, key: string): string {
  if (key === "" || typeof group !== "object" || group === null) return shown(group);
  const own = Object.keys(group)
    .filter((name) => key === name || key.startsWith(`${name}.`))
    .sort((a, b) => b.length - a.length)[0];
  if (own === undefined) return "missing";
  return shownAt((group as Record<string, unknown>)[own], key.slice(own.length + 1));
}

function sharedStrings(first: Plan, second: Plan): SharedStrings[] {
  const others = new Map(second.tasks.map((task) => [task.definition.name, task]));
  return first.tasks.flatMap((task) => {
    const other = others.get(task.definition.name);
    return other ? [countShared(task, other, "train"), countShared(task, other, "held_out")] : [];
  });
}

function countShared(one: PlannedTask, other: PlannedTask, split: "train" | "held_out"): SharedStrings {
  const [firsts, seconds] = [one, other].map(
    ({ train, heldOut }) => new Set((split === "train" ? train : heldOut).map(({ text }) => text)),
  ) as [Set<string>, Set<string>];
  const shared = [...firsts].filter((text) => seconds.has(text)).length;
  return {
    task: one.definition.name,
    split,
    shared,
    firstOnly: firsts.size - shared,
    secondOnly: seconds.size - shared,
  };
}
