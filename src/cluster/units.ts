/**
 * The units of a run: pieces of its stages that processes do apart from each other, on one machine or on many. They follow from the
 * plan, and from how its stages are cut, alone.
 */

import type { PlanEstimate, StageEstimate } from "../run/estimate/estimate.js";
import { RunFolder, type RunFile } from "../run/folder.js";
import type { StagePart } from "../run/open-models.js";
import { filesRead, modelOfStage, type Stage, stagesOf } from "../run/stages.js";
import type { Plan } from "../study/plan.js";
import { statesOf } from "../study/states.js";

/** How stages are cut. The same for all processes of a run. */
export interface UnitCut {
  /** A state's questions in a unit, about: groups stay whole. */
  readonly questions: number;
}

export const DEFAULT_CUT: UnitCut = { questions: 512 };

export interface RunUnit {
  /** `<file of its stage>/<number>`, such as `02-object-level/0003`: also its place in the folder of units. */
  readonly id: string;
  readonly stage: string;
  readonly kind: "asked" | "measured" | "trained";
  /** Absent: the whole stage. */
  readonly part?: StagePart;
  /** Name in the plan of the model that it opens; absent where there are several, or none. */
  readonly model?: string;
  /** It may begin when units of lower waves are done, and were put together as far as that goes. From 0. */
  readonly wave: number;
  /** Files of the run that must be finished. */
  readonly reads: readonly RunFile[];
  readonly writes: readonly RunFile[];
  /** At most; absent where nothing is counted. */
  readonly questions?: number;
}

/** A stage with the units that do it; none where no model is needed, so that whoever puts units together does it. */
export interface CutStage {
  readonly stage: Stage;
  readonly units: readonly RunUnit[];
  /** Number of the last stage whose file it reads; -1 where it reads none. Stages are put together in their order. */
  readonly after: number;
}

/** Questions whose answers take as long as those of so many usual ones. */
const HEAVY: Readonly<Partial<Record<RunFile, number>>> = { distributions: 8, patches: 32, inside: 32 };

export function cutStages(plan: Plan, cut: UnitCut): CutStage[] {
  const stages = stagesOf(plan);
  const writer = new Map(stages.flatMap(({ writes }, at) => writes.map((file) => [file, at] as const)));
  const waves: number[] = [];
  return stages.map((stage): CutStage => {
    const reads = [...new Set([...filesRead(stage.reads), ...(stage.alsoReads ?? [])])];
    const after = Math.max(-1, ...reads.map((file) => writer.get(file) ?? -1));
    const before = waves.slice(0, after + 1);
    // Stages without a model have no wave of their own.
    const wave = hasModel(stage) ? 1 + Math.max(-1, ...before) : -1;
    waves.push(wave);
    let units: readonly RunUnit[] | undefined;
    return {
      stage,
      after,
      // Counting a stage's questions takes time, and who does one unit needs no others.
      get units() {
        units ??= hasModel(stage) ? unitsOfStage(plan, stage, { cut, wave, reads }) : [];
        return units;
      },
    };
  });
}

export function unitsOfPlan(plan: Plan, cut: UnitCut): RunUnit[] {
  return cutStages(plan, cut).flatMap(({ units }) => units);
}

function hasModel({ kind }: Stage): boolean {
  return kind === "asked" || kind === "measured" || kind === "trained";
}

interface UnitFacts {
  readonly cut: UnitCut;
  readonly wave: number;
  readonly reads: readonly RunFile[];
}

