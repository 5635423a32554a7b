/** A run's folder: the names of its files, its plan, its lock, and which stages are done. Sorted by name it is the diagram. */

import { createHash } from "node:crypto";
import { appendFileSync, createReadStream } from "node:fs";
import { access, mkdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { hashOf, readJson, removePartials, writeError, writeJson } from "../base/files.js";
import { takeRunLock } from "../base/lock.js";
import { InwardError } from "../errors.js";
import type { Plan } from "../study/plan.js";

export const RUN_FILES = {
  plan: "01-plan.json",
  objectLevel: "02-object-level.jsonl",
  challenged: "02-challenged.jsonl",
  behaviors: "03-behaviors.jsonl",
  objectLevelAdapted: "06-object-level-adapted.jsonl",
  challengedAdapted: "06-challenged-adapted.jsonl",
  behaviorsAdapted: "06-behaviors-adapted.jsonl",
  objectLevelReadapted: "06-object-level-readapted.jsonl",
  challengedReadapted: "06-challenged-readapted.jsonl",
  behaviorsReadapted: "06-behaviors-readapted.jsonl",
  hypothetical: "07-hypothetical.jsonl",
  inputOnly: "07-input-only.json",
  noiseFloor: "07-noise-floor.json",
  distributions: "07-distributions.jsonl",
  logprobDifferences: "07-logprob-differences.jsonl",
  scores: "08-scores.json",
  comparisons: "08-comparisons.json",
  calibration: "08-calibration.json",
  matrix: "08-matrix.json",
  shifts: "08-shifts.json",
  experiments: "08-experiments.json",
  report: "09-report.html",
  reportMarkdown: "09-report.md",
  figures: "figures",
  manifest: "manifest.json",
  stages: "stages.json",
  events: "events.jsonl",
} as const;

/** Folder and ending of what a run has one of for every adapter; the adapter's name stands between them. */
export const ADAPTER_FILES = {
  finetuneSet: ["04-finetune-sets", ".jsonl"],
  finetuneSetReport: ["04-finetune-sets", ".report.json"],
  adapter: ["05-adapters", ".gguf"],
  adapterCard: ["05-adapters", ".card.json"],
  /** A folder of the trainer's own, gone when the adapter is there. */
  checkpoint: ["05-adapters", ".checkpoint"],
} as const;

/** A file of the run, or `<kind>/<adapter>` for one of an adapter's. */
export type RunFile = keyof typeof RUN_FILES | `${keyof typeof ADAPTER_FILES}/${string}`;

/** What a finished stage was made from, and what it made. */
interface StageMark {
  readonly inputs: string;
  readonly sha256: string;
}

export class RunFolder {
  private constructor(
    readonly path: string,
    readonly plan: Plan,
    private readonly marks: Map<string, StageMark>,
    private readonly unlock: () => Promise<void>,
  ) {}

  /**
   * Opens the folder of this plan's run, or begins it.
   * @throws STORE_LOCKED, STORE_OTHER_PLAN, STORE_UNWRITABLE, STORE_DISK_FULL, STORE_CORRUPT
   */
  static async create(path: string, plan: Plan): Promise<RunFolder> {
    const folder = resolve(path);
    await mkdir(folder, { recursive: true }).catch((error) => {
      throw writeError(error, folder);
    });
    const unlock = await takeRunLock(folder);
    try {
      await removePartials(folder);
      const planPath = join(folder, RUN_FILES.plan);
      if (await exists(planPath)) {
        const there = await readJson<Plan>(planPath);
        if (hashOf(there) !== hashOf(plan)) {
          throw new InwardError("STORE_OTHER_PLAN", `${folder} holds a run of another plan (study "${there.study}").`);
        }
      } else {
        await writeJson(planPath, plan);
      }
      return new RunFolder(folder, plan, await readMarks(folder), unlock);
    } catch (error) {
      await unlock();
      throw error;
    }
  }

  /** Opens a run that is there. @throws STORE_NOT_A_RUN, STORE_LOCKED, STORE_CORRUPT */
  static async open(path: string): Promise<RunFolder> {
    const folder = resolve(path);
    if (!(await exists(join(folder, RUN_FILES.plan)))) {
      throw new InwardError("STORE_NOT_A_RUN", `${folder} is not a run folder.`);
    }
    const plan = await readJson<Plan>(join(folder, RUN_FILES.plan));
    if (plan.planVersion !== 1 || !Array.isArray(plan.tasks)) {
      throw new InwardError("STORE_CORRUPT", `${join(folder, RUN_FILES.plan)} is not a plan of version 1.`);
    }
    return RunFolder.create(folder, plan);
  }

  file(name: RunFile): string {
    const slash = name.indexOf("/");
    if (slash < 0) return join(this.path, RUN_FILES[name as keyof typeof RUN_FILES]);
    const [folder, ending] = ADAPTER_FILES[name.slice(0, slash) as keyof typeof ADAPTER_FILES];
    return join(this.path, folder, `${name.slice(slash + 1)}${ending}`);
  }

  /** Whether a stage's output is there, whole, and made from these inputs. @throws STORE_CORRUPT when it was changed since */
  async isDone(name: RunFile, inputs: unknown): Promise<boolean> {
    const mark = this.marks.get(name);
    if (!mark || mark.inputs !== hashOf(inputs)) return false;
    const sha256 = await sha256Of(this.file(name)).catch(() => undefined);
    if (sha256 === undefined) return false;
    if (sha256 !== mark.sha256) {
      throw new InwardError("STORE_CORRUPT", `${this.file(name)} was changed after its stage had written it.`);
    }
    return true;
  }

  async markDone(name: RunFile, inputs: unknown): Promise<void> {
    const sha256 = await sha256Of(this.file(name));
    this.marks.set(name, { inputs: hashOf(inputs), sha256 });
    const sorted = [...this.marks].sort(([a], [b]) => (a < b ? -1 : 1));
    await writeJson(this.file("stages"), Object.fromEntries(sorted));
  }

  /** Makes a stage that needs no model run again: the same inputs may be scored by newer code. */
  forget(name: RunFile): void {
    this.marks.delete(name);
  }

  /** sha256 of a finished stage's output: what later stages depend on. @throws STORE_INCOMPLETE */
  outputHash(name: RunFile): string {
    const mark = this.marks.get(name);
    if (!mark) throw new InwardError("STORE_INCOMPLETE", `${this.file(name)} is not finished.`);
    return mark.sha256;
  }

  async close(): Promise<void> {
    await this.unlock();
  }
}

/** Hex. In pieces: an adapter of a large model is too big for one read. */
async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  return hash.digest("hex");
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** A stages file that was lost or spoilt costs only checks: finished work is recognised again from the files themselves. */
async function readMarks(folder: string): Promise<Map<string, StageMark>> {
  const path = join(folder, RUN_FILES.stages);
  try {
    return new Map(Object.entries(await readJson<Record<string, StageMark>>(path)));
  } catch {
    await rm(path, { force: true });
    return new Map();
  }
}

// Timings and incidents of a run, appended to events.jsonl: everything about a run that may differ between two equal ones.

export class EventLog {
  constructor(private readonly path: string) {}

  add(event: string, details: Readonly<Record<string, unknown>> = {}): void {
    try {
      appendFileSync(this.path, `${JSON.stringify({ time: new Date().toISOString(), event, ...details })}\n`);
    } catch (error) {
      throw writeError(error, this.path);
    }
  }
}
