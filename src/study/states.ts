/** The model states of a plan, and everything that follows from how each came to be. Nobody else reads `states` and `adapters`. */

import type {
  Plan,
  PlannedAdapter,
  PlannedChange,
  PlannedElsewhere,
  PlannedImplant,
  PlannedLabels,
  PlannedState,
} from "./plan.js";

/** What of a plan its states follow from. */
export type PlanOfStates = Pick<Plan, "states" | "adapters"> &
  Partial<Pick<Plan, "models" | "elsewhere" | "predictions" | "freshLabels">>;

type StateRole =
  /** Asked as the plan asks, as it came or after learning what a target does. */
  | "predictor"
  /** Shown a target's behaviors in its prompt. */
  | "shown"
  /** An adapter that learnt scrambled labels, or format only; or shown pairs that do not tell what the target does. */
  | "control"
  /** A self-predictor that is asked in another wording. */
  | "ablation"
  /** A state whose behavior was changed, or a cross-predictor that learnt the same answers. */
  | "changed"
  /** Answers under a system message of its own, for a change to be learnt from; it predicts nothing. */
  | "teacher";

/** How a state's adapter is trained, with the round that older plans leave out. */
export interface StateTraining extends Omit<PlannedAdapter, "round"> {
  readonly round: 1 | 2;
}

/**
 * `same_state` the very same weights under the very same adapter: what i = j means · `same_weights` the same base weights under another
 * adapter, or one of them under none · `derived_weights` one's file was made from the other's, or both from a third · `other`
 */
export type Relation = "same_state" | "same_weights" | "derived_weights" | "other";

/**
 * `untrained` a predictor that learnt to predict nobody, about whomever · `self` one that learnt, on the network that the target began as
 * too · `cross` one that learnt, on another.
 */
export type PredictorKind = "self" | "cross" | "untrained";

/** Who is asked about both sides of a change. */
export type ShiftRole =
  /** The state whose behavior was changed. */
  | "changed"
  /** The same, before it was changed. */
  | "unchanged"
  /** Another model that learnt the old behavior. */
  | "cross"
  /** The same, after it learnt the new answers too. */
  | "cross_changed";

/** A change of a plan, and whoever predicts both what the state did before and what it does after. */
export interface StateChange {
  readonly after: string;
  /** Whose predictions are judged where it is not the state itself: a predictor with an implant that learnt the labels of before. */
  readonly changed?: string;
  readonly change: Pick<PlannedChange, "name" | "from" | "tasks" | "planted"> & {
    readonly answers: PlannedChange["answers"] | PlannedImplant["answers"];
  };
  readonly predictors: readonly { readonly predictor: string; readonly role: ShiftRole }[];
}

interface StatePair {
  readonly predictor: string;
  readonly target: string;
}

/** Base weights under an adapter or none, asked in the plan's way or in one of its own. */
export class State implements Omit<PlannedState, "model"> {
  /** The model that it stands on, a name of the plan's `models`. */
  readonly model: string;
  /** The adapter that it carries; a state in a wording of its own shares another one's. */
  readonly adapter?: string;
  readonly training?: StateTraining;
  readonly wording?: string;
  readonly shown?: PlannedState["shown"];
  readonly system?: string;
  /** What its logs hold, where nobody here asks it. */
  readonly elsewhere?: PlannedElsewhere;
  readonly #states: States;
  #condition?: string;

  constructor(
    readonly name: string,
    { model, adapter, wording, shown, system }: PlannedState,
    training: PlannedAdapter | undefined,
    states: States,
    elsewhere?: PlannedElsewhere,
  ) {
    this.model = model;
    this.elsewhere = elsewhere;
    this.adapter = adapter;
    this.training = training && { ...training, round: training.round ?? 1 };
    this.wording = wording;
    this.shown = shown;
    this.system = system;
    this.#states = states;
  }

  get role(): StateRole {
    if (this.wording !== undefined) return "ablation";
    if (this.training?.labels) return "control";
    if (this.training?.change) return "changed";
    if (this.shown) return this.shown.as === undefined ? "shown" : "control";
    return this.system === undefined ? "predictor" : "teacher";
  }

