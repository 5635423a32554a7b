/** A run's units by Slurm: scripts and lists written into the run folder, handed to sbatch, looked at, taken back, put together. */

import { execFile } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { createHash } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { hashOf, makeFolder, readJson, writeJson, writeWhole } from "../base/files.js";
import { requirePlainFile } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import { childEnvironment } from "../model/worker-process.js";
import type { PlanEstimate } from "../run/estimate/estimate.js";
import type { PlannedStudy } from "../run/run-study.js";
import type { Plan } from "../study/plan.js";
import { deviceChoice } from "../study/devices.js";
import {
  checkSlurmOptions,
  gpuNotes,
  jobIdOf,
  jobName,
  type KindNeeds,
  listName,
  mergeScript,
  MOST_TASKS,
  overridden,
  sbatchArguments,
  scriptOf,
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
import { otherCut, prepareUnits } from "./launch-workers.js";
import { type MergedUnits, mergeUnits } from "./merge.js";
import { readSetUp } from "./shards.js";
import { type UnitsProgress, unitsProgress } from "./units-progress.js";
import { expectedOf, type RunUnit, unitsOfPlan } from "./units.js";
import { RunFolder, requireOwnVersion } from "../run/folder.js";

const MAIN = fileURLToPath(new URL("../cli/main.js", import.meta.url));

/** What the scripts of a run were written with, as far as submitting needs it again. */
const setupSchema = z.strictObject({
  unitsPerTask: z.int().min(1),
  atOnce: z.int().min(1).optional(),
  /** The folder that the scripts name, and what its jobs are called. Absent in older runs. */
  run: z.string().optional(),
  jobName: z.string().optional(),
  /** sha256 of each script as it was written. */
  scripts: z.record(z.string(), z.string()).optional(),
});
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
  if (source !== undefined) {
    requirePlainFile(
      source,
      MOST_SOURCE,
      (why) => new InwardError("USAGE", `--source: ${source} cannot be read (${why}).`),
    );
  }
  if (/\p{Cc}/u.test(planned.folder)) {
    throw new InwardError(
      "USAGE",
      `a run folder whose path holds a control character cannot stand in a script: ${JSON.stringify(planned.folder)}`,
    );
  }
  const { folder, plan, units, cut } = await prepareUnits(
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
  const kept = await keepEdited(place, texts);
  const scripts = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, sha256Of(text)]));
  for (const list of listsOf(units)) texts[listName(list)] = list.ids.map((id) => `${id}\n`).join("");
  for (const [name, text] of Object.entries(texts)) await writeWhole(join(place, name), text);
  const { unitsPerTask = 1, atOnce } = own;
  const setup = { unitsPerTask, atOnce, run: folder, jobName: jobName(job), scripts };
  await writeJson(join(place, "setup.json"), setup satisfies SlurmSetup);
  const notes = [...notesOf(plan, needs, own), ...kept, ...otherCut(cut, unitQuestions)];
  return { ...(await openSlurm(folder)), needs, notes };
}

/** Bytes; a file that loads modules has a few hundred. */
const MOST_SOURCE = 2 ** 20;

function sha256Of(text: string | Buffer): string {
  return createHash("sha256").update(text).digest("hex");
}

/** Scripts that somebody has changed since they were written stay, under another name. @returns which */
async function keepEdited(place: string, texts: Readonly<Record<string, string>>): Promise<string[]> {
  const { scripts = {} } = (await readSlurmSetup(place)) ?? {};
  const notes: string[] = [];
  for (const [name, text] of Object.entries(texts)) {
    const path = join(place, name);
    const there = existsSync(path) ? await readFile(path) : undefined;
    if (there === undefined || scripts[name] === undefined || sha256Of(there) === scripts[name]) continue;
    if (sha256Of(there) === sha256Of(text)) continue;
    const aside = `${path}.edited-${sha256Of(there).slice(0, 8)}`;
    await writeWhole(aside, there);
    notes.push(`${name} was changed by hand; it is written anew, and what it said is kept as ${aside}.`);
  }
  return notes;
}

async function readSlurmSetup(place: string): Promise<SlurmSetup | undefined> {
  const path = join(place, "setup.json");
  return existsSync(path) ? readJson<SlurmSetup>(path, setupSchema) : undefined;
}

/** What a run's jobs are called. Scripts of a copy name the folder that it was copied from, and so do its jobs. */
function nameOf(run: string, plan: Plan, setup: SlurmSetup | undefined): string {
  const planHash = hashOf(plan);
  if (setup !== undefined && setup.run === undefined) return `inward-${planHash.slice(0, 12)}`;
  const own = setup !== undefined && isAt(run, setup) ? setup.jobName : undefined;
  return own ?? jobName({ planHash, run });
}

