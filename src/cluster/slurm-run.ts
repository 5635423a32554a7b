/** A run's units by Slurm: scripts and lists written into the run folder, handed to sbatch, looked at, taken back, put together. */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { hashOf, makeFolder, readJson, writeJson, writeWhole } from "../base/files.js";
import { InwardError } from "../errors.js";
import { childEnvironment } from "../model/worker-process.js";
import type { PlanEstimate } from "../run/estimate/estimate.js";
import type { PlannedStudy } from "../run/run-study.js";
import type { Plan } from "../study/plan.js";
import { deviceChoice } from "../study/devices.js";
import {
  checkSlurmOptions,
  gpuNotes,
  jobName,
  type KindNeeds,
  listName,
  mergeScript,
  MOST_TASKS,
  sbatchArguments,
  SLURM_FOLDER,
  type SlurmJob,
  type SlurmOptions,
  STOPPED,
  type Submission,
  submissions,
  queuedTasks,
  UNIT_KINDS,
  type UnitKind,
  type UnitList,
  unitScript,
} from "./slurm-scripts.js";
import { prepareUnits } from "./launch-workers.js";
import { type MergedUnits, mergeUnits } from "./merge.js";
import { readSetUp } from "./shards.js";
import { type UnitsProgress, unitsProgress } from "./units-progress.js";
import { expectedOf, type RunUnit, unitsOfPlan } from "./units.js";
import { RunFolder } from "../run/folder.js";

const MAIN = fileURLToPath(new URL("../cli/main.js", import.meta.url));

/** What the scripts of a run were written with, as far as submitting needs it again. */
const setupSchema = z.strictObject({ unitsPerTask: z.int().min(1), atOnce: z.int().min(1).optional() });
type SlurmSetup = z.infer<typeof setupSchema>;

export interface SlurmRun {
  /** Absolute path of the run folder. */
  readonly folder: string;
  /** By which all its jobs are found in the queue. */
  readonly jobName: string;
  /** Absolute paths. */
  readonly scripts: readonly string[];
  /** What is still to be handed to Slurm, in its order, each with its command line; `$J<n>` stands for the id of the n-th of them. */
  readonly submissions: readonly (Submission & { readonly command: string })[];
  /** Of units by kind, what they want of a node. */
  readonly needs: Readonly<Partial<Record<UnitKind, KindNeeds>>>;
  /** What a person should know before submitting. */
  readonly notes: readonly string[];
}

export interface SlurmPlanOptions extends SlurmOptions {
  /** Questions of a unit, about. A run that was cut before stays as it is cut. */
  readonly unitQuestions?: number;
  /** Of a dry run of the same study: how much memory jobs want. Absent: the site's default holds. */
  readonly estimate?: PlanEstimate;
}

/**
 * Writes the scripts of a planned study into its run folder, which is made where it is not there; submits nothing.
 * @throws USAGE for options that cannot stand in a script · STORE_*
 */
export async function prepareSlurm(planned: PlannedStudy, options: SlurmPlanOptions = {}): Promise<SlurmRun> {
  checkSlurmOptions(options);
  const { estimate, unitQuestions, ...own } = options;
  const source = own.source === undefined ? undefined : resolve(own.source);
  if (source !== undefined && !existsSync(source))
    throw new InwardError("USAGE", `--source: there is no file ${source}.`);
  if (/\p{Cc}/u.test(planned.folder)) {
    throw new InwardError(
      "USAGE",
      `a run folder whose path holds a control character cannot stand in a script: ${JSON.stringify(planned.folder)}`,
    );
  }
  const { folder, plan, units } = await prepareUnits(
    planned,
    unitQuestions === undefined ? undefined : { questions: unitQuestions },
  );
  const job: SlurmJob = {
    study: plan.study,
    planHash: hashOf(plan),
    run: folder,
    node: process.execPath,
    main: MAIN,
    options: { ...own, source },
  };
  const needs = needsOf(plan, units, own, estimate);
  const place = join(folder, SLURM_FOLDER);
  makeFolder(join(place, "logs"));
  const merging: KindNeeds = { cpus: plan.engine.threads, gpus: 0 };
  const texts: Record<string, string> = { "merge.sh": mergeScript(job, merging) };
  for (const kind of UNIT_KINDS) {
    const own = needs[kind];
    if (own) texts[`${kind}.sh`] = unitScript(job, kind, own);
  }
  for (const list of listsOf(units)) texts[listName(list)] = list.ids.map((id) => `${id}\n`).join("");
  for (const [name, text] of Object.entries(texts)) await writeWhole(join(place, name), text);
  const { unitsPerTask = 1, atOnce } = own;
  await writeJson(join(place, "setup.json"), { unitsPerTask, atOnce } satisfies SlurmSetup);
  return { ...(await openSlurm(folder)), needs, notes: notesOf(plan, needs, own) };
}

