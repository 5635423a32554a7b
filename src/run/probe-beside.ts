/** Which other states stand beside a state's own: another model's about the same behavior, at about the same depth. */

import type { Plan } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import type { QuestionToRead } from "./probe-labels.js";
import type { CapturedStates } from "./probe-states.js";

/**
 * Another network that predicts: about the same target, and trained where the predictor is, wherever there is one.
 * @param there states that were looked into
 */
export function otherModelState(
  plan: Plan,
  { predictor, target }: Pick<QuestionToRead, "predictor" | "target">,
  there: ReadonlySet<string>,
): { readonly state: string } | { readonly reason: string } {
  const states = statesOf(plan);
  const { model, isTrained } = states.of(predictor);
  const others = [...there].filter((name) => !states.isSameNetwork(states.of(name).model, model));
  const isAbout = (name: string) => plan.predictions.some((pair) => pair.predictor === name && pair.target === target);
  const likeness = (name: string) => 2 * Number(isAbout(name)) + Number(states.of(name).isTrained === isTrained);
  const [best] = others.toSorted((a, b) => likeness(b) - likeness(a));
  return best === undefined ? { reason: "the study looks into no second model" } : { state: best };
}

/** The site of the same part that lies at the nearest share of the other model's layers; undefined where it has none of that part. */
export function sameDepth(site: string, own: CapturedStates, other: CapturedStates): string | undefined {
  const [part, layer = ""] = site.split(".");
  const depth = (Number(layer) + 1) / layersOf(own);
  const alike = other.sites.flatMap(({ name }) => {
    const [ofPart, at = ""] = name.split(".");
    return ofPart === part ? [{ name, off: Math.abs((Number(at) + 1) / layersOf(other) - depth) }] : [];
  });
  // The embedding has no depth.
  if (part === "residual_before" && layer === "0") return alike.find(({ name }) => name === site)?.name;
  return alike.toSorted((a, b) => a.off - b.off)[0]?.name;
}

function layersOf({ layers, sites }: CapturedStates): number {
  return layers ?? 1 + Math.max(...sites.map(({ name }) => Number(name.split(".")[1])));
}
