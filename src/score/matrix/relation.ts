/** What two states have in common besides how they behave. */
import type { Plan } from "../../records/plan.js";
import type { Covariate } from "./fit-matrix.js";

export type Relation = "same_state" | "same_weights" | "derived_weights" | "other";

type States = Pick<Plan, "models" | "states" | "adapters">;

/**
 * `same_state` the very same weights under the very same adapter: what i = j means · `same_weights` the same base weights under another
 * adapter, or one of them under none · `derived_weights` one's file was made from the other's, or both from a third · `other`
 */
export function relationOf(plan: States, first: string, second: string): Relation {
  if (first === second) return "same_state";
  const [a, b] = [first, second].map((state) => plan.states?.[state]?.model ?? state) as [string, string];
  if (a === b) return "same_weights";
  const [one, other] = [plan.models[a], plan.models[b]];
  if (!one || !other) return "other";
  if (one.sha256 === other.sha256) return "same_weights";
  const roots = new Set(filesOf(one));
  return filesOf(other).some((sha256) => roots.has(sha256)) ? "derived_weights" : "other";
}

function filesOf({ sha256, reencodedFrom, roundedTo, layersRemoved }: Plan["models"][string]): string[] {
  return [sha256, ...[reencodedFrom, roundedTo, layersRemoved].flatMap((from) => (from ? [from.sha256] : []))];
}

/** The state whose behaviors an adapter learnt; undefined without one. */
export function labelSourceOf({ adapters, states }: States, state: string): string | undefined {
  const adapter = states?.[state]?.adapter;
  return adapter === undefined ? undefined : adapters?.[adapter]?.target;
}

/** Everything but being the same state that may make a predictor good about a target; each of different states only. */
export function relationCovariates(plan: States): Covariate[] {
  return [
    { name: "same_weights", of: (predictor, target) => Number(relationOf(plan, predictor, target) === "same_weights") },
    { name: "label_source", of: (predictor, target) => Number(labelSourceOf(plan, predictor) === target) },
    {
      name: "shared_label_source",
      of: (predictor, target) => {
        const source = labelSourceOf(plan, predictor);
        return Number(predictor !== target && source !== undefined && source === labelSourceOf(plan, target));
      },
    },
  ];
}
