/** How far a run's units are, as anybody sees it who can read its folder: nothing is locked or written. */

import { RunFolder } from "../run/folder.js";
import { inputsOf } from "../run/run-stages.js";
import {
  attemptsOf,
  type FoundAttempt,
  hasUnits,
  isOver,
  madeFromOf,
  namesOfStage,
  readFailure,
  readSetUp,
  readShard,
  type ShardRecord,
  type UnitFailure,
} from "./shards.js";
import { type CutStage, cutStages, stageKey, type RunUnit } from "./units.js";

/**
 * `waiting`: for a process, or for what it reads · `running`: somebody is at it, or was and has not been heard of since · `done`: its
 * shard is there, or its stage is finished · `failed`: and nobody is at it again
 */
export type UnitState = "waiting" | "running" | "done" | "failed";

export interface UnitProgress extends Pick<RunUnit, "id" | "stage" | "kind" | "model" | "wave" | "questions"> {
  readonly state: UnitState;
  /** Of a part: the model state that is asked, and which piece of how many, from 1. */
  readonly about?: { readonly state: string; readonly piece: number; readonly of: number };
  /** Who is at it, or has done it; absent where nobody was, and where its stage is finished. */
  readonly by?: { readonly host: string; readonly pid: number; readonly job?: string };
  /** ISO 8601, by the clock of whoever is at it. */
  readonly since?: string;
  /** When it has last said something, ISO 8601; a process that works says something every few seconds, or when a question is answered. */
  readonly heard?: string;
  /** Questions, steps or prompts, of how many. */
  readonly done?: number;
  readonly total?: number;
  readonly seconds?: number;
  readonly failure?: Pick<UnitFailure, "code" | "message" | "at">;
}

export interface StageProgress {
  readonly stage: string;
  readonly wave?: number;
  /** Its pieces are put together, or, of a stage without units, it is done. */
  readonly finished: boolean;
  readonly units: Readonly<Record<UnitState, number>>;
}

export interface UnitsProgress {
  /** Absolute path of the run. */
  readonly folder: string;
  readonly study: string;
  /** In their order; those without units too. */
  readonly stages: readonly StageProgress[];
  readonly units: readonly UnitProgress[];
}

/**
 * @param folder of a run, also one that others work in
 * @returns undefined where its stages are not done in units
 * @throws STORE_NOT_A_RUN, STORE_CORRUPT
 */
export async function unitsProgress(folder: string): Promise<UnitsProgress | undefined> {
  const run = await RunFolder.look(folder);
  if (!hasUnits(run.path)) return undefined;
  const { cut } = await readSetUp(run.path);
  const stages: StageProgress[] = [];
  const units: UnitProgress[] = [];
  for (const one of cutStages(run.plan, cut)) {
    const finished = one.stage.writes.every((file) => run.isMarked(file));
    const own = finished
      ? one.units.map((unit) => ({ ...aboutOf(unit), state: "done" as const }))
      : await look(run, one);
    for (const unit of own) units.push(unit);
    const counts = { waiting: 0, running: 0, done: 0, failed: 0 };
    for (const { state } of own) counts[state]++;
    const wave = one.units[0]?.wave;
    stages.push({ stage: one.stage.name, ...(wave === undefined ? {} : { wave }), finished, units: counts });
  }
  return { folder: run.path, study: run.plan.study, stages, units };
}

function aboutOf({ id, stage, kind, model, wave, questions, part }: RunUnit): Omit<UnitProgress, "state"> {
  return {
    ...{ id, stage, kind, wave },
    ...(model === undefined ? {} : { model }),
    ...(questions === undefined ? {} : { questions }),
    ...(part ? { about: { state: part.state, piece: part.at + 1, of: part.of } } : {}),
  };
}

async function look(run: RunFolder, { stage, units }: CutStage): Promise<UnitProgress[]> {
  if (units.length === 0) return [];
  const key = stageKey(stage);
  const names = await namesOfStage(run.path, key);
  const there = new Set(names);
  const attempts = new Map<string, FoundAttempt[]>();
  for (const one of await attemptsOf(run.path, key, names)) {
    attempts.set(one.unit, [...(attempts.get(one.unit) ?? []), one]);
  }
  // What it reads may not be finished, so that no shard can be of it.
  const inputs = await inputsOf(run, stage).catch(() => undefined);
  return Promise.all(
    units.map(async (unit): Promise<UnitProgress> => {
      const about = aboutOf(unit);
      const number = unit.id.split("/")[1];
      const madeFrom = inputs && madeFromOf(unit, inputs);
      const shard = there.has(`${number}.done`) ? await readShard(run.path, unit.id).catch(() => undefined) : undefined;
      if (shard && shard.madeFrom === madeFrom) return { ...about, ...doneBy(shard), state: "done" };
      const own = (attempts.get(unit.id) ?? []).filter((one) => one.madeFrom === madeFrom);
      const [at] = own.filter((one) => !isOver(one)).toSorted((a, b) => (a.heard < b.heard ? 1 : -1));
      if (at) {
        const { since, heard, done, total } = at;
        return { ...about, state: "running", by: processOf(at), since, heard, done, total };
      }
      const failure = there.has(`${number}.failed.json`) ? await readFailure(run.path, unit.id) : undefined;
      if (!failure) return { ...about, state: "waiting" };
      const { code, message, at: when } = failure;
      return { ...about, state: "failed", by: processOf(failure), failure: { code, message, at: when } };
    }),
  );
}

function doneBy({ by, since, seconds }: ShardRecord): Pick<UnitProgress, "by" | "since" | "seconds"> {
  return { by: processOf({ by }), since, seconds };
}

function processOf({ by }: Pick<ShardRecord, "by">): NonNullable<UnitProgress["by"]> {
  const { host, pid, job } = by;
  return { host, pid, ...(job ? { job: job.id } : {}) };
}
