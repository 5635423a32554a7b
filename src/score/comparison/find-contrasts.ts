/** Which predictors of a plan are compared about which targets. */
import type { Contrast } from "../../records/comparison.js";
import type { ComparedPair } from "../../records/comparisons.js";
import { type PlannedParts, PredictorKinds } from "./predictor-kinds.js";

export interface ContrastGroup extends ComparedPair {
  /** Seeds of one condition, never empty. */
  readonly contrasts: readonly [Contrast, ...Contrast[]];
}

/** One target and who predicts it on its own weights; several are seeds of one condition. */
export interface SelfPrediction {
  readonly target: string;
  readonly self: string;
}

/**
 * Self is the predictor on the target's own weights: the target itself, where it is asked about itself, else those that learnt it.
 * @returns groups of one condition, in the plan's order
 */
export function findSelfPredictions(plan: PlannedParts): [SelfPrediction, ...SelfPrediction[]][] {
  const kinds = new PredictorKinds(plan);
  const groups = new Map<string, [SelfPrediction, ...SelfPrediction[]]>();
  for (const target of targetsOf(plan, kinds)) {
    for (const self of selvesOf(plan, kinds, target)) {
      const key = JSON.stringify([kinds.condition(target), kinds.condition(self)]);
      const group = groups.get(key);
      if (group) group.push({ target, self });
      else groups.set(key, [{ target, self }]);
    }
  }
  return [...groups.values()];
}

/**
 * Cross is every predictor of the target that is not self: on another model, or on the target's own weights with another adapter
 * that learnt what a trained target does. Of each model those that were trained stand for it, where there are any; those that are
 * shown the target's behaviors are compared beside them. Self and cross predictors of one condition are paired in the plan's
 * order, seed by seed; what one side has more of is left out.
 * @returns in the plan's order; empty when no target has both
 */
export function findContrasts(plan: PlannedParts): ContrastGroup[] {
  const kinds = new PredictorKinds(plan);
  const groups = new Map<string, ContrastGroup>();
  for (const target of targetsOf(plan, kinds)) {
    const selves = bestCondition(selvesOf(plan, kinds, target), kinds);
    for (const crosses of crossesOf(plan, kinds, target)) {
      selves.slice(0, crosses.length).forEach((self, seed) => {
        const cross = crosses[seed] as string;
        const key = JSON.stringify([target, self, cross].map((name) => kinds.condition(name)));
        const contrast: Contrast = { target, self, cross };
        const group = groups.get(key);
        groups.set(
          key,
          group
            ? { ...group, contrasts: [...group.contrasts, contrast] }
            : { ...pairOf(kinds, contrast), contrasts: [contrast] },
        );
      });
    }
  }
  return [...groups.values()];
}

function pairOf(kinds: PredictorKinds, { target, self, cross }: Contrast): ComparedPair {
  const shown = kinds.state(cross).shown?.pairs;
  return {
    target,
    self,
    cross,
    trained: { self: kinds.isTrained(self), cross: kinds.isTrained(cross) },
    sameWeights: kinds.isSameFile(kinds.model(cross), kinds.model(target)),
    ...(shown === undefined ? {} : { shown }),
  };
}

/** What a changed model does is compared with what it did before, by another rule. */
function targetsOf({ predictions }: PlannedParts, kinds: PredictorKinds): string[] {
  return [...new Set(predictions.map(({ target }) => target))].filter((target) => kinds.role(target) !== "changed");
}

function predictorsOf({ predictions }: PlannedParts, target: string): string[] {
  return [...new Set(predictions.flatMap((pair) => (pair.target === target ? [pair.predictor] : [])))];
}

function selvesOf(plan: PlannedParts, kinds: PredictorKinds, target: string): string[] {
  const own = predictorsOf(plan, target).filter(
    (name) => kinds.role(name) === "predictor" && kinds.model(name) === kinds.model(target),
  );
  if (kinds.isTrained(target)) return own.filter((name) => name === target);
  const trained = own.filter((name) => kinds.isTrained(name) && (kinds.adapter(name)?.target ?? target) === target);
  return trained.length > 0 ? trained : own.filter((name) => name === target);
}

/** Of a series, the members that learnt from most; of others all. */
function bestCondition(names: readonly string[], kinds: PredictorKinds): readonly string[] {
  const size = (name: string) => kinds.adapter(name)?.examplesPerProperty ?? 0;
  const most = Math.max(...names.map(size));
  return names.filter((name) => size(name) === most);
}

/** By condition. */
function crossesOf(plan: PlannedParts, kinds: PredictorKinds, target: string): string[][] {
  const others = predictorsOf(plan, target).filter((name) => {
    if (name === target) return false;
    const role = kinds.role(name);
    if (role !== "predictor" && role !== "shown") return false;
    if (kinds.model(name) !== kinds.model(target)) return true;
    // On the target's own weights: another network only where both are trained, and it learnt from this very target.
    return kinds.isTrained(target) && kinds.adapter(name)?.target === target;
  });
  const trainedModels = new Set(others.filter((name) => kinds.isTrained(name)).map((name) => kinds.model(name)));
  const groups = new Map<string, string[]>();
  for (const name of others) {
    if (kinds.role(name) === "predictor" && !kinds.isTrained(name) && trainedModels.has(kinds.model(name))) continue;
    const key = kinds.condition(name);
    const group = groups.get(key);
    if (group) group.push(name);
    else groups.set(key, [name]);
  }
  return [...groups.values()];
}
