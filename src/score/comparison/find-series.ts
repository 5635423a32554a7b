/** Series of a plan: one predictor after learning from more and more strings, or shown more and more of a target's behaviors. */
import type { SeriesKind } from "../../records/comparisons.js";
import { type PlannedParts, PredictorKinds } from "./predictor-kinds.js";

export interface SeriesMember {
  readonly predictor: string;
  /** Strings learnt from per task and property, or pairs shown. */
  readonly size: number;
  /** Of the training, where there was one. */
  readonly seed?: number;
}

export interface Series {
  readonly kind: SeriesKind;
  readonly model: string;
  readonly target: string;
  /** By size, then in the plan's order. */
  readonly members: readonly SeriesMember[];
}

/** @returns those of two sizes and more, in the plan's order */
export function findSeries(plan: PlannedParts): Series[] {
  const kinds = new PredictorKinds(plan);
  const all = new Map<string, Series>();
  for (const { predictor, target } of plan.predictions) {
    const { shown, model } = kinds.state(predictor);
    const adapter = kinds.role(predictor) === "predictor" ? kinds.adapter(predictor) : undefined;
    if (adapter && adapter.target !== target) continue;
    const size = shown?.target === target ? shown.pairs : adapter?.examplesPerProperty;
    if (size === undefined) continue;
    const kind: SeriesKind = shown ? "shown" : "learnt";
    const key = JSON.stringify([kind, model, target]);
    const member = { predictor, size, ...(adapter ? { seed: adapter.settings.seed } : {}) };
    const members = [...(all.get(key)?.members ?? []), member].sort((a, b) => a.size - b.size);
    all.set(key, { kind, model, target, members });
  }
  return [...all.values()].filter(({ members }) => new Set(members.map(({ size }) => size)).size > 1);
}
