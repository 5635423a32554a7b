/**
 * The folder of a run's units, where no lock is held: who works at a unit writes to a folder of its own, an attempt, and one renaming
 * makes of it the unit's shard. An attempt says who is at work and keeps nobody else from the same unit.
 */

import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { lstat, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import {
  hashOf,
  makeFolder,
  readError,
  readJson,
  readJsonLines,
  writeError,
  writeJson,
  writeJsonLines,
} from "../base/files.js";
import { hasSurelyEnded, thisProcess, type WorkingProcess, workingProcessSchema } from "../base/lock.js";
import { InwardError } from "../errors.js";
import { requireOwnVersion, type RunFolder, UNITS_FOLDER } from "../run/folder.js";
import { manifestSchema, type RunManifest } from "../run/open-models.js";
import type { PlannedStudy } from "../run/run-study.js";
import type { GivenReplies } from "../study/elsewhere.js";
import type { ModelFile, Plan } from "../study/plan.js";
import { DEFAULT_CUT, type RunUnit, type UnitCut } from "./units.js";

// What units need besides the plan: how stages are cut, where the models' files are, what was said elsewhere.

const setUpSchema = z.object({
  what: z.literal("units"),
  planHash: z.string(),
  cut: z.object({ questions: z.int().min(1) }),
  /** Paths, by the plan's name of the model, on the machine that planned; machines that share the folder share these. */
  models: z.record(z.string(), z.object({ path: z.string(), adapterPath: z.string().optional() })),
  /** Of lenses of files, by name. */
  lensPaths: z.record(z.string(), z.string()).default({}),
  /** Of files of directions, by concept. */
  vectorPaths: z.record(z.string(), z.string()).default({}),
  cache: z.boolean(),
  /** Whether there are replies that were given elsewhere. */
  given: z.boolean(),
  /** Of all of them; absent in older runs. */
  givenHash: z.string().optional(),
});
export type UnitsSetUp = z.infer<typeof setUpSchema>;

const setUpPath = (folder: string) => join(folder, UNITS_FOLDER, "setup.json");
const givenPath = (folder: string) => join(folder, UNITS_FOLDER, "given.jsonl");

/** Whether a run's stages are done in units. */
export function hasUnits(folder: string): boolean {
  return existsSync(setUpPath(folder));
}

/** Of a run whose units have begun, the cut that stands there holds: its shards are pieces of that. */
export async function writeSetUp(folder: string, planned: PlannedStudy, cut?: UnitCut): Promise<UnitsSetUp> {
  const { planHash, models, given, lensPaths, vectorPaths, cache } = planned;
  const before = hasUnits(folder) ? await readSetUp(folder) : undefined;
  if (before && before.planHash !== planHash) throw otherPlan(folder);
  const places = Object.entries(models).map(([name, { path, adapterPath }]) => [name, { path, adapterPath }] as const);
  const setUp: UnitsSetUp = {
    what: "units",
    planHash,
    cut: before?.cut ?? cut ?? DEFAULT_CUT,
    models: Object.fromEntries(places),
    lensPaths,
    vectorPaths,
    cache,
    given: given.size > 0,
    ...(given.size > 0 ? { givenHash: hashOf([...given]) } : {}),
  };
  makeFolder(join(folder, UNITS_FOLDER));
  if (given.size > 0)
    await writeJsonLines(
      givenPath(folder),
      [...given].map(([place, said]) => ({ place, said })),
    );
  await writeJson(setUpPath(folder), setUp);
  return setUp;
}

/** @throws UNITS_NONE, STORE_CORRUPT */
export async function readSetUp(folder: string): Promise<UnitsSetUp> {
  if (!hasUnits(folder)) {
    throw new InwardError("UNITS_NONE", `${folder} was not cut into units: one process does it.`);
  }
  return readJson<UnitsSetUp>(setUpPath(folder), setUpSchema);
}

/** @throws STORE_OTHER_PLAN units of another plan, or of one that another version of inward is asking */
export function requirePlanOfUnits(run: RunFolder, { planHash }: Pick<UnitsSetUp, "planHash">): void {
  if (planHash !== hashOf(run.plan)) throw otherPlan(run.path);
  requireOwnVersion(run);
}

/** While somebody works at them. */
export function unitsGone(folder: string): InwardError {
  return new InwardError(
    "STORE_UNWRITABLE",
    `${setUpPath(folder)} is not there any more: it was moved or removed while a unit was to be done.`,
  );
}

export function otherPlan(folder: string): InwardError {
  return new InwardError("STORE_OTHER_PLAN", `${folder} has units of another plan than its 01-plan.json.`);
}

/** The models' files as a planned study has them. */
export function modelsOf(plan: Plan, { models }: UnitsSetUp): Record<string, ModelFile> {
  const files = Object.entries(plan.models).map(([name, planned]) => [name, { path: "", ...planned, ...models[name] }]);
  return Object.fromEntries(files);
}

/** @throws STORE_CORRUPT where they are not there, or not those of the set-up: such an answer would count as in no log */
export async function readGiven(folder: string, { given, givenHash }: UnitsSetUp): Promise<GivenReplies> {
  if (!given) return new Map();
  type Line = { readonly place: string; readonly said: never };
  const path = givenPath(folder);
  const { rows } = await readJsonLines<Line>(path, z.object({ place: z.string(), said: z.unknown() }));
  const all = rows.map(({ place, said }) => [place, said] as const);
  if (all.length === 0 || (givenHash !== undefined && hashOf(all) !== givenHash))
    throw new InwardError("STORE_CORRUPT", `${path} does not hold the replies that the run was planned with.`);
  return new Map(all);
}

// Attempts.

const attemptSchema = z.object({
  unit: z.string(),
  /** Hash of all that the work follows from. */
  madeFrom: z.string(),
  by: workingProcessSchema,
  since: z.string(),
  heard: z.string(),
  done: z.number(),
  total: z.number(),
  /** Lines at its beginning that an earlier process had written to the run's own file. */
  kept: z.number(),
  /** Why it has ended without being done; absent as long as it may still work. */
  ended: z.string().optional(),
});
type AttemptRecord = z.infer<typeof attemptSchema>;
const ATTEMPT = "attempt.json";
const WORK = /^(\d+)\.work-.+$/;
/** Milliseconds between two words of an attempt. */
const SPEAK_EVERY = 5000;

/** Where a unit's files are, without their endings. */
export function placeOfUnit(folder: string, id: string): string {
  return join(folder, UNITS_FOLDER, id);
}

/** Of the folder's unit, what others have begun. */
export interface FoundAttempt extends AttemptRecord {
  readonly folder: string;
}

/** One process's work at a unit. */
export class UnitAttempt {
  private spoke = performance.now();

  private constructor(
    readonly folder: string,
    private record: AttemptRecord,
  ) {}

  /** @param from an attempt that surely goes on no more: its folder becomes this one's; another process may be quicker */
  static async begin(run: string, unit: string, madeFrom: string, from?: FoundAttempt): Promise<UnitAttempt> {
    const by = thisProcess();
    const name = `.work-${by.host.replace(/[^\w-]/g, "_")}-${by.pid}-${randomUUID().slice(0, 8)}`;
    const folder = `${placeOfUnit(run, unit)}${name}`;
    const now = new Date().toISOString();
    const isTaken = from !== undefined && (await isRenamed(from.folder, folder));
    if (!isTaken) makeFolder(folder);
    const kept = isTaken ? from.kept : 0;
    const attempt = new UnitAttempt(folder, { unit, madeFrom, by, since: now, heard: now, done: 0, total: 0, kept });
    await attempt.write();
    return attempt;
  }

  get kept(): number {
    return this.record.kept;
  }

  async keep(lines: number): Promise<void> {
    this.record = { ...this.record, kept: lines };
    await this.write();
  }

  /** Says now and then how far it is. What cannot be said is no reason to stop. */
  speak(done: number, total: number): void {
    this.record = { ...this.record, done, total };
    if (performance.now() - this.spoke < SPEAK_EVERY) return;
    this.spoke = performance.now();
    void this.write().catch(() => {});
  }

  async end(why: string): Promise<void> {
    this.record = { ...this.record, ended: why };
    await this.write().catch(() => {});
  }

  /** Makes it the unit's shard. Where there is one already, this one is thrown away: its bytes are the same. */
  async finish(run: string, record: Omit<ShardRecord, "unit" | "madeFrom" | "by" | "since" | "kept">): Promise<void> {
    const { unit, madeFrom, by, since, kept } = this.record;
    await writeJson(join(this.folder, SHARD), { unit, madeFrom, by, since, kept, ...record } satisfies ShardRecord);
    await rm(join(this.folder, ATTEMPT), { force: true });
    if (!(await isRenamed(this.folder, shardPath(run, unit)))) await rm(this.folder, { recursive: true, force: true });
    await rm(failurePath(run, unit), { force: true });
  }

  async fail(run: string, failure: Omit<UnitFailure, "by" | "at">): Promise<void> {
    const path = join(this.folder, "failure.json");
    const said: UnitFailure = { ...failure, by: this.record.by, at: new Date().toISOString() };
    await writeJson(path, said).catch(() => {});
    await rename(path, failurePath(run, this.record.unit)).catch(() => {});
    await this.end(`${failure.code}: ${failure.message}`);
  }

  private async write(): Promise<void> {
    this.record = { ...this.record, heard: new Date().toISOString() };
    await writeJson(join(this.folder, ATTEMPT), this.record);
  }
}

/** @returns false where there is one of that name already, or the old one is gone */
async function isRenamed(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOTEMPTY" || code === "EEXIST" || code === "ENOENT") return false;
    throw writeError(error, to);
  }
}