/** Whether the scripts were written for this folder, by whatever path it is named. */
function isAt(run: string, { run: written }: SlurmSetup): boolean {
  if (written === undefined || written === run) return true;
  return existsSync(written) && realpathSync(written) === realpathSync(run);
}

/** A run whose scripts are written, and what of it is still to be submitted. @throws SLURM_NOT_PREPARED, STORE_* */
export async function openSlurm(folder: string): Promise<SlurmRun> {
  const { folder: run, plan, units } = await openUnits(folder);
  requireOwnVersion({ path: run, plan });
  const place = join(run, SLURM_FOLDER);
  const setup = await readSlurmSetup(place);
  if (setup === undefined) throw new InwardError("SLURM_NOT_PREPARED", `${run} has no scripts for Slurm.`);
  if (!isAt(run, setup)) {
    throw new InwardError(
      "SLURM_NOT_PREPARED",
      `The scripts in ${run} were written for ${setup.run}, and would work there: the folder was moved or copied since.`,
    );
  }
  const { units: all, stages } = await progressOf(run);
  const missing = new Set(all.flatMap(({ id, state }) => (state === "done" ? [] : [id])));
  const isFinished = stages.every(({ finished }) => finished);
  const list = isFinished ? [] : submissions(listsOf(units), (id) => missing.has(id), setup, await mostTasks());
  const scripts = ["merge.sh", ...UNIT_KINDS.map((kind) => `${kind}.sh`)].map((name) => join(place, name));
  return {
    folder: run,
    jobName: nameOf(run, plan, setup),
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
    const script = await readFile(join(place, scriptOf(one)), "utf8");
    const said = await slurm(
      "sbatch",
      sbatchArguments(one, (at) => jobs[at] as string),
      { cwd: place, without: overridden(script) },
    ).catch((error) => {
      if (!(error instanceof InwardError) || error.code !== "SLURM_REFUSED") throw error;
      throw new InwardError(
        "SLURM_REFUSED",
        `${error.message} ${jobs.length} of ${run.submissions.length} jobs are in the queue.`,
      );
    });
    const id = jobIdOf(said);
    if (id === undefined) {
      throw new InwardError(
        "SLURM_REFUSED",
        `sbatch said ${JSON.stringify(said.trim().slice(0, 200))}, which has no id of a job. ${jobs.length} of ${run.submissions.length} jobs, and perhaps this one, are in the queue.`,
      );
    }
    jobs.push(id);
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
  const name = nameOf(run, plan, await readSlurmSetup(join(run, SLURM_FOLDER)));
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
  const name = nameOf(run, plan, await readSlurmSetup(join(run, SLURM_FOLDER)));
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

/** What a line of squeue begins with that is a job; sites and federations print lines of their own. */
const QUEUED = "inward-job|";

async function queueOf(name: string): Promise<QueuedJob[]> {
  const said = await slurm("squeue", ["--noheader", `--name=${name}`, `--format=${QUEUED}%i|%T|%r|%N`]);
  const queue = said.split("\n").flatMap((line) => {
    if (!line.startsWith(QUEUED)) return [];
    const [id = "", state = "", reason = "", node = ""] = line.slice(QUEUED.length).trim().split("|");
    return [{ id, state, reason, node, tasks: queuedTasks(id) }];
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
/** A controller that is busy may take a minute; one that is lost never answers. */
const LONGEST_SECONDS = 120;

/** @throws SLURM_UNAVAILABLE where there is no such program, SLURM_REFUSED with what it said, or where it says nothing */
async function slurm(
  program: "sbatch" | "squeue" | "scancel" | "scontrol",
  args: readonly string[],
  { cwd, without = [] }: { readonly cwd?: string; readonly without?: readonly string[] } = {},
): Promise<string> {
  // A job's environment is kept by Slurm's controller: nothing secret goes there. And no job is a child of this process.
  const { INWARD_PARENT_PID: _, ...all } = childEnvironment();
  // A user's habits for these two would hide jobs.
  const isHabit = (name: string) => /^(SQUEUE|SCANCEL)_/.test(name) || without.includes(name);
  const env = Object.fromEntries(Object.entries(all).filter(([name]) => !isHabit(name)));
  return new Promise((done, failed) => {
    const child = execFile(program, args, { cwd, env, maxBuffer: MOST_OUTPUT }, (error, stdout, stderr) => {
      clearTimeout(patience);
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
    const patience = setTimeout(() => {
      failed(new InwardError("SLURM_REFUSED", `${program} has not answered for ${LONGEST_SECONDS} s.`));
      child.kill("SIGKILL");
      // What it started itself may hold them open.
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, 1000 * LONGEST_SECONDS);
  });
}
