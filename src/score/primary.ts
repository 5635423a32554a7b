/** The one contrast that a study is judged by: settled when the plan is made, so that no result can choose it. */

import { didYouMean } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import type { Plan, PlannedPrimary } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import type { ExperimentName } from "../study/schema.js";
import type { StudyPrimary } from "../study/study.js";
import { findContrasts, findSelfPredictions } from "./comparison/contrasts.js";
import type { ContrastRule } from "./comparison/judge.js";
import type { ChangeRule } from "./comparison/judge-change.js";
import type { ShiftScope } from "./comparison/shift.js";
import { planScopes } from "./scope.js";
import { stringKey } from "./trial.js";

/** Who a contrast is about, by what a study may name of it. */
type Who = Pick<PlannedPrimary, "self" | "cross" | "target" | "change">;

const SIDES = ["self", "cross", "target", "change"] as const;
type PrimarySide = (typeof SIDES)[number];

/** What each question is about. */
const SIDES_OF: Readonly<Record<PlannedPrimary["experiment"], readonly PrimarySide[]>> = {
  self_prediction: ["self", "target"],
  cross_prediction: ["self", "cross", "target"],
  behavioral_change: ["change"],
};

/** What a study without a single contrast of a question would need. */
const NEEDS: Readonly<Record<PlannedPrimary["experiment"], string>> = {
  self_prediction: "a model that predicts itself: predictions needs { predictor: m, target: m }",
  cross_prediction:
    "a target that both its own model and another one predict: predictions needs { predictor: m, target: m } and { predictor: other, target: m }",
  behavioral_change: "a change: changes needs one",
};

/**
 * Fills in what the study leaves open and could mean in one way only.
 * @throws STUDY_INVALID when the plan has no such contrast, several, no such scope, or another number of strings
 * @throws STUDY_UNKNOWN_MODEL for a name that no state of the plan has
 */
export function settlePrimary(plan: Plan, wanted: StudyPrimary): PlannedPrimary {
  const experiment = wanted.experiment as PlannedPrimary["experiment"];
  if (!plan.experiments?.includes(experiment)) {
    throw invalid(`is ${experiment}, which experiments leaves out (${plan.experiments?.join(", ")})`);
  }
  if (experiment === "behavioral_change" && wanted.average === "macro") {
    throw invalid("is behavioral_change with average macro: a change is judged by the micro average alone");
  }
  const who = settleWho(plan, wanted, experiment);
  const { scope, items } = settleScope(plan, wanted, who);
  if (items.size !== wanted.strings) {
    throw invalid(
      `promises ${wanted.strings} held-out strings, and the plan has ${items.size} of scope ${scope}: set heldOutStrings of its tasks, or primary.strings`,
    );
  }
  const { average, smallestDifference, strings } = wanted;
  return { experiment, ...who, scope, average, smallestDifference, strings };
}

/** `exploratory` is every verdict but the primary contrast's, and every verdict of a study that names none. */
export type VerdictStatus = "primary" | "exploratory";

/**
 * @param who of several seeds the first
 * @returns undefined where the study names no primary contrast: nothing has to be told apart there
 */
export function statusOf(
  { primary }: Pick<Plan, "primary">,
  experiment: ExperimentName,
  who: Partial<Who>,
  scope: string | undefined,
): VerdictStatus | undefined {
  if (!primary) return undefined;
  const isIt =
    primary.experiment === experiment &&
    primary.scope === scope &&
    SIDES_OF[primary.experiment].every((side) => primary[side] === who[side]);
  return isIt ? "primary" : "exploratory";
}

/** For whoever opens the scores and looks for a result. */
export function scoresStanding({ primary }: Pick<Plan, "primary">): string {
  return primary
    ? "exploratory: the study is judged by its primary contrast alone, whose verdict stands in 08-experiments.json"
    : "exploratory: the study names no primary contrast";
}

/** What the primary contrast is judged by: a yes needs the interval above the smallest difference that counts. */
export function primaryRule(
  plan: Pick<Plan, "primary">,
  experiment: PlannedPrimary["experiment"],
  who: Partial<Who>,
  scope: string,
): ContrastRule | undefined {
  const { primary } = plan;
  if (!primary || statusOf(plan, experiment, who, scope) !== "primary") return undefined;
  const { average, smallestDifference } = primary;
  return { judged: average, smallestDifference, yesAbove: smallestDifference };
}

/** The same of a change, which is judged by the micro average alone. */
export function changeRule({ primary }: Pick<Plan, "primary">, change: string): ChangeRule | undefined {
  if (primary?.change !== change) return undefined;
  const { scope, smallestDifference } = primary;
  return { scope: scope as ShiftScope, smallestDifference, yesAbove: smallestDifference };
}

/** Each as the seeds of one condition; the first seed stands for all. */
function candidatesOf(plan: Plan, experiment: PlannedPrimary["experiment"]): readonly (readonly [Who, ...Who[]])[] {
  if (experiment === "self_prediction") return findSelfPredictions(plan);
  if (experiment === "cross_prediction") return findContrasts(plan).map(({ contrasts }) => contrasts);
  return statesOf(plan).changes.map(({ change: { name } }) => [{ change: name }]);
}