  /** To predict, or to behave otherwise after that; a model with an implant is where a training begins, as one that came so. */
  get isTrained(): boolean {
    return this.adapter !== undefined && !this.implant;
  }

  /** Of the training that made it; 0 for a model as it came. */
  get round(): 0 | 1 | 2 {
    return this.adapter === undefined ? 0 : (this.training?.round ?? 1);
  }

  /** Whose behavior its adapter learnt to predict, or, where it was changed, to show; of an implant nobody's. */
  get learntFrom(): string | undefined {
    return this.implant ? undefined : this.training?.target;
  }

  /** The behavior that was planted in it, before it learnt anything else or was asked. */
  get implant(): PlannedImplant | undefined {
    return this.training?.implant;
  }

  /** What it was before it learnt to predict: its model as it came, or with an implant. States of one origin are one self. */
  get origin(): string {
    if (this.implant) return this.adapter as string;
    const from = this.change?.from ?? this.training?.from;
    return from === undefined ? this.model : this.#states.of(from).origin;
  }

  /** What its adapter learnt besides the target's behaviors as they are; absent for an adapter that learnt just these. */
  get labels(): PlannedLabels | undefined {
    return this.training?.labels;
  }

  get change(): PlannedChange | undefined {
    return this.training?.change;
  }

  /** Weights alone or weights under an adapter: another wording, or solved examples, is another asking of the same network. */
  get isPlain(): boolean {
    return this.wording === undefined && this.shown === undefined && this.system === undefined;
  }

  /**
   * Whose train behaviors serve its baselines: its own wherever its train strings are asked. Else, as older plans have it, what its
   * adapter learnt from serves in their place; for a changed one, what the adapter did that it goes on from.
   */
  get labelSource(): string {
    if (!this.training || this.#states.answersTrainStrings(this.name)) return this.name;
    if (this.implant) return this.adapter as string;
    return this.#states.of(this.change?.from ?? this.training.target).labelSource;
  }

  /** The same for states that differ in nothing but the seeds of their training, and of what they learnt from. */
  get condition(): string {
    this.#condition ??= this.#makeCondition();
    return this.#condition;
  }

  #makeCondition(): string {
    const { model, wording, shown, system, training } = this;
    if (!training) return JSON.stringify([model, wording, shown, system]);
    const { labels, labelNoise, from, implant, change, target, examplesPerProperty, settings } = training;
    const { seed: _, ...rest } = settings;
    const learnt = this.#states.of(target).condition;
    const planted = [implant?.name, from, labelNoise, shown];
    return JSON.stringify([model, wording, labels, change?.name, learnt, examplesPerProperty, rest, planted]);
  }
}

export class States {
  /** In the plan's order; the models themselves where a plan lists no states. */
  readonly all: readonly State[];
  /** Those that an adapter is trained for, in the order of the plan's adapters. */
  readonly trained: readonly (State & { readonly training: StateTraining; readonly adapter: string })[];
  readonly #byName: Map<string, State>;
  readonly #models: Plan["models"];
  readonly #predictions: readonly StatePair[];
  readonly #freshLabels: boolean;
  #main?: Map<string, StatePair>;
  // Of the plan, which does not change; asked for each of a million questions.
  #teachers?: Set<string>;
  #targets?: Set<string>;

