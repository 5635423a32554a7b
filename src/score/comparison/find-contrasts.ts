/** Which predictors of a plan are compared about which targets. */
import type { Contrast } from "../../records/comparison.js";
import type { ComparedPair } from "../../records/comparisons.js";
import type { Plan } from "../../records/plan.js";

export interface ContrastGroup extends ComparedPair {
  /** Never empty. A plan does not say yet which predictors are seeds of one condition: until then one each. */
  readonly contrasts: readonly [Contrast, ...Contrast[]];
}

/**
 * Self is the predictor on the target's own weights, cross every predictor on another model of the plan; of each model the one
 * that was trained, where there is one, so that trained stands against trained.
 * @returns in the plan's order; empty when no target has both
 */
export function findContrasts(plan: Pick<Plan, "models" | "states" | "predictions">): ContrastGroup[] {
  const stateOf = (name: string) => plan.states?.[name] ?? { model: name };
  const modelOf = (name: string) => stateOf(name).model;
  const isTrained = (name: string) => stateOf(name).adapter !== undefined;
  const targets = [...new Set(plan.predictions.map(({ target }) => target))];
  return targets.flatMap((target) => {
    const predictors = [
      ...new Set(plan.predictions.flatMap((pair) => (pair.target === target ? [pair.predictor] : []))),
    ];
    const own = preferTrained(
      predictors.filter((name) => modelOf(name) === modelOf(target)),
      isTrained,
    );
    const self = own.find((name) => name === target) ?? own[0];
    if (self === undefined) return [];
    const others = [...new Set(predictors.map(modelOf))].filter((model) => model !== modelOf(target));
    return others.flatMap((model) =>
      preferTrained(
        predictors.filter((name) => modelOf(name) === model),
        isTrained,
      ).map(
        (cross): ContrastGroup => ({
          target,
          self,
          cross,
          trained: { self: isTrained(self), cross: isTrained(cross) },
          sameWeights: plan.models[model]?.sha256 === plan.models[modelOf(target)]?.sha256,
          contrasts: [{ target, self, cross }],
        }),
      ),
    );
  });
}

function preferTrained(names: readonly string[], isTrained: (name: string) => boolean): readonly string[] {
  const trained = names.filter(isTrained);
  return trained.length > 0 ? trained : names;
}