/** Whether an attempt goes on no more, as far as can be told from here. */
export function isOver({ by, ended }: FoundAttempt): boolean {
  return ended !== undefined || hasSurelyEnded(by);
}

/** What is under way, or was left, of a stage's units; what cannot be read is nobody's. */
export async function attemptsOf(folder: string, key: string, names: readonly string[]): Promise<FoundAttempt[]> {
  const found: FoundAttempt[] = [];
  for (const name of names.filter((one) => WORK.test(one))) {
    const path = join(folder, UNITS_FOLDER, key, name);
    const record = await readJson<AttemptRecord>(join(path, ATTEMPT), attemptSchema).catch(() => undefined);
    if (record?.unit === `${key}/${WORK.exec(name)?.[1]}`) found.push({ ...record, folder: path });
  }
  return found;
}

/** @returns names in the folder of a stage's units; none where there is none @throws STORE_UNREADABLE, MACHINE_LIMIT */
export async function namesOfStage(folder: string, key: string): Promise<string[]> {
  const path = join(folder, UNITS_FOLDER, key);
  return readdir(path).catch(({ code }: NodeJS.ErrnoException) => {
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw readError(code ?? "", path);
  });
}

// Shards.

const shardSchema = z.object({
  unit: z.string(),
  madeFrom: z.string(),
  by: workingProcessSchema,
  since: z.string(),
  finished: z.string(),
  /** Of the work alone, by a clock that does not jump. */
  seconds: z.number(),
  kept: z.number(),
  /** Of the stage's groups, the number of its first and of the one behind its last, and those that were asked; absent of what has none. */
  groups: z.object({ from: z.number(), end: z.number(), asked: z.number() }).optional(),
  /** By path within a run. */
  files: z.record(z.string(), z.object({ bytes: z.number(), sha256: z.string() })),
  manifest: manifestSchema,
});
export type ShardRecord = Omit<z.infer<typeof shardSchema>, "manifest" | "by"> & {
  readonly manifest: RunManifest;
  readonly by: WorkingProcess;
};
const SHARD = "unit.json";

