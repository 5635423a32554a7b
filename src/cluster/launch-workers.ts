/** Several processes on this machine over the units of one run: each has one model in memory, and what it has finished stays. */

import { appendFileSync, closeSync, openSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { APPENDING, makeFolder } from "../base/files.js";
import { InwardError } from "../errors.js";
import { builtScript, WorkerProcess } from "../model/worker-process.js";
import { deviceKind } from "../model/device.js";
import { EventLog, RunFolder, UNITS_FOLDER } from "../run/folder.js";
import type { WorkProgress } from "../run/open-model.js";
import {
  type AuthoredStudy,
  type FinishedRun,
  openContext,
  type PlannedStudy,
  planStudy,
  readFinished,
  runPlanned,
  type StudyOptions,
} from "../run/run-study.js";
import { stagesOf } from "../run/stages.js";
import type { Plan } from "../study/plan.js";
import { UnitMerger } from "./merge.js";
import { hasUnits, shardPath, writeSetUp } from "./shards.js";
import type { UnitMethods } from "./unit-worker.js";
import { type RunUnit, type UnitCut, unitsOfPlan } from "./units.js";

/** A run whose units may begin. */
export interface PreparedUnits {
  /** Absolute path of the run. */
  readonly folder: string;
  readonly plan: Plan;
  readonly units: readonly RunUnit[];
  readonly cut: UnitCut;
}

/**
 * Begins the run folder of a study, or opens it, and writes down what units need to know. Nothing is asked. Where that was done before,
 * the cut that stands there holds.
 * @throws STORE_LOCKED, STORE_OTHER_PLAN, what would stop a stage (TRAIN_ADDON, PROBE_SITE, …)
 */
export async function prepareUnits(planned: PlannedStudy, cut?: UnitCut): Promise<PreparedUnits> {
  const run = await RunFolder.create(planned.folder, planned.plan);
  try {
    return await prepareIn(run, planned, cut);
  } finally {
    await run.close();
  }
}

async function prepareIn(run: RunFolder, planned: PlannedStudy, wanted?: UnitCut): Promise<PreparedUnits> {
  const { open, context } = openContext(run, { add: () => {} }, planned);
  try {
    for (const stage of stagesOf(run.plan)) await stage.ready?.(context);
  } finally {
    await open.close();
  }
  const { cut } = await writeSetUp(run.path, planned, wanted);
  return { folder: run.path, plan: run.plan, units: unitsOfPlan(run.plan, cut), cut };
}

/** @param wanted questions of a unit @returns what to say where units were cut otherwise before, and stay so */
export function otherCut(cut: UnitCut, wanted: number | undefined): string[] {
  if (wanted === undefined || wanted === cut.questions) return [];
  return [
    `Units of this run were cut at about ${cut.questions} questions before, and stay so; ${wanted} would want a new folder (--out).`,
  ];
}

/** Most workers of one machine: each is a process, with a model of its own. */
const MOST_WORKERS = 1024;

export interface WorkersOptions extends StudyOptions {
  readonly workers: number;
  /** A device of each worker, in turn: `cuda:0`, `vulkan:1`, `metal`, `cpu`. It sees no other. */
  readonly devices?: readonly string[];
  readonly cut?: UnitCut;
  /** Called once, before the first worker starts, with how the machine is shared out. */
  readonly onWorkers?: (said: string) => void;
}

/** Who does a run: this process, unless workers are wanted. */
export type Sharing = Partial<Pick<WorkersOptions, "workers" | "devices" | "cut" | "onWorkers">>;

/** A whole study by this process, or by several where they are wanted or have begun. @throws as runStudy and runWithWorkers */
export async function runShared(study: string | AuthoredStudy, options: StudyOptions & Sharing): Promise<FinishedRun> {
  const planned = await planStudy(study, options);
  const { workers, devices, cut, onWorkers } = options;
  if (workers !== undefined) return runWithWorkers(planned, { ...options, workers, devices, cut, onWorkers });
  if (!hasUnits(planned.folder)) return runPlanned(planned, options);
  onWorkers?.("This run was begun by several workers; one goes on with what is not done.");
  return runWithWorkers(planned, { ...options, workers: 1 });
}

/** A unit is begun so often before the run is given up. */
const ATTEMPTS = 3;

/**
 * The same run as `runPlanned`, by several processes. The same call goes on where one was stopped.
 * @throws as runPlanned · USAGE devices of another kind, more workers than a machine has · UNIT_FAILED a unit's process died each time
 */
export async function runWithWorkers(planned: PlannedStudy, options: WorkersOptions): Promise<FinishedRun> {
  if (options.workers > MOST_WORKERS) {
    throw new InwardError("USAGE", `${options.workers} workers are wanted; one machine has at most ${MOST_WORKERS}.`);
  }
  // Before anything is written.
  await mostAtOnce(planned.plan.engine, options);
  const run = await RunFolder.create(planned.folder, planned.plan);
  const events = new EventLog(run.file("events"));
  try {
    options.onPlanned?.(planned);
    const prepared = await prepareIn(run, planned, options.cut);
    for (const said of otherCut(prepared.cut, options.cut?.questions)) options.onWorkers?.(said);
    events.add("run_begun", { pid: process.pid, workers: options.workers, devices: options.devices });
    const launcher = await Launcher.of(run, prepared, options, events);
    await run.inPlace(() => launcher.work());
    events.add("run_done");
  } finally {
    await run.close();
  }
  return readFinished(run);
}

/** How the machine is shared out. */
interface Shares {
  /** Of our own forward pass, for each worker; absent where the plan's are kept. */
  readonly threads?: number;
  /** Units that keep the plan's threads and may be under way at once. */
  readonly most: number;
  readonly said: string;
}

/** How many processes that keep the plan's threads may be under way at once. @throws USAGE devices of another kind than the study's */
export async function mostAtOnce(
  { device, threads }: Pick<Plan["engine"], "device" | "threads">,
  { workers, devices }: Pick<WorkersOptions, "workers" | "devices">,
): Promise<{ readonly most: number; readonly kind: string }> {
  const kind = await deviceKind(device);
  const other = devices?.find((one) => one.split(":")[0] !== kind);
  if (other !== undefined) {
    throw new InwardError(
      "USAGE",
      `--devices has ${other}, and with engine.device ${device} the study runs on ${kind} here; npx inward doctor says which devices there are.`,
    );
  }
  return {
    kind,
    most: kind === "cpu" ? Math.max(1, Math.min(workers, Math.floor(availableParallelism() / threads))) : workers,
  };
}

async function sharesOf(plan: Plan, { workers, devices }: WorkersOptions): Promise<Shares> {
  const cores = availableParallelism();
  const { threads, forward } = plan.engine;
  const on = devices ? `, on ${devices.join(", ")}` : "";
  const who = `${workers} ${workers === 1 ? "worker" : "workers"}${on}`;
  const { most, kind } = await mostAtOnce(plan.engine, { workers, devices });
  if (kind !== "cpu") return { most, said: `${who}: each with the plan's ${threads} threads.` };
  const fixed = `training${forward === "own" ? "" : ", asking"} and captured states keep the plan's ${threads}, ${most} at once`;
  if (forward !== "own") return { most, said: `${who} on ${cores} cores: ${fixed}.` };
  const share = Math.max(1, Math.min(threads, Math.floor(cores / workers)));
  return { threads: share, most, said: `${who} on ${cores} cores: asking with ${share} each; ${fixed}.` };
}

const VISIBLE: Readonly<Record<string, string>> = { cuda: "CUDA_VISIBLE_DEVICES", vulkan: "GGML_VK_VISIBLE_DEVICES" };

/** What a process reads that is to see one device alone. @throws USAGE */
export function environmentOf(device: string | undefined): Record<string, string> {
  if (device === undefined) return {};
  const [, kind = "", number] = /^(cpu|cuda|vulkan|metal)(?::(\d+))?$/.exec(device) ?? [];
  const variable = VISIBLE[kind];
  if (kind === "" || (variable === undefined) !== (number === undefined)) {
    throw new InwardError("USAGE", `--devices has "${device}"; it takes cuda:0, vulkan:1 and so on, metal, or cpu.`);
  }
  return variable === undefined || number === undefined ? {} : { [variable]: number };
}

type WorkerOfUnits = WorkerProcess<UnitMethods, WorkProgress>;

/** Waiting units of one model, those of one state beside each other. */
interface Queue {
  readonly units: RunUnit[];
}

class Launcher {
  private readonly queues = new Map<string, Queue>();
  private readonly attempts = new Map<string, number>();
  /** Units under way, by the number of their worker. */
  private readonly under = new Map<number, RunUnit>();
  private readonly progress = new Map<string, number>();
  /** Units that workers have done, and whose shards were not put together yet. */
  private readonly done = new Set<string>();
  private readonly queued = new Set<number>();
  /** The first error ends everything: what others have under way is kept as far as it is. */
  private failed: unknown;
  private readonly stop = new AbortController();
  private readonly signal: AbortSignal;

  private constructor(
    private readonly run: RunFolder,
    private readonly merger: UnitMerger,
    private readonly shares: Shares,
    private readonly options: WorkersOptions,
    private readonly events: EventLog,
  ) {
    const { signal } = options;
    this.signal = signal ? AbortSignal.any([signal, this.stop.signal]) : this.stop.signal;
  }

  static async of(
    run: RunFolder,
    { plan }: PreparedUnits,
    options: WorkersOptions,
    events: EventLog,
  ): Promise<Launcher> {
    const shares = await sharesOf(plan, options);
    options.onWorkers?.(shares.said);
    const merger = await UnitMerger.of(run, (stage, done, total, detail) =>
      options.onProgress?.({ stage, done, total, unit: "questions", detail }),
    );
    return new Launcher(run, merger, shares, options, events);
  }

  async work(): Promise<void> {
    makeFolder(join(this.run.path, UNITS_FOLDER, "logs"));
    await this.advance();
    if (this.merger.current === undefined) return;
    this.signal.addEventListener("abort", () => this.wakeAll());
    await Promise.all(Array.from({ length: this.options.workers }, (_, number) => this.worker(number)));
    if (this.options.signal?.aborted) {
      throw new InwardError("INTERRUPTED", "The workers were stopped; what they had finished is kept.");
    }
    if (this.failed !== undefined) throw this.failed;
  }

  private get isOver(): boolean {
    return this.signal.aborted || this.merger.current === undefined;
  }

  /** One after the other: shards of a stage are put together once. */
  private advancing: Promise<void> = Promise.resolve();
  private advance(): Promise<void> {
    this.advancing = this.advancing.then(async () => {
      for (const unit of await this.merger.advance()) {
        this.done.delete(unit.id);
        this.enqueue(unit);
      }
      for (const unit of this.merger.missing) this.doAgain(unit);
      for (const [at, cut] of this.merger.stages.entries()) {
        if (this.queued.has(at) || cut.units.length === 0 || !this.merger.isReady(cut)) continue;
        this.queued.add(at);
        for (const unit of cut.units) this.enqueue(unit);
      }
      this.wakeAll();
    });
    return this.advancing;
  }

  /** A shard that was there is gone: nobody else is at its unit, and the run would wait for it for ever. @throws UNIT_FAILED */
  private doAgain(unit: RunUnit): void {
    if (!this.done.delete(unit.id)) return;
    const count = this.count(unit);
    const message = `its shard ${shardPath(this.run.path, unit.id)} was moved or removed before it was put together`;
    this.events.add("unit_lost", { unit: unit.id, attempt: count, message });
    if (count >= ATTEMPTS)
      throw new InwardError("UNIT_FAILED", `${unit.id} (${unit.stage}) was done ${count} times: ${message}.`);
    this.enqueue(unit);
  }

  /** @returns how often the unit has come to nothing */
  private count({ id }: RunUnit): number {
    const count = (this.attempts.get(id) ?? 0) + 1;
    this.attempts.set(id, count);
    return count;
  }

  private enqueue(unit: RunUnit): void {
    const key = unit.model ?? "";
    const queue = this.queues.get(key) ?? { units: [] };
    queue.units.push(unit);
    this.queues.set(key, queue);
  }

  /** The next unit of the model that the worker has open, else of one that nobody has; where all are had, of the longest queue. */
  private take(model: string | undefined): RunUnit | undefined {
    const fixed = [...this.under.values()].filter((unit) => this.keepsThreads(unit)).length;
    const fits = (unit: RunUnit) => fixed < this.shares.most || !this.keepsThreads(unit);
    const had = new Set([...this.under.values()].map((unit) => unit.model ?? ""));
    const rank = ([name, { units }]: readonly [string, Queue]) =>
      (name === model ? 2 ** 40 : 0) + (had.has(name) ? 0 : 2 ** 30) + units.length;
    const open = [...this.queues].filter(([, { units }]) => units.some(fits)).sort((a, b) => rank(b) - rank(a));
    const queue = open[0]?.[1];
    const at = queue?.units.findIndex(fits) ?? -1;
    return at < 0 ? undefined : queue?.units.splice(at, 1)[0];
  }

  private keepsThreads({ kind, writes }: RunUnit): boolean {
    return this.shares.threads === undefined || !(kind === "asked" || writes.includes("noiseFloor"));
  }

  private waking: (() => void)[] = [];
  private wakeAll(): void {
    const all = this.waking;
    this.waking = [];
    for (const wake of all) wake();
  }

  private async worker(number: number): Promise<void> {
    let process: WorkerOfUnits | undefined;
    let model: string | undefined;
    try {
      while (!this.isOver) {
        const unit = this.take(model);
        if (unit === undefined) {
          await new Promise<void>((resolve) => this.waking.push(resolve));
          continue;
        }
        this.under.set(number, unit);
        try {
          process ??= await this.start(number);
          await this.doUnit(process, unit);
          this.done.add(unit.id);
          model = unit.model;
          this.under.delete(number);
          await this.advance().catch((error) => this.fail(error));
        } catch (error) {
          this.under.delete(number);
          const died = process;
          process = undefined;
          model = undefined;
          await died?.end();
          this.onFailure(unit, number, error);
          this.wakeAll();
        }
      }
    } catch (error) {
      // Such as a run folder that is gone: others are not left waiting, nor their processes alive.
      this.fail(error);
    } finally {
      this.under.delete(number);
      this.wakeAll();
      await process?.end();
    }
  }

  private async start(number: number): Promise<WorkerOfUnits> {
    const { devices } = this.options;
    const log = this.logOf(number);
    const started: WorkerOfUnits = new WorkerProcess<UnitMethods, WorkProgress>({
      script: builtScript("./unit-worker.js", import.meta.url),
      owner: "run",
      crashCode: "UNIT_FAILED",
      // A group of a slow model may take longer, and is asked again then.
      stopSeconds: 30,
      env: environmentOf(devices?.[number % devices.length]),
      onLog: (text) => keep(log, text),
    });
    try {
      await started.remote.open(this.run.path);
      return started;
    } catch (error) {
      await started.end();
      throw error;
    }
  }

  private logOf(number: number): string {
    return join(this.run.path, UNITS_FOLDER, "logs", `worker-${number + 1}.log`);
  }

  private async doUnit(process: WorkerOfUnits, unit: RunUnit): Promise<void> {
    const { threads } = this.shares;
    const own = threads === undefined || this.keepsThreads(unit) ? {} : { threads };
    await process.call("do", [unit.id, own], {
      signal: this.signal,
      onNote: ({ done }) => {
        this.progress.set(unit.id, done);
        this.tell(unit);
      },
    });
    this.progress.set(unit.id, unit.questions ?? 0);
  }

  /** How far the unit's stage is. */
  private tell({ stage: name }: RunUnit): void {
    const cut = this.merger.stages.find(({ stage }) => stage.name === name);
    if (!cut) return;
    const done = cut.units.reduce((sum, { id }) => sum + (this.progress.get(id) ?? 0), 0);
    const total = cut.units.reduce((sum, { questions = 0 }) => sum + questions, 0);
    const unit = name.startsWith("training ") ? "steps" : "questions";
    const detail = `${this.under.size} of ${this.options.workers} workers at work`;
    this.options.onProgress?.({ stage: name, done, ...(total >= done ? { total } : {}), unit, detail });
  }

  private fail(error: unknown): void {
    this.failed ??= error;
    this.stop.abort();
  }

  private onFailure(unit: RunUnit, number: number, error: unknown): void {
    if (this.signal.aborted) return;
    const isDeath = error instanceof InwardError && (error.code === "UNIT_FAILED" || error.code === "ENGINE_CRASHED");
    const count = this.count(unit);
    const message = error instanceof Error ? error.message : String(error);
    this.events.add("unit_ended", { unit: unit.id, attempt: count, worker: number + 1, message });
    if (isDeath && count < ATTEMPTS) {
      this.enqueue(unit);
      return;
    }
    const what = `${unit.id} (${unit.stage}) ended ${count} times without being done; its log: ${this.logOf(number)}. ${message}`;
    this.fail(isDeath ? new InwardError("UNIT_FAILED", what, { cause: error }) : error);
  }
}

/** A log that cannot be kept is no reason to stop. */
function keep(path: string, text: string): void {
  try {
    const file = openSync(path, APPENDING);
    try {
      appendFileSync(file, text);
    } finally {
      closeSync(file);
    }
  } catch {}
}