function unitsOfStage(plan: Plan, stage: Stage, { cut, wave, reads }: UnitFacts): RunUnit[] {
  const { name, kind, writes } = stage;
  const key = stageKey(stage);
  const common = { stage: name, kind: kind as RunUnit["kind"], wave, reads, writes };
  const unit = (at: number, rest: Pick<RunUnit, "part" | "model" | "questions">): RunUnit => ({
    id: `${key}/${String(at).padStart(4, "0")}`,
    ...common,
    ...rest,
  });
  const counts = partsOf(plan, stage);
  if (!counts) return [unit(0, { model: modelOfStage(plan, stage) })];
  const states = counts.map(({ state }) => state);
  const most = Math.max(1, Math.max(plan.engine.groupQuestions, cut.questions) / (HEAVY[writes[0] as RunFile] ?? 1));
  return counts
    .flatMap(({ state, questions }) => {
      // What is no asking of groups is found for a state as a whole.
      const of = kind === "asked" ? Math.max(1, Math.ceil(questions / most)) : 1;
      const { model: name, elsewhere } = statesOf(plan).of(state);
      const model = elsewhere ? undefined : name;
      const share = Math.ceil(questions / of);
      return Array.from({ length: of }, (_, at) => ({ part: { state, at, of, states }, model, questions: share }));
    })
    .map((rest, at) => unit(at, rest));
}

/** @returns undefined where the stage is one piece: it is no state's alone, or its states do not follow one another */
function partsOf(
  plan: Plan,
  { parts, asks, states }: Stage,
): { readonly state: string; readonly questions: number }[] | undefined {
  if (asks && states) {
    const each = states(plan).map((state) => ({ state, questions: asks(plan, state).length }));
    const some = each.filter(({ questions }) => questions > 0);
    return some.length > 0 ? some : undefined;
  }
  const asked = parts?.(plan) ?? (asks?.(plan) as readonly { readonly state: string }[] | undefined);
  if (asked === undefined || asked.length === 0) return undefined;
  const counts = new Map<string, number>();
  let last: string | undefined;
  for (const { state } of asked) {
    if (state !== last && counts.has(state)) return undefined;
    last = state;
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  return [...counts].map(([state, questions]) => ({ state, questions }));
}

/** Safe as a path: the name of what the stage writes, without its ending. */
export function stageKey({ writes: [first] }: Pick<Stage, "writes">): string {
  const [, name] = (first as RunFile).split(/\/(.*)/s);
  const path = RunFolder.nameOf(first as RunFile);
  return name ? `${path.split("/")[0]}.${name}` : path.replace(/\.\w+$/, "");
}

// What a unit takes, from what a dry run has estimated.

const ESTIMATED: Readonly<Partial<Record<RunFile, readonly StageEstimate["stage"][]>>> = {
  judgedLabels: ["judge", "options_judge"],
  judged: ["judge", "options_judge"],
  objectLevel: ["object_level", "options"],
  objectLevelAdapted: ["object_level_adapted", "options_adapted"],
  objectLevelReadapted: ["object_level_adapted", "options_adapted"],
  hypothetical: ["hypothetical"],
  noiseFloor: ["noise_floor", "options_noise_floor"],
  distributions: ["distributions"],
};

export interface ExpectedWork {
  /** Absent where nobody knows. */
  readonly seconds?: number;
  /** Of the device that computes, for weights included; rough. */
  readonly memoryBytes?: number;
}

/** @param estimate of a dry run of the same study, on the machine that it was measured on */
export function expectedOf({ kind, part, model, writes }: RunUnit, estimate: PlanEstimate): ExpectedWork {
  const [first] = writes as readonly [RunFile];
  if (kind === "trained") {
    const training = estimate.training.find(({ adapter }) => `adapter/${adapter}` === first);
    return { ...secondsOf(training?.time), memoryBytes: training?.memory?.total };
  }
  const memoryBytes = estimate.models.find((one) => one.model === model)?.memory?.total;
  const names = ESTIMATED[first];
  if (!part || !names) return { memoryBytes };
  const own = estimate.stages.filter(({ stage, state }) => names.includes(stage) && state === part.state);
  if (own.length === 0 || own.some(({ time }) => !time.ok)) return { memoryBytes };
  const seconds = own.reduce((sum, { time }) => sum + (time.ok ? time.seconds : 0), 0) / part.of;
  return { seconds, memoryBytes };
}

function secondsOf(time: StageEstimate["time"] | undefined): Pick<ExpectedWork, "seconds"> {
  return time?.ok ? { seconds: time.seconds } : {};
}
