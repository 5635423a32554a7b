/** Items with interventions, as the addon takes them. */
import type { NativeWork } from "../../native/index.js";
import { type Intervention, INTERVENTION_OPERATIONS, withInterventions } from "../../src/model/interventions.js";
import { type Site, STATE_PARTS, type StateShape, siteNumbers } from "../../src/model/sites.js";
import { type Answered, type Item, workOf } from "./native-engine.js";
import { normal } from "./normal.js";

export interface IntervenedPrompt extends Item {
  readonly interventions?: readonly Intervention[];
}

export function intervenedWork(
  items: readonly IntervenedPrompt[],
  shape: StateShape,
  more: Partial<NativeWork> = {},
): NativeWork {
  const prompts = items.map(({ ids, interventions }) => ({ promptIds: ids, interventions }));
  return withInterventions(workOf(items, more), prompts, () => shape);
}

export const WRITTEN_PARTS = STATE_PARTS.filter((part) => part !== "attention_weights");

/** Of size 1. */
export function someValues(count: number, seed: number): Float32Array {
  const draw = normal(seed);
  return Float32Array.from({ length: count }, draw);
}

/** Each operation at each part, layers, tokens and heads in turn. @param length of the prompt, 12 at least */
export function everyIntervention(shape: StateShape, length: number): Intervention[] {
  const tokens: Intervention["tokens"][] = [[length - 1], [3, 7], { from: 5 }, [0]];
  return WRITTEN_PARTS.flatMap((part, at) =>
    INTERVENTION_OPERATIONS.map((operation, kind): Intervention => {
      const site: Site = { part, layer: (at + kind) % shape.layers };
      const width = siteNumbers(site, shape, 1);
      const chosen = tokens[(at + kind) % tokens.length] as Intervention["tokens"];
      const rows = operation === "project_out" ? 2 : "from" in chosen ? 1 : chosen.length;
      const heads = part === "head_values" && kind % 2 === 1 ? { heads: [1, (shape.heads[0] as number) - 1] } : {};
      const place = { site, tokens: chosen, operation, ...heads };
      if (operation === "scale") return { ...place, factor: -0.5 };
      const values = someValues(rows * width, 4 * at + kind + 1);
      return operation === "add" ? { ...place, values, factor: 0.75 } : { ...place, values };
    }),
  );
}

/** Log-probabilities of the whole vocabulary at an answer's first position, by id. */
export function byId({ topIds, topLogprobs }: Answered): Float64Array {
  const all = new Float64Array(topIds.length);
  topIds.forEach((id, at) => {
    all[id] = topLogprobs[at] as number;
  });
  return all;
}

/** Nats. */
export function logprobsApart(one: ArrayLike<number>, other: ArrayLike<number>): number {
  if (one.length === 0 || one.length !== other.length) throw new Error(`${one.length} and ${other.length} logprobs`);
  return Math.max(...Array.from(one, (value, id) => Math.abs(value - (other[id] as number))));
}
