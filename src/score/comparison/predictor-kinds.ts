/** What the states of a plan are as predictors: which are one condition under several seeds, and which are controls or ablations. */
import type { Plan, PlannedAdapter, PlannedState } from "../../records/plan.js";

export type PlannedParts = Pick<Plan, "models" | "states" | "adapters" | "predictions">;

export type PredictorRole =
  /** Asked as the plan asks, as it came or after learning what a target does. */
  | "predictor"
  /** Shown a target's behaviors in its prompt. */
  | "shown"
  /** An adapter that learnt scrambled labels, or format only. */
  | "control"
  /** A self-predictor that is asked in another wording. */
  | "ablation"
  /** A self-predictor whose behavior was changed. */
  | "changed";

export class PredictorKinds {
  constructor(private readonly plan: PlannedParts) {}

  state(name: string): PlannedState {
    return this.plan.states?.[name] ?? { model: name };
  }

  model(name: string): string {
    return this.state(name).model;
  }

  adapter(name: string): PlannedAdapter | undefined {
    const { adapter } = this.state(name);
    return adapter === undefined ? undefined : this.plan.adapters?.[adapter];
  }

  isTrained(name: string): boolean {
    return this.state(name).adapter !== undefined;
  }

  role(name: string): PredictorRole {
    const { wording, shown } = this.state(name);
    const adapter = this.adapter(name);
    if (wording !== undefined) return "ablation";
    if (adapter?.labels) return "control";
    if (adapter?.change) return "changed";
    return shown ? "shown" : "predictor";
  }

  /** The same for states that differ in nothing but the seeds of their training, and of what they learnt from. */
  condition(name: string): string {
    const { model, adapter: adapterName, wording, shown, system } = this.state(name);
    const adapter = this.adapter(name);
    if (adapterName === undefined || !adapter) return JSON.stringify([model, wording, shown, system]);
    const { labels, change, target, examplesPerProperty, settings } = adapter;
    const { seed: _, ...rest } = settings;
    return JSON.stringify([model, wording, labels, change?.name, this.condition(target), examplesPerProperty, rest]);
  }

  /** Whether two models' files hold the very same weights. */
  isSameFile(model: string, other: string): boolean {
    const { models } = this.plan;
    return model === other || (models[model] !== undefined && models[model]?.sha256 === models[other]?.sha256);
  }
}