export function shardPath(folder: string, unit: string): string {
  return `${placeOfUnit(folder, unit)}.done`;
}

/** @returns undefined where there is no shard @throws STORE_CORRUPT where it says nothing that a shard says */
export async function readShard(folder: string, unit: string): Promise<ShardRecord | undefined> {
  const path = shardPath(folder, unit);
  const found = await lstat(path).catch((error) => {
    if (error.code === "ENOENT") return undefined;
    throw readError(error.code, path);
  });
  if (found === undefined) return undefined;
  // Files are moved out of a shard: through a link they would be another run's.
  if (!found.isDirectory()) throw new InwardError("STORE_CORRUPT", `${path} is no folder of this run.`);
  try {
    return await readJson<ShardRecord>(join(path, SHARD), shardSchema);
  } catch (error) {
    if (error instanceof InwardError && error.code === "STORE_INCOMPLETE") {
      throw new InwardError("STORE_CORRUPT", `${path} does not say what it holds.`);
    }
    throw error;
  }
}

/** Hash of all that a unit's shard follows from. @param inputs what its stage's mark is made from */
export function madeFromOf({ id, stage, part }: RunUnit, inputs: Readonly<Record<string, unknown>>): string {
  const own = part && { ...part, states: onceHashed(part.states) };
  return hashOf({ id, stage, part: own ?? null, inputs: onceHashed(inputs) });
}

const hashed = new WeakMap<object, string>();

/** What thousands of units of a stage have in common, each with a line of every state. */
function onceHashed(common: object): string {
  const hash = hashed.get(common) ?? hashOf(common);
  hashed.set(common, hash);
  return hash;
}

/** Takes what is no sound shard out of the way, so that the unit is done again. */
export async function refuseShard(folder: string, unit: string): Promise<void> {
  const path = shardPath(folder, unit);
  const aside = `${placeOfUnit(folder, unit)}.refused-${randomUUID().slice(0, 8)}`;
  if (await isRenamed(path, aside)) await rm(aside, { recursive: true, force: true });
}

// Failures.

const failureSchema = z.object({
  code: z.string(),
  message: z.string(),
  by: workingProcessSchema,
  at: z.string(),
});
export type UnitFailure = z.infer<typeof failureSchema>;

export function failurePath(folder: string, unit: string): string {
  return `${placeOfUnit(folder, unit)}.failed.json`;
}

export function readFailure(folder: string, unit: string): Promise<UnitFailure | undefined> {
  return readJson<UnitFailure>(failurePath(folder, unit), failureSchema).catch(() => undefined);
}