  constructor({ states, adapters = {}, models = {}, elsewhere = {}, predictions = [], freshLabels }: PlanOfStates) {
    const asTheyCame = [...Object.keys(models), ...Object.keys(elsewhere)];
    const parts: [string, PlannedState][] = states
      ? Object.entries(states)
      : asTheyCame.map((model) => [model, { model }]);
    const listed = new Set(parts.map(([name]) => name));
    for (const [name, { base }] of Object.entries(adapters)) {
      if (!listed.has(name)) parts.push([name, { model: base, adapter: name }]);
    }
    this.all = parts.map(([name, part]) => {
      const training = part.adapter !== undefined && Object.hasOwn(adapters, part.adapter) && adapters[part.adapter];
      const logs = Object.hasOwn(elsewhere, name) ? elsewhere[name] : undefined;
      return new State(name, part, training || undefined, this, logs);
    });
    this.#byName = new Map(this.all.map((state) => [state.name, state]));
    this.trained = Object.keys(adapters).map((name) => this.of(name) as States["trained"][number]);
    this.#models = models;
    this.#predictions = predictions;
    this.#freshLabels = freshLabels === true;
  }

  /** A name that the plan does not list is that of a model as it came: plans that train nothing list none. */
  of(name: string): State {
    const known = this.#byName.get(name);
    if (known) return known;
    const made = new State(name, { model: name }, undefined, this);
    this.#byName.set(name, made);
    return made;
  }

  /** Those that nobody here asks what they do: their logs say it. */
  get answeredElsewhere(): State[] {
    return this.all.filter(({ elsewhere }) => elsewhere?.answers !== undefined);
  }

  /** Those that a round of training makes. */
  ofRound(round: 1 | 2): States["trained"] {
    return this.trained.filter((state) => state.round === round);
  }

  /** Trained on what a target does, as it is: no control, no change, no implant. */
  get plainlyTrained(): States["trained"] {
    return this.trained.filter(({ labels, change, implant }) => !labels && !change && !implant);
  }

  /** States that an adapter, or a prompt with examples, takes train behaviors or answers from. */
  get teachers(): ReadonlySet<string> {
    this.#teachers ??= this.#makeTeachers();
    return this.#teachers;
  }

