/** A run's folder: the names of its files, its plan, its lock, and which stages are done. Sorted by name it is the diagram. */

import { createHash } from "node:crypto";
import { appendFileSync, closeSync, createReadStream, existsSync, openSync } from "node:fs";
import { access, lstat, readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { z } from "zod";
import {
  APPENDING,
  hashOf,
  movedAway,
  makeFolder,
  readError,
  readJson,
  removePartials,
  seenOf,
  writeError,
  writeJson,
} from "../base/files.js";
import { type RunLock, runLockHolder, takeRunLock } from "../base/lock.js";
import { isRecord, shown } from "../base/untrusted.js";
import { INWARD_VERSION } from "../base/version.js";
import { InwardError } from "../errors.js";
import { type Plan, readPlan } from "../study/plan.js";

export const RUN_FILES = {
  plan: "01-plan.json",
  judgedLabels: "02-judged-labels.jsonl",
  judges: "02-judges.json",
  objectLevel: "02-object-level.jsonl",
  challenged: "02-challenged.jsonl",
  judged: "02-judged.jsonl",
  behaviors: "03-behaviors.jsonl",
  objectLevelAdapted: "06-object-level-adapted.jsonl",
  challengedAdapted: "06-challenged-adapted.jsonl",
  judgedAdapted: "06-judged-adapted.jsonl",
  behaviorsAdapted: "06-behaviors-adapted.jsonl",
  objectLevelReadapted: "06-object-level-readapted.jsonl",
  challengedReadapted: "06-challenged-readapted.jsonl",
  judgedReadapted: "06-judged-readapted.jsonl",
  behaviorsReadapted: "06-behaviors-readapted.jsonl",
  hypothetical: "07-hypothetical.jsonl",
  inputOnly: "07-input-only.json",
  noiseFloor: "07-noise-floor.json",
  distributions: "07-distributions.jsonl",
  logprobDifferences: "07-logprob-differences.jsonl",
  patches: "07-patches.jsonl",
  lens: "07-lens.jsonl",
  lensTokens: "07-lens-tokens.jsonl",
  probes: "08-probes.json",
  probeFits: "08-probe-fits.jsonl",
  lensScores: "08-lens.json",
  simulation: "08-simulation.json",
  inside: "07-inside.jsonl",
  insideResults: "08-inside.json",
  injections: "07-injections.jsonl",
  injection: "08-injection.json",
  trials: "08-trials.jsonl",
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
  /** Of a model state, with an adapter or without: a folder of its own, of which this file says what it holds. */
  states: ["07-states", "/states.json"],
  /** The same of object-level prompts, of whom something is written into others. */
  donorStates: ["07-donor-states", "/states.json"],
  /** The same of prompts whose answers are taken apart. */
  insideStates: ["07-inside-states", "/states.json"],
  /** The same of whole prompts, gone when lenses have read them. */
  lensStates: ["07-lens-states", "/states.json"],
  /** Of a model state: the concepts' vectors. */
  injectionVectors: ["07-injection-vectors", ".safetensors"],
} as const;

/** Folder of a run whose stages are done in units, by several processes: theirs until a stage's pieces are put together. */
export const UNITS_FOLDER = "units";

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
    /** Absent of a run that is only looked at. */
    private readonly lock?: RunLock,
    private readonly hashes = new FileHashes(),
    /** Files that stand in another folder, under the names that they have here. */
    private readonly moved?: { readonly folder: string; readonly files: ReadonlySet<RunFile> },
  ) {}

  /**
   * Opens the folder of this plan's run, or begins it.
   * @throws STORE_LOCKED, STORE_OTHER_PLAN, STORE_UNWRITABLE, STORE_DISK_FULL, STORE_CORRUPT
   */
  static async create(path: string, plan: Plan): Promise<RunFolder> {
    const folder = resolve(path);
    makeFolder(folder);
    await requireOwnFiles(folder);
    const lock = await takeRunLock(folder);
    try {
      await removePartials(folder);
      for (const name of FOLDERS) if (existsSync(join(folder, name))) await removePartials(join(folder, name));
      const planPath = join(folder, RUN_FILES.plan);
      if (await exists(planPath)) {
        const there = await readJson<{ readonly study?: unknown; readonly inwardVersion?: unknown }>(planPath);
        if (hashOf(there) !== hashOf(plan)) {
          if (hashOf({ ...there, inwardVersion: plan.inwardVersion }) === hashOf(plan))
            throw otherVersion(folder, there);
          const study = typeof there.study === "string" ? ` (study ${shown(there.study)})` : "";
          throw new InwardError("STORE_OTHER_PLAN", `${folder} holds a run of another plan${study}.`);
        }
      } else {
        await writeJson(planPath, plan);
      }
      return new RunFolder(folder, plan, await readMarks(folder), lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Opens a run that is there. @throws STORE_NOT_A_RUN, STORE_LOCKED, STORE_CORRUPT */
  static async open(path: string): Promise<RunFolder> {
    const { folder, plan } = await readFolder(path);
    return RunFolder.create(folder, plan);
  }

  /**
   * Opens a run to look at it, also one that another process is working in: nothing is locked, tidied or mended, and nothing may be
   * written through it. What is finished while it is open is not seen: open it again.
   * @throws STORE_NOT_A_RUN, STORE_CORRUPT
   */
  static async look(path: string): Promise<RunFolder> {
    const { folder, plan } = await readFolder(path);
    return new RunFolder(folder, plan, (await readSoundMarks(folder)).marks);
  }

  /**
   * Reads from a run: nothing is locked or written, so that it also works where nobody may write, and beside a process at work. What `work` has
   * read is of one moment: a file that was made anew meanwhile is refused.
   * @throws STORE_NOT_A_RUN, STORE_CORRUPT, STORE_LOCKED another process has made anew what was read; what `work` throws
   */
  static async read<Result>(path: string, work: (run: RunFolder) => Promise<Result>): Promise<Result> {
    const run = await RunFolder.look(path);
    try {
      const result = await work(run);
      const changed = await run.hashes.changed();
      if (changed === undefined) return result;
      throw new InwardError("STORE_LOCKED", `Another process has made ${changed} anew while it was read.`);
    } catch (error) {
      const holder = isCorrupt(error) ? runLockHolder(run.path) : undefined;
      if (!holder) throw error;
      const who = `Process ${holder.pid} on ${holder.host} is working in ${run.path}`;
      throw new InwardError("STORE_LOCKED", `${who}: ${(error as InwardError).message}`, { cause: error });
    }
  }

  /** The same run as it is now: what was finished since this one was opened is seen. Nothing is locked. @throws STORE_CORRUPT */
  async lookAgain(): Promise<RunFolder> {
    return new RunFolder(this.path, this.plan, (await readSoundMarks(this.path)).marks, undefined, this.hashes);
  }

  /** The same run, of which these files stand in another folder: whoever works through it writes only there. */
  within(folder: string, files: readonly RunFile[]): RunFolder {
    const moved = { folder, files: new Set(files) };
    return new RunFolder(this.path, this.plan, this.marks, undefined, this.hashes, moved);
  }

  file(name: RunFile): string {
    const folder = this.moved?.files.has(name) ? this.moved.folder : this.path;
    return join(folder, RunFolder.nameOf(name));
  }

  /** Its path within a run. */
  static nameOf(name: RunFile): string {
    const slash = name.indexOf("/");
    if (slash < 0) return RUN_FILES[name as keyof typeof RUN_FILES];
    const [folder, ending] = ADAPTER_FILES[name.slice(0, slash) as keyof typeof ADAPTER_FILES];
    return join(folder, `${name.slice(slash + 1)}${ending}`);
  }

  /** sha256 of a file, remembered as long as the file system says that it is the same; undefined where there is none. @throws STORE_CORRUPT */
  sha256Of(path: string): Promise<string | undefined> {
    return this.hashes.of(path);
  }

  /** Whether a stage's files are there, whole, and made from these inputs. @throws STORE_CORRUPT when one was changed since */
  async isDone(files: readonly RunFile[], inputs: unknown): Promise<boolean> {
    const hash = hashOf(inputs);
    for (const file of files) {
      const mark = this.marks.get(file);
      if (mark?.inputs !== hash) return false;
      const sha256 = await this.hashes.of(this.file(file));
      if (sha256 === undefined) return false;
      if (sha256 !== mark.sha256) throw this.changed(file);
    }
    return true;
  }

  /** @param beside files that grow with every stage of a kind: marked as they are now, in the same moment */
  async markDone(files: readonly RunFile[], inputs: unknown, beside: readonly RunFile[] = []): Promise<void> {
    for (const file of beside) {
      const sha256 = await this.hashes.of(this.file(file));
      if (sha256 !== undefined) this.marks.set(file, { inputs: hashOf({}), sha256 });
    }
    for (const file of files) {
      const sha256 = await this.hashes.of(this.file(file));
      if (sha256 === undefined) throw new InwardError("STORE_INCOMPLETE", `${this.file(file)} is gone.`);
      this.marks.set(file, { inputs: hashOf(inputs), sha256 });
    }
    await this.writeMarks();
  }

  /** What is about to be made anew is not finished: a half of it would be taken for a whole one that somebody has changed. */
  async unmark(files: readonly RunFile[]): Promise<void> {
    const marked = files.filter((file) => this.marks.delete(file));
    if (marked.length > 0 || this.hasForgotten) await this.writeMarks();
  }

  private async writeMarks(): Promise<void> {
    await this.requireInPlace();
    const sorted = [...this.marks].sort(([a], [b]) => (a < b ? -1 : 1));
    await writeJson(this.file("stages"), Object.fromEntries(sorted));
    this.hasForgotten = false;
  }

  /** Runs of before a file was marked have no mark of it. */
  isMarked(file: RunFile): boolean {
    return this.marks.has(file);
  }

  /** Makes a stage that needs no model run again: the same inputs may be scored by newer code. */
  forget(file: RunFile): void {
    if (this.marks.delete(file)) this.hasForgotten = true;
  }

  /** Whether stages.json has marks that are forgotten here. */
  private hasForgotten = false;

  /** sha256 of a finished stage's output: what later stages depend on. @throws STORE_INCOMPLETE */
  outputHash(file: RunFile): string {
    const mark = this.marks.get(file);
    if (mark) return mark.sha256;
    const path = this.file(file);
    const what =
      this.marks.size === 0 && existsSync(path)
        ? `${this.file("stages")}, which says whether ${path} is finished and unchanged, is missing or spoilt: nothing was checked. A run of the study recognises finished work again and asks nothing twice.`
        : `${path} is not finished.`;
    throw new InwardError("STORE_INCOMPLETE", what);
  }

  /** @throws STORE_INCOMPLETE when its stage is not done, STORE_CORRUPT when the file was changed or removed since */
  async requireUnchanged(file: RunFile): Promise<void> {
    const sha256 = this.outputHash(file);
    if ((await this.hashes.of(this.file(file))) !== sha256) throw this.changed(file);
  }

  /** @throws STORE_CORRUPT when a finished stage that reads no file was made from other inputs: the plan is not what it was */
  requirePlanOf(file: RunFile, inputs: unknown): void {
    const mark = this.marks.get(file);
    if (!mark || mark.inputs === hashOf(inputs)) return;
    throw new InwardError(
      "STORE_CORRUPT",
      `${this.file("plan")} was changed after ${this.file(file)} was made from it.`,
    );
  }

  /** @returns the error to throw where a finished file is not what its mark says */
  changed(file: RunFile): InwardError {
    return new InwardError("STORE_CORRUPT", `${this.file(file)} was changed after its stage had written it.`);
  }

  /**
   * That what is written stands in the folder that was opened, beside its plan.
   * @throws STORE_UNWRITABLE moved or removed · STORE_LOCKED in another's place · STORE_CORRUPT, STORE_INCOMPLETE another plan, or none
   */
  async requireInPlace(): Promise<void> {
    if (this.lock) {
      await this.lock.require();
      await this.requirePlan();
    } else if (!existsSync(this.path)) throw movedAway(this.path);
  }

  /**
   * What is made would be of the plan that was opened, and would stand beside another.
   * @throws STORE_CORRUPT, STORE_INCOMPLETE where it was removed
   */
  private async requirePlan(): Promise<void> {
    const path = this.file("plan");
    const sha256 = await this.hashes.of(path);
    if (sha256 !== undefined && sha256 === this.planSha256) return;
    if (sha256 === undefined) throw new InwardError("STORE_INCOMPLETE", `${path} was removed while it was worked on.`);
    if (hashOf(await readJson(path)) !== hashOf(this.plan)) {
      throw new InwardError("STORE_CORRUPT", `${path} was changed while it was worked on: it is another plan now.`);
    }
    this.planSha256 = sha256;
  }

  /** Of the plan's file, when it was last found to be this run's. */
  private planSha256: string | undefined;

  /** Work in the run. What fails because the folder is not where it was says so, and not what it did not find. @throws as requireInPlace */
  async inPlace<Result>(work: () => Promise<Result>): Promise<Result> {
    await this.requireInPlace();
    try {
      return await work();
    } catch (error) {
      await this.requireInPlace();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.lock?.release();
  }
}

/** Answers of two versions in one run would be taken for one's. */
function otherVersion(folder: string, { inwardVersion }: { readonly inwardVersion?: unknown }): InwardError {
  return new InwardError(
    "STORE_OTHER_PLAN",
    `${folder} was planned by inward ${shown(inwardVersion)}, and this is ${INWARD_VERSION}: one version asks a whole run. That one goes on with it; this one scores and reports what is finished.`,
  );
}

/** @throws STORE_OTHER_PLAN a run that another version of inward is asking */
export function requireOwnVersion({ path, plan }: Pick<RunFolder, "path" | "plan">): void {
  if (plan.inwardVersion !== INWARD_VERSION) throw otherVersion(path, plan);
}

async function readFolder(path: string): Promise<{ readonly folder: string; readonly plan: Plan }> {
  const folder = resolve(path);
  const planPath = join(folder, RUN_FILES.plan);
  if (!(await exists(planPath))) throw new InwardError("STORE_NOT_A_RUN", `${folder} is not a run folder.`);
  await requireOwnFiles(folder);
  const plan = await readJson(planPath);
  if (isRecord(plan) && plan.quantizeVersion !== undefined) {
    throw new InwardError(
      "STORE_NOT_A_RUN",
      `${folder} is a benchmark of quantized files, which npx inward view shows; where it asked questions, the run of its answers is ${join(folder, "02-answers")}.`,
    );
  }
  return { folder, plan: readPlan(plan, planPath) };
}

/** Hashes each file once, as long as it stays the same to the file system. */
class FileHashes {
  private readonly known = new Map<string, { readonly seen: string; readonly sha256: string }>();

  /** @returns hex; undefined when there is no such file @throws STORE_CORRUPT for what is no plain file · STORE_UNREADABLE, MACHINE_LIMIT */
  async of(path: string): Promise<string | undefined> {
    const found = await lstat(path, { bigint: true }).catch((error) => {
      if (error.code === "ENOENT") return undefined;
      throw readError(error.code, path);
    });
    if (!found) return undefined;
    if (!found.isFile()) throw notPlain(path, found);
    const seen = seenOf(found);
    const known = this.known.get(path);
    if (known?.seen === seen) return known.sha256;
    const hash = createHash("sha256");
    try {
      // In pieces: an adapter of a large model is too big for one read.
      for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
    } catch (error) {
      throw readError((error as NodeJS.ErrnoException).code ?? String(error), path);
    }
    const sha256 = hash.digest("hex");
    this.known.set(path, { seen, sha256 });
    return sha256;
  }

  /** @returns a file that is another than when it was hashed, or gone; undefined where all are the same */
  async changed(): Promise<string | undefined> {
    for (const [path, { seen }] of this.known) {
      const found = await lstat(path, { bigint: true }).catch(() => undefined);
      if (found === undefined || seenOf(found) !== seen) return path;
    }
    return undefined;
  }
}

function isCorrupt(error: unknown): boolean {
  return error instanceof InwardError && error.code === "STORE_CORRUPT";
}

function notPlain(path: string, found: { isSymbolicLink(): boolean; isDirectory(): boolean }): InwardError {
  const what = found.isSymbolicLink() ? "a symbolic link" : found.isDirectory() ? "a folder" : "no plain file";
  return new InwardError("STORE_CORRUPT", `${path} is ${what}; a run writes and reads plain files of its own there.`);
}

const FOLDERS = new Set<string>([RUN_FILES.figures, ...Object.values(ADAPTER_FILES).map(([folder]) => folder)]);
const FILES = new Set<string>([...Object.values(RUN_FILES).filter((name) => !FOLDERS.has(name)), "run.lock"]);

/**
 * What stands under a run's names are files and folders of its own: through a link it would write elsewhere.
 * @throws STORE_CORRUPT, STORE_UNWRITABLE
 */
async function requireOwnFiles(folder: string): Promise<void> {
  const within = (path: string, recursive = false) =>
    readdir(path, { withFileTypes: true, recursive }).catch((error) => {
      throw writeError(error, path);
    });
  for (const entry of await within(folder)) {
    const path = join(folder, entry.name);
    // Of a file system without hard links.
    const isLockFolder = entry.name === "run.lock" && entry.isDirectory();
    if (FILES.has(entry.name) && !entry.isFile() && !isLockFolder) throw notPlain(path, entry);
    if (!FOLDERS.has(entry.name) && entry.name !== UNITS_FOLDER) continue;
    if (!entry.isDirectory()) {
      throw new InwardError("STORE_CORRUPT", `${path} is ${entry.isFile() ? "a file" : "a link"}, not a folder.`);
    }
    // As many as there are units; each is looked at when it is used.
    if (entry.name === UNITS_FOLDER) continue;
    const stray = (await within(path, true)).find((inner) => !inner.isFile() && !inner.isDirectory());
    if (stray) throw notPlain(join(stray.parentPath, stray.name), stray);
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    ({ code }: NodeJS.ErrnoException) => {
      if (code === "EACCES" || code === "EIO" || code === "ESTALE") throw readError(code, path);
      return false;
    },
  );
}

const markSchema = z.strictObject({
  inputs: z.string().regex(/^[0-9a-f]{64}$/),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

/** A stages file that was lost or spoilt costs only checks: a run recognises finished work again from the files themselves. */
async function readMarks(folder: string): Promise<Map<string, StageMark>> {
  const { marks, found } = await readSoundMarks(folder);
  if (marks.size < found) await writeJson(join(folder, RUN_FILES.stages), Object.fromEntries(marks));
  return marks;
}

/** @returns the marks that are sound, and how many stand there */
async function readSoundMarks(
  folder: string,
): Promise<{ readonly marks: Map<string, StageMark>; readonly found: number }> {
  const path = join(folder, RUN_FILES.stages);
  const found = await readJson<Record<string, unknown>>(path, z.record(z.string(), z.unknown())).catch(() => ({}));
  const marks = new Map<string, StageMark>();
  for (const [file, mark] of Object.entries(found)) {
    const checked = markSchema.safeParse(mark);
    if (checked.success && isRunFile(file)) marks.set(file, checked.data);
  }
  return { marks, found: Object.keys(found).length };
}

function isRunFile(name: string): boolean {
  const [kind = "", adapter] = name.split("/", 2);
  return Object.hasOwn(adapter === undefined ? RUN_FILES : ADAPTER_FILES, kind);
}

// Timings and incidents of a run, appended to events.jsonl: everything about a run that may differ between two equal ones.

export class EventLog {
  constructor(private readonly path: string) {}

  add(event: string, details: Readonly<Record<string, unknown>> = {}): void {
    this.addRows([{ time: new Date().toISOString(), event, ...details }]);
  }

  /** As they are, in one write. */
  addRows(rows: readonly object[]): void {
    if (rows.length === 0) return;
    try {
      const file = openSync(this.path, APPENDING);
      try {
        appendFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
      } finally {
        closeSync(file);
      }
    } catch (error) {
      throw writeError(error, this.path);
    }
  }
}
