/** The states, adapters and pairs of a plan in the making: names are checked as they come. */
import { InwardError } from "../errors.js";
import { nearestName } from "../nearest-name.js";
import type { Plan, PlannedAdapter, PlannedState } from "../records/plan.js";

export class StatesDraft {
  /** Model -> the state of it that predicts itself; the trained one where there is one, the first of several. */
  readonly selves = new Map<string, string>();
  private readonly states: Record<string, PlannedState>;
  private readonly adapters: Record<string, PlannedAdapter> = {};
  private readonly pairs = new Map<string, { predictor: string; target: string }>();

  constructor(models: readonly string[]) {
    this.states = Object.fromEntries(models.map((model) => [model, { model }]));
  }

  state(name: string): PlannedState | undefined {
    return this.states[name];
  }

  adapter(name: string): PlannedAdapter | undefined {
    return this.adapters[name];
  }

  /** States that carry an adapter which learns this state's behavior, as it is. */
  predictorsOf(target: string): string[] {
    return Object.entries(this.adapters)
      .filter(([, one]) => one.target === target && !one.labels && !one.change)
      .map(([name]) => name);
  }

  /** @param where the part of the study that names it */
  requireState(name: string, where: string): void {
    if (Object.hasOwn(this.states, name)) return;
    const near = nearestName(name, Object.keys(this.states));
    throw new InwardError(
      "STUDY_UNKNOWN_MODEL",
      `${where} names "${name}", which is no model and no state that something before it makes.${near ? ` Did you mean "${near}"?` : ""}`,
    );
  }

  addState(name: string, state: PlannedState): void {
    if (Object.hasOwn(this.states, name)) {
      throw new InwardError(
        "STUDY_INVALID",
        `Two model states would be named "${name}": a prediction stands twice, or a model has an adapter's name.`,
      );
    }
    this.states[name] = state;
  }

  /** @param isTwin tells of an adapter that is there whether training both would be training one twice */
  addAdapter(name: string, adapter: PlannedAdapter, isTwin: (other: PlannedAdapter) => boolean = () => false): void {
    const twin = Object.entries(this.adapters).find(([, one]) => !one.labels && !one.change && isTwin(one));
    if (twin && twin[0] !== name) {
      throw new InwardError(
        "STUDY_INVALID",
        `"${twin[0]}" and "${name}" would be one adapter: both have seed ${adapter.settings.seed}.`,
      );
    }
    const round = this.roundOf(adapter);
    if (round > 2) {
      throw new InwardError(
        "STUDY_INVALID",
        `"${name}" would be trained on what a state does that was itself trained on a trained state: two rounds of training are the most.`,
      );
    }
    this.addState(name, { model: adapter.base, adapter: name });
    const { round: _, ...rest } = adapter;
    this.adapters[name] = round === 2 ? { ...rest, round } : rest;
  }

  addSelf(model: string, state: string): void {
    if (!this.selves.has(model)) this.selves.set(model, state);
  }

  addPair(predictor: string, target: string): void {
    const key = JSON.stringify([predictor, target]);
    if (!this.pairs.has(key)) this.pairs.set(key, { predictor, target });
  }

  hasPair(predictor: string, target: string): boolean {
    return this.pairs.has(JSON.stringify([predictor, target]));
  }

  /** `adapters` is absent when nothing is trained. */
  finish(): Pick<Plan, "predictions" | "states" | "adapters"> {
    return {
      predictions: [...this.pairs.values()],
      states: this.states,
      ...(Object.keys(this.adapters).length > 0 ? { adapters: this.adapters } : {}),
    };
  }

  private roundOf({ target, change }: PlannedAdapter): number {
    const before = [change?.from, this.states[target]?.adapter].map((name) => {
      const adapter = name === undefined ? undefined : this.adapters[name];
      return adapter ? (adapter.round ?? 1) : 0;
    });
    return 1 + Math.max(...before);
  }
}