function settleWho(plan: Plan, wanted: StudyPrimary, experiment: PlannedPrimary["experiment"]): Who {
  const sides = SIDES_OF[experiment];
  const extra = SIDES.find((side) => wanted[side] !== undefined && !sides.includes(side));
  if (extra !== undefined) {
    throw invalid(`names ${extra}, which means nothing for ${experiment}: it takes ${sides.join(", ")}`);
  }
  requireNames(plan, wanted);
  const candidates = candidatesOf(plan, experiment);
  if (candidates.length === 0) throw invalid(`is ${experiment}, for which the plan lacks ${NEEDS[experiment]}`);
  const isMeant = (one: Who) => sides.every((side) => wanted[side] === undefined || wanted[side] === one[side]);
  const meant = candidates.filter((seeds) => seeds.some(isMeant));
  const [first] = meant;
  if (meant.length === 1 && first) {
    return Object.fromEntries(sides.map((side) => [side, first[0][side]]));
  }
  const named = sides.flatMap((side) => (wanted[side] === undefined ? [] : [`${side}: ${wanted[side]}`])).join(", ");
  const listed = (meant.length === 0 ? candidates : meant).map(([one]) => textOf(one, sides)).join("; ");
  throw invalid(
    meant.length === 0
      ? `names { ${named} }, which the plan does not compare; its contrasts of ${experiment}: ${listed}`
      : `could be ${meant.length} contrasts of ${experiment}; name one of them: ${listed}`,
  );
}

function requireNames(plan: Plan, wanted: StudyPrimary): void {
  const states = statesOf(plan).all.map(({ name }) => name);
  const changes = statesOf(plan).changes.map(({ change: { name } }) => name);
  for (const side of SIDES) {
    const name = wanted[side];
    const known = side === "change" ? changes : states;
    if (name === undefined || known.includes(name)) continue;
    const what = side === "change" ? "change of the study" : "model state of the plan";
    throw new InwardError(
      "STUDY_UNKNOWN_MODEL",
      `primary.${side} names "${name}", which is no ${what} (${known.join(", ") || "there is none"}).${didYouMean(name, known)}`,
    );
  }
}

function textOf(who: Who, sides: readonly PrimarySide[]): string {
  return `{ ${sides.map((side) => `${side}: ${who[side]}`).join(", ")} }`;
}

/** Items by their keys; a scope without any is none of the plan's. */
function settleScope(
  plan: Plan,
  { scope: wanted }: Pick<StudyPrimary, "scope">,
  who: Who,
): { readonly scope: PlannedPrimary["scope"]; readonly items: ReadonlySet<string> } {
  const there = who.change === undefined ? scopesOfPlan(plan) : scopesOfChange(plan, who.change);
  const [main] = there;
  const found = wanted === undefined ? main : there.find(({ scope }) => scope === wanted);
  if (found) return found;
  const names = there.map(({ scope, items }) => `${scope} (${items.size} strings)`).join(", ");
  throw invalid(`has scope ${wanted}, of which the plan has no string; it has ${names}`);
}

/** Of each task, how many strings there are in the contrast's scope; those of one cluster count once. */
export function stringsInScope(
  plan: Plan,
  { scope, change }: Pick<PlannedPrimary, "scope" | "change">,
): Map<string, number> {
  const there = change === undefined ? scopesOfPlan(plan) : scopesOfChange(plan, change);
  const counts = new Map<string, number>();
  for (const key of there.find((one) => one.scope === scope)?.items ?? []) {
    const [task] = JSON.parse(key) as [string, string];
    counts.set(task, (counts.get(task) ?? 0) + 1);
  }
  return counts;
}

interface ScopeItems {
  readonly scope: PlannedPrimary["scope"];
  readonly items: ReadonlySet<string>;
}

/** The main one first. */
function scopesOfPlan(plan: Plan): ScopeItems[] {
  const scopes = planScopes(plan);
  return scopes.all.map((scope) => ({
    scope,
    items: keysOf(plan, (task, property) => scopes.of({ task, property }) === scope),
  }));
}

/** What nobody was taught comes first: there predictions can follow by self-access alone. */
function scopesOfChange(plan: Plan, name: string): ScopeItems[] {
  const taught = statesOf(plan).changes.find(({ change }) => change.name === name)?.change.tasks ?? [];
  const all: readonly ScopeItems[] = [
    { scope: "elsewhere", items: keysOf(plan, (task) => !taught.includes(task)) },
    { scope: "taught", items: keysOf(plan, (task) => taught.includes(task)) },
  ];
  return all.filter(({ items }) => items.size > 0);
}

function keysOf({ tasks }: Plan, isIn: (task: string, property: string) => boolean): ReadonlySet<string> {
  return new Set(
    tasks.flatMap(({ definition: { name: task }, properties, heldOut }) =>
      properties.some((property) => isIn(task, property))
        ? heldOut.map(({ id, cluster }) => stringKey({ task, item: id, cluster }))
        : [],
    ),
  );
}

function invalid(what: string): InwardError {
  return new InwardError("STUDY_INVALID", `primary ${what}.`);
}