/** A run whose scripts are written, and what of it is still to be submitted. @throws SLURM_NOT_PREPARED, STORE_* */
export async function openSlurm(folder: string): Promise<SlurmRun> {
  const { folder: run, plan, units } = await openUnits(folder);
  const place = join(run, SLURM_FOLDER);
  if (!existsSync(join(place, "setup.json"))) {
    throw new InwardError("SLURM_NOT_PREPARED", `${run} has no scripts for Slurm.`);
  }
  const setup = await readJson<SlurmSetup>(join(place, "setup.json"), setupSchema);
  const { units: all, stages } = await progressOf(run);
  const missing = new Set(all.flatMap(({ id, state }) => (state === "done" ? [] : [id])));
  const isFinished = stages.every(({ finished }) => finished);
  const list = isFinished ? [] : submissions(listsOf(units), (id) => missing.has(id), setup, await mostTasks());
  const scripts = ["merge.sh", ...UNIT_KINDS.map((kind) => `${kind}.sh`)].map((name) => join(place, name));
  return {
    folder: run,
    jobName: jobName({ planHash: hashOf(plan) }),
    scripts: scripts.filter((path) => existsSync(path)),
    submissions: list.map((one) => ({
      ...one,
      command: ["sbatch", ...sbatchArguments(one, (at) => `$J${at}`)].join(" "),
    })),
    needs: {},
    notes: [],
  };
}

async function openUnits(
  folder: string,
): Promise<{ readonly folder: string; readonly plan: Plan; readonly units: readonly RunUnit[] }> {
  const { path, plan } = await RunFolder.look(folder);
  const { cut } = await readSetUp(path);
  return { folder: path, plan, units: unitsOfPlan(plan, cut) };
}

async function progressOf(folder: string): Promise<UnitsProgress> {
  return (await unitsProgress(folder)) as UnitsProgress;
}

function listsOf(units: readonly RunUnit[]): UnitList[] {
  const waves = [...new Set(units.map(({ wave }) => wave))].sort((a, b) => a - b);
  return waves.flatMap((wave) =>
    UNIT_KINDS.map((kind) => ({
      wave,
      kind,
      ids: units.filter((unit) => unit.wave === wave && unit.kind === kind).map(({ id }) => id),
    })).filter(({ ids }) => ids.length > 0),
  );
}

/** Beside what the device holds: node itself, the report, reading files. */
const OWN_BYTES = 2 ** 30;

function needsOf(
  plan: Plan,
  units: readonly RunUnit[],
  { gpus }: SlurmOptions,
  estimate: PlanEstimate | undefined,
): SlurmRun["needs"] {
  const { threads, device } = plan.engine;
  const isGpu = device !== "auto" && deviceChoice(device).kind !== "cpu";
  const own = UNIT_KINDS.flatMap((kind): [UnitKind, KindNeeds][] => {
    const ofKind = units.filter((unit) => unit.kind === kind);
    if (ofKind.length === 0) return [];
    // A piece of a state takes what all of its state's pieces take; there may be a million.
    const first = ofKind.filter(({ part }) => part === undefined || part.at === 0);
    const bytes = estimate ? first.map((unit) => expectedOf(unit, estimate).memoryBytes) : [undefined];
    const known = bytes.every((one) => one !== undefined)
      ? (bytes as number[]).reduce((most, one) => Math.max(most, one), 0)
      : undefined;
    const memoryBytes = known === undefined ? undefined : OWN_BYTES + 1.5 * known;
    return [
      [kind, { cpus: threads, gpus: gpus ?? (isGpu ? 1 : 0), ...(memoryBytes === undefined ? {} : { memoryBytes }) }],
    ];
  });
  return Object.fromEntries(own);
}