  #makeTeachers(): Set<string> {
    const learnt = this.trained.flatMap(({ training: { target, change, implant } }) =>
      implant || (change && "policy" in change.answers) ? [] : [target],
    );
    return new Set([...learnt, ...this.all.flatMap(({ shown }) => (shown ? [shown.target] : []))]);
  }

  /** Whether a state with an adapter is asked its train strings as well as the held-out ones. */
  answersTrainStrings(name: string): boolean {
    if (this.teachers.has(name) || this.of(name).implant) return true;
    this.#targets ??= new Set(this.#predictions.map(({ target }) => target));
    return this.#freshLabels && this.#targets.has(name);
  }

  /**
   * The plan's changes, without those that only teach a cross-predictor the same answers; and, of models with an implant, predictors
   * that learnt the labels of another state: do they follow what they do now, or what they were told?
   */
  get changes(): StateChange[] {
    return [...this.#plannedChanges(), ...this.#staleLabels()];
  }

  #staleLabels(): StateChange[] {
    return this.plainlyTrained.flatMap(({ name: changed, training: { from: after, target: before } }) => {
      const implant = after === undefined || after === before ? undefined : this.of(after).implant;
      if (after === undefined || !implant) return [];
      const learntAlike = this.#askedAbout(before, after).filter((other) => this.of(other).learntFrom === before);
      const roleOf = (predictor: string): ShiftRole => {
        if (predictor === changed) return "changed";
        return this.of(predictor).origin === before ? "unchanged" : "cross";
      };
      const { answers, tasks, told: planted } = implant;
      return [
        {
          after,
          changed,
          change: { name: changed, from: before, tasks, planted, answers },
          predictors: learntAlike.map((predictor) => ({ predictor, role: roleOf(predictor) })),
        },
      ];
    });
  }

  /** Whoever predicts both. */
  #askedAbout(before: string, after: string): string[] {
    const about = (target: string) =>
      this.#predictions.filter((pair) => pair.target === target).map(({ predictor }) => predictor);
    const known = about(before);
    return about(after).filter((predictor) => known.includes(predictor));
  }

  #plannedChanges(): StateChange[] {
    return this.trained.flatMap(({ name: after, change }) => {
      if (!change || change.alongside !== undefined) return [];
      const roleOf = (predictor: string): ShiftRole => {
        if (predictor === after) return "changed";
        if (predictor === change.from) return "unchanged";
        return this.of(predictor).change ? "cross_changed" : "cross";
      };
      const both = this.#askedAbout(change.from, after);
      return [{ after, change, predictors: both.map((predictor) => ({ predictor, role: roleOf(predictor) })) }];
    });
  }

  kindOf({ predictor, target }: StatePair): PredictorKind {
    const { origin, isTrained } = this.of(predictor);
    if (!isTrained) return "untrained";
    return origin === this.of(target).origin ? "self" : "cross";
  }

  /** Whether two models hold the very same weights, under the very same adapter where they wear one. */
  isSameNetwork(model: string, other: string): boolean {
    const [one, two] = [this.#models[model], this.#models[other]];
    return model === other || (this.#isSameFile(model, other) && one?.adapter?.sha256 === two?.adapter?.sha256);
  }

  #isSameFile(model: string, other: string): boolean {
    const [one, two] = [this.#models[model], this.#models[other]];
    return model === other || (one !== undefined && one.sha256 === two?.sha256);
  }

  relation(first: string, second: string): Relation {
    if (first === second) return "same_state";
    const [a, b] = [this.of(first).model, this.of(second).model];
    if (this.#isSameFile(a, b)) return "same_weights";
    const [one, other] = [this.#models[a], this.#models[b]];
    // Of what answered elsewhere nobody knows the weights.
    if (!one || !other) return "other";
    const roots = new Set(filesOf(one));
    return filesOf(other).some((sha256) => roots.has(sha256)) ? "derived_weights" : "other";
  }

  /**
   * Whether a report shows a pair in full: one seed of each condition, the largest of a series. A pair that no prediction names
   * is one where it could be.
   */
  isMain(pair: StatePair): boolean {
    this.#main ??= this.#mainPairs();
    const best = this.#main.get(this.#seriesOf(pair));
    const isPlanned = this.#predictions.some((one) => isSame(one, pair));
    return isPlanned ? best !== undefined && isSame(best, pair) : this.#couldBeMain(pair);
  }

  #mainPairs(): Map<string, StatePair> {
    const sizeOf = ({ predictor }: StatePair) => this.of(predictor).training?.examplesPerProperty ?? 0;
    const chosen = new Map<string, StatePair>();
    for (const pair of this.#predictions) {
      if (!this.#couldBeMain(pair)) continue;
      const before = chosen.get(this.#seriesOf(pair));
      if (!before || sizeOf(pair) > sizeOf(before)) chosen.set(this.#seriesOf(pair), pair);
    }
    return chosen;
  }

  #seriesOf({ predictor, target }: StatePair): string {
    const { origin, isTrained } = this.of(predictor);
    return JSON.stringify([this.of(target).condition, origin, isTrained, predictor === target]);
  }

  /** Asked as the plan asks, about what it learnt, or about itself; an untrained model about itself trained is a third party. */
  #couldBeMain({ predictor, target }: StatePair): boolean {
    const [asked, about] = [this.of(predictor), this.of(target)];
    if (asked.role !== "predictor" || about.role !== "predictor") return false;
    if (about.isTrained && !asked.isTrained && asked.origin === about.origin) return false;
    const learnt = asked.learntFrom;
    return learnt === undefined || learnt === target || predictor === target;
  }
}

function isSame(one: StatePair, other: StatePair): boolean {
  return one.predictor === other.predictor && one.target === other.target;
}

/** A file and those that it was made from. */
function filesOf({ sha256, reencodedFrom, roundedTo, layersRemoved }: Plan["models"][string]): string[] {
  return [sha256, ...[reencodedFrom, roundedTo, layersRemoved].flatMap((from) => (from ? [from.sha256] : []))];
}

const KNOWN = new WeakMap<PlanOfStates, States>();

/** Made once for each plan. */
export function statesOf(plan: PlanOfStates): States {
  const known = KNOWN.get(plan);
  if (known) return known;
  const made = new States(plan);
  KNOWN.set(plan, made);
  return made;
}
