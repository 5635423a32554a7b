/** Series of a study: the same predictor after learning from more and more strings, or shown more and more behaviors. */
import type { Plan } from "../../records/plan.js";
import type { AverageScore, Scores } from "../../records/scores.js";
import { PredictorKinds } from "../../score/comparison/predictor-kinds.js";

export interface SeriesMember {
  readonly predictor: string;
  /** Strings learnt from per task and property, or pairs shown. */
  readonly size: number;
  readonly seed?: number;
  readonly average: AverageScore;
}

export interface Series {
  readonly kind: "learnt" | "shown";
  readonly model: string;
  readonly target: string;
  /** By size, two sizes at least. */
  readonly members: readonly SeriesMember[];
}

export function seriesOf(plan: Plan, { averages }: Pick<Scores, "averages">): Series[] {
  const kinds = new PredictorKinds(plan);
  const all = new Map<string, Series>();
  for (const average of averages) {
    const { predictor, target, kind } = average;
    if (kind !== "micro") continue;
    const { shown, model } = kinds.state(predictor);
    const adapter = kinds.role(predictor) === "predictor" ? kinds.adapter(predictor) : undefined;
    if (adapter && adapter.target !== target) continue;
    const size = shown?.target === target ? shown.pairs : adapter?.examplesPerProperty;
    if (size === undefined) continue;
    const which = shown ? ("shown" as const) : ("learnt" as const);
    const key = JSON.stringify([which, model, target]);
    const member = { predictor, size, average, ...(adapter ? { seed: adapter.settings.seed } : {}) };
    const members = [...(all.get(key)?.members ?? []), member].sort((a, b) => a.size - b.size);
    all.set(key, { kind: which, model, target, members });
  }
  return [...all.values()].filter(({ members }) => new Set(members.map(({ size }) => size)).size > 1);
}