function notesOf({ engine }: Plan, needs: SlurmRun["needs"], { gpus, memory, time }: SlurmOptions): string[] {
  const unknown = Object.entries(needs).flatMap(([kind, own]) => (own?.memoryBytes === undefined ? [kind] : []));
  return [
    ...gpuNotes(engine, gpus),
    ...(memory === undefined && unknown.length > 0
      ? [
          `What ${unknown.join(" and ")} units take of memory is not known, so that the site's default holds; give --memory.`,
        ]
      : []),
    ...(time === undefined ? ["No time limit is asked for, so that the partition's default holds; give --time."] : []),
  ];
}

/** What jobs of a run are in the queue. */
export interface QueuedJob {
  readonly id: string;
  /** As Slurm has it: PENDING, RUNNING, COMPLETING. */
  readonly state: string;
  readonly reason: string;
  readonly node: string;
  readonly tasks: number;
  /** It never begins by itself: `inward slurm resume` takes it out and submits its work anew. */
  readonly stuck?: true;
}

/** Why Slurm never begins a job: a merge before it has failed, or a node could not start it (where a controller died, ids come twice). */
const NEVER = ["DependencyNeverSatisfied", "launch failed requeued held"];

/** What waits for a job that never begins has `Dependency` for its reason, as what waits for one at work has. */
function withStuck(queue: readonly QueuedJob[]): QueuedJob[] {
  const never = ({ reason }: QueuedJob) => NEVER.includes(reason);
  const waits = ({ state, reason }: QueuedJob) => state === "PENDING" && reason === "Dependency";
  const isAtRest = queue.some(never) && queue.every((job) => never(job) || waits(job));
  return queue.map((job) => (isAtRest || never(job) ? { ...job, stuck: true } : job));
}

export interface SubmittedRun extends SlurmRun {
  /** Ids, in the order of the submissions. */
  readonly jobs: readonly string[];
}

/**
 * Hands what a run still lacks to Slurm.
 * @throws SLURM_UNAVAILABLE · SLURM_ACTIVE jobs of this run are in the queue · SLURM_REFUSED: what sbatch took before stays there · STORE_*
 */
export async function submitSlurm(folder: string): Promise<SubmittedRun> {
  const run = await openSlurm(folder);
  const queued = await queueOf(run.jobName);
  const active = queued.filter(({ stuck }) => !stuck);
  if (active.length > 0) {
    const tasks = active.reduce((sum, one) => sum + one.tasks, 0);
    const { id, state, reason } = active[0] as QueuedJob;
    const why = reason === "None" ? state : `${state}, ${reason}`;
    throw new InwardError("SLURM_ACTIVE", `${tasks} tasks of ${run.folder} are in the queue, such as ${id} (${why}).`);
  }
  for (const { id } of queued) await slurm("scancel", [id]);
  const place = join(run.folder, SLURM_FOLDER);
  await rm(join(place, STOPPED), { force: true });
  const jobs: string[] = [];
  for (const one of run.submissions) {
    const said = await slurm(
      "sbatch",
      sbatchArguments(one, (at) => jobs[at] as string),
      place,
    ).catch((error) => {
      if (!(error instanceof InwardError) || error.code !== "SLURM_REFUSED") throw error;
      throw new InwardError(
        "SLURM_REFUSED",
        `${error.message} ${jobs.length} of ${run.submissions.length} jobs are in the queue.`,
      );
    });
    // Of a cluster among several: <id>;<cluster>.
    jobs.push((said.trim().split(";")[0] as string).trim());
  }
  return { ...run, jobs };
}

export interface SlurmStatus {
  readonly folder: string;
  readonly jobName: string;
  /** Absent where the queue cannot be asked, with why. */
  readonly queue: readonly QueuedJob[] | { readonly unknown: string };
  readonly progress: UnitsProgress;
}

/** What of a run is done, and what of it is in the queue. From any node: files tell the first. @throws STORE_* */
export async function slurmStatus(folder: string): Promise<SlurmStatus> {
  const { folder: run, plan } = await openUnits(folder);
  const name = jobName({ planHash: hashOf(plan) });
  const queue = await queueOf(name).catch((error) => {
    if (!(error instanceof InwardError)) throw error;
    return { unknown: error.message };
  });
  return { folder: run, jobName: name, queue, progress: await progressOf(run) };
}

/**
 * Takes all jobs of a run out of the queue; what is done stays done.
 * @returns how many tasks there were @throws SLURM_UNAVAILABLE, SLURM_REFUSED, STORE_*
 */
export async function cancelSlurm(folder: string): Promise<{ readonly folder: string; readonly tasks: number }> {
  const { folder: run, plan } = await openUnits(folder);
  const name = jobName({ planHash: hashOf(plan) });
  const queued = await queueOf(name);
  makeFolder(join(run, SLURM_FOLDER));
  // First: a job that hears TERM would else go back into the queue.
  await writeWhole(join(run, SLURM_FOLDER, STOPPED), "");
  if (queued.length > 0) await slurm("scancel", [`--name=${name}`]);
  return { folder: run, tasks: queued.reduce((sum, { tasks }) => sum + tasks, 0) };
}

/**
 * Puts together what the units have made.
 * @param wave it is a failure where a unit of this wave or one before is missing
 * @throws UNITS_MISSING · STORE_*
 */
export async function mergeWave(folder: string, wave?: number): Promise<MergedUnits> {
  const merged = await mergeUnits(folder);
  if (wave === undefined || merged.finished) return merged;
  const { units } = await openUnits(folder);
  const waves = new Map(units.map((unit) => [unit.id, unit.wave]));
  const missing = [...merged.waiting, ...merged.refused.map(({ unit }) => unit)].filter(
    (id) => (waves.get(id) ?? 0) <= wave,
  );
  if (missing.length === 0) return merged;
  const some = missing.slice(0, 5).join(", ");
  throw new InwardError(
    "UNITS_MISSING",
    `${missing.length} units up to wave ${wave} are missing: ${some}${missing.length > 5 ? ", …" : ""}.`,
  );
}

async function queueOf(name: string): Promise<QueuedJob[]> {
  const said = await slurm("squeue", ["--noheader", `--name=${name}`, "--format=%i|%T|%r|%N"]);
  const queue = said.split("\n").flatMap((line) => {
    const [id = "", state = "", reason = "", node = ""] = line.trim().split("|");
    return id === "" ? [] : [{ id, state, reason, node, tasks: queuedTasks(id) }];
  });
  return withStuck(queue);
}

/** Most tasks of an array here. Where Slurm cannot be asked, those that it allows by default. */
async function mostTasks(): Promise<number> {
  const config = await slurm("scontrol", ["show", "config"]).catch(() => "");
  const most = Number(/^MaxArraySize\s*=\s*(\d+)/m.exec(config)?.[1] ?? MOST_TASKS);
  return Math.max(1, Math.min(MOST_TASKS, most));
}

const MOST_OUTPUT = 256 * 2 ** 20;

/** @throws SLURM_UNAVAILABLE where there is no such program, SLURM_REFUSED with what it said */
function slurm(
  program: "sbatch" | "squeue" | "scancel" | "scontrol",
  args: readonly string[],
  cwd?: string,
): Promise<string> {
  // A job's environment is kept by Slurm's controller: nothing secret goes there. And no job is a child of this process.
  const { INWARD_PARENT_PID: _, ...env } = childEnvironment();
  return new Promise((done, failed) => {
    execFile(program, args, { cwd, env, maxBuffer: MOST_OUTPUT }, (error, stdout, stderr) => {
      if (!error) return done(stdout);
      if ((error as NodeJS.ErrnoException).code === "ENOENT") {
        return failed(
          new InwardError(
            "SLURM_UNAVAILABLE",
            `There is no ${program} here: this machine belongs to no Slurm cluster.`,
          ),
        );
      }
      const said = stderr.trim().replaceAll(/\s*\n\s*/g, "; ") || error.message;
      failed(new InwardError("SLURM_REFUSED", `${program}: ${said}.`));
    });
  });
}
