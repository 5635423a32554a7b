/** One process that does units of a run, one after another, with at most one model open. It writes to the folder of units alone. */

import { existsSync } from "node:fs";
import { cp, open, readdir, rm } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { AnswerCache } from "../ask/answer-cache.js";
import type { Placed } from "../ask/groups.js";
import { APPENDING, hashOf, keepInPlace, makeFolder, readJson, readJsonLines, writeError } from "../base/files.js";
import { InwardError } from "../errors.js";
import { adapterFiles } from "../finetune/adapter/adapter.js";
import { EventLog, type RunFile, RunFolder } from "../run/folder.js";
import type { OnWorkProgress } from "../run/open-model.js";
import { type OneModel, readManifest, type StageContext } from "../run/open-models.js";
import { inputsOf, requireReads, requireStageModels } from "../run/run-stages.js";
import { openContext } from "../run/run-study.js";
import type { Stage } from "../run/stages.js";
import type { GivenReplies } from "../study/elsewhere.js";
import type { ModelFile } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import {
  UnitAttempt,
  attemptsOf,
  hasUnits,
  type FoundAttempt,
  isOver,
  madeFromOf,
  modelsOf,
  namesOfStage,
  otherPlan,
  readGiven,
  readSetUp,
  readShard,
  refuseShard,
  requirePlanOfUnits,
  type ShardRecord,
  unitsGone,
  type UnitsSetUp,
} from "./shards.js";
import { type CutStage, cutStages, type RunUnit, stageKey } from "./units.js";

/** `done`: its shard is there · `was_done`: it was there before, or its stage is finished · `stopped`: to be begun again, and goes on. */
export type UnitOutcome = "done" | "was_done" | "stopped";

export interface UnitOptions extends Pick<StageContext, "signal" | "soon"> {
  readonly onProgress?: OnWorkProgress;
  /** Of our own forward pass, whose numbers do not depend on it, in the plan's place. */
  readonly threads?: number;
}

interface KnownUnit {
  readonly unit: RunUnit;
  readonly stage: Stage;
}

/** A run whose units this process does. */
export class UnitSession {
  private open: ReturnType<OneModel["take"]>;
  private readonly answers: AnswerCache | undefined;
  private readonly leave: () => void;

  private constructor(
    private run: RunFolder,
    private readonly setUp: UnitsSetUp,
    private readonly stages: readonly CutStage[],
    private readonly given: GivenReplies,
    private readonly models: Readonly<Record<string, ModelFile>>,
  ) {
    this.answers = AnswerCache.open(setUp.cache);
    this.leave = keepInPlace(run.path);
  }

  /** @throws STORE_NOT_A_RUN, UNITS_NONE, STORE_CORRUPT, STORE_OTHER_PLAN where the plan was changed since its units were made */
  static async of(folder: string): Promise<UnitSession> {
    const run = await RunFolder.look(folder);
    const setUp = await readSetUp(run.path);
    requirePlanOfUnits(run, setUp);
    const stages = cutStages(run.plan, setUp.cut);
    return new UnitSession(run, setUp, stages, await readGiven(run.path, setUp), modelsOf(run.plan, setUp));
  }

  /**
   * @throws USAGE no unit of this run · UNIT_TOO_EARLY what it reads is not finished · what its stage throws; what was finished of it
   * stays, and the same call goes on from there
   */
  async do(id: string, options: UnitOptions = {}): Promise<UnitOutcome> {
    return this.run.inPlace(() => this.doInPlace(this.requireUnit(id), options));
  }

  private async doInPlace(known: KnownUnit, options: UnitOptions): Promise<UnitOutcome> {
    this.run = await this.run.lookAgain();
    // These units were there when this process began.
    if (!hasUnits(this.run.path)) throw unitsGone(this.run.path);
    const { planHash } = await readSetUp(this.run.path);
    for (const hash of [planHash, hashOf(await readJson(this.run.file("plan")))]) {
      if (hash !== this.setUp.planHash) throw otherPlan(this.run.path);
    }
    const { unit, stage } = known;
    const { id } = unit;
    const inputs = await this.inputs(unit, stage);
    if (await this.run.isDone(stage.writes, inputs)) return "was_done";
    const madeFrom = madeFromOf(unit, inputs);
    const shard = await readShard(this.run.path, id).catch((error) => {
      // What it says is nothing; what this process may not read, somebody has done.
      if (error instanceof InwardError && error.code === "STORE_CORRUPT") return null;
      throw error;
    });
    if (shard?.madeFrom === madeFrom && shard.unit === id) return "was_done";
    if (shard !== undefined) await refuseShard(this.run.path, id);
    const reads = await requireReads(this.run, stage, { ofParts: unit.part !== undefined });
    const attempt = await this.begin(unit, stage, madeFrom);
    try {
      return await this.work({ unit, stage }, attempt, reads, options);
    } catch (error) {
      // Another process was quicker, and its shard is in the run already.
      if (!existsSync(attempt.folder) && (await this.isMerged(stage, inputs))) return "was_done";
      await this.closeModel();
      if (error instanceof InwardError && error.code === "INTERRUPTED") {
        await attempt.end(error.message);
        if (options.signal?.aborted !== true && options.soon?.aborted === true) return "stopped";
      } else {
        const { code, message } = error instanceof InwardError ? error : { code: "INTERNAL", message: String(error) };
        await attempt.fail(this.run.path, { code, message });
      }
      throw error;
    }
  }

  /** @throws USAGE no unit of this run */
  requireUnit(id: string): KnownUnit {
    const [key] = id.split("/");
    const cut = this.stages.find(({ stage }) => stageKey(stage) === key);
    const unit = cut?.units.find((one) => one.id === id);
    if (cut && unit) return { unit, stage: cut.stage };
    const { path } = this.run;
    throw new InwardError(
      "USAGE",
      `${path} has no unit ${JSON.stringify(id)}; npx inward units ${path} --all lists them.`,
    );
  }

  async close(): Promise<void> {
    this.leave();
    await this.closeModel();
  }

  private async closeModel(): Promise<void> {
    const { open: left } = this;
    this.open = undefined;
    await left?.model.dispose();
  }

  private async inputs({ id }: RunUnit, stage: Stage): Promise<Record<string, unknown>> {
    try {
      return await inputsOf(this.run, stage);
    } catch (error) {
      if (!(error instanceof InwardError) || error.code !== "STORE_INCOMPLETE") throw error;
      throw new InwardError("UNIT_TOO_EARLY", `${id} reads what is not finished: ${error.message}`, { cause: error });
    }
  }

  private async isMerged({ writes }: Stage, inputs: Record<string, unknown>): Promise<boolean> {
    this.run = await this.run.lookAgain();
    return this.run.isDone(writes, inputs).catch(() => false);
  }

  /** Goes on from what others have left of the unit, and from what one process alone had done of its stage. */
  private async begin(unit: RunUnit, stage: Stage, madeFrom: string): Promise<UnitAttempt> {
    const { path } = this.run;
    const key = stageKey(stage);
    const own = (await namesOfStage(path, key)).filter((name) => `${key}/${name}`.startsWith(`${unit.id}.`));
    const before = (await attemptsOf(path, key, own)).filter((one) => one.madeFrom === madeFrom);
    const [left] = before.filter(isOver).toSorted((a, b) => b.done - a.done);
    const attempt = await UnitAttempt.begin(path, unit.id, madeFrom, left);
    await removeLocks(attempt.folder);
    const [elsewhere] = before.filter((one) => !isOver(one)).toSorted((a, b) => b.done - a.done);
    if (!left && elsewhere) await copySafely(stage, elsewhere, attempt);
    if (!unit.part) await this.copyFromRun(stage, attempt);
    return attempt;
  }

  private async copyFromRun({ kind, writes }: Stage, { folder }: UnitAttempt): Promise<void> {
    const paths = writes.flatMap((file) => {
      const path = this.run.file(file);
      if (kind === "trained" && file.startsWith("adapter/")) {
        return [...Object.values(adapterFiles(path)), path.replace(/\.gguf$/, ".checkpoint")];
      }
      return /^(states|donorStates|insideStates)\//.test(file) ? [dirname(path)] : [path];
    });
    for (const path of paths) {
      const to = join(folder, relative(this.run.path, path));
      if (existsSync(path) && !existsSync(to)) await copyWithoutLocks(path, to);
    }
  }

  private async work(
    { unit, stage }: KnownUnit,
    attempt: UnitAttempt,
    reads: ReadonlySet<RunFile>,
    { signal, soon, threads, onProgress }: UnitOptions,
  ): Promise<UnitOutcome> {
    const { path } = this.run;
    const begun = performance.now();
    const run = this.run.within(attempt.folder, [...stage.writes, "manifest", "events"]);
    const events = new EventLog(run.file("events"));
    // What asks nothing has no groups to finish.
    const stops = [signal, ...(unit.kind === "asked" ? [] : [soon])].filter((one) => one !== undefined);
    const { open, context } = openContext(
      run,
      events,
      { ...this.setUp, models: this.models, given: this.given },
      {
        ...(stops.length > 0 ? { signal: AbortSignal.any(stops) } : {}),
        soon,
        threads,
        answers: this.answers,
        before: await this.stillOpen(),
        onProgress: (progress) => {
          attempt.speak(progress.done, progress.total ?? 0);
          onProgress?.({ ...progress, stage: unit.id });
        },
      },
    );
    if (unit.kind !== "asked") await context.requireModels?.(unit.model);
    let groups: ShardRecord["groups"];
    try {
      await stage.ready?.(context);
      await stage.run(context, {
        stage: unit.stage,
        reads,
        part: unit.part,
        // Files that were made of an old one go when this one takes its place.
        outdate: async () => {},
        onGroups: async (asked) => {
          const kept = await this.keepAsked(stage, attempt, asked);
          groups = { from: asked.from, end: asked.from + asked.groups.length, asked: asked.from + kept };
        },
      });
      await requireStageModels(context, stage);
      this.open = open.take();
    } catch (error) {
      await open.close();
      throw error;
    }
    const files: Record<string, { bytes: number; sha256: string }> = {};
    for (const { name, bytes } of await filesOfStage(attempt.folder)) {
      const sha256 = await run.sha256Of(join(attempt.folder, name));
      if (sha256 !== undefined) files[name] = { bytes, sha256 };
    }
    const faults = await this.answers?.faults();
    if (faults) events.add("answer_cache_faults", { ...faults });
    const manifest = await readManifest(run);
    const finished = new Date().toISOString();
    const seconds = (performance.now() - begun) / 1000;
    await attempt.finish(path, { finished, seconds, files, manifest, ...(groups ? { groups } : {}) });
    return "done";
  }

  /** The open model, unless its adapter has been trained anew. */
  private async stillOpen(): Promise<ReturnType<OneModel["take"]>> {
    const { open: before } = this;
    this.open = undefined;
    const adapter = before && statesOf(this.run.plan).of(before.state).adapter;
    if (adapter === undefined || before?.model.manifest.adapter?.sha256 === this.run.outputHash(`adapter/${adapter}`)) {
      return before;
    }
    await before?.model.dispose();
    return undefined;
  }

  /** Lines that one process had written before the run was done in units. @returns how many of the part's groups are there by that */
  private async keepAsked(
    { writes: [file] }: Stage,
    attempt: UnitAttempt,
    { groups, before }: { readonly groups: readonly (readonly Placed[])[]; readonly before: number },
  ): Promise<number> {
    const [own, path] = [join(attempt.folder, RunFolder.nameOf(file as RunFile)), this.run.file(file as RunFile)];
    const counted = (lines: number) => {
      let left = lines;
      const behind = groups.findIndex((group) => {
        left -= group.length;
        return left < 0;
      });
      return behind < 0 ? groups.length : behind;
    };
    if (attempt.kept > 0 || existsSync(own)) return counted(attempt.kept);
    const { ends } = await readJsonLines(path);
    const last = Math.min(ends.length, before + groups.flat().length);
    if (last <= before) return 0;
    const start = before === 0 ? 0 : (ends[before - 1] as number);
    await copyBytes(path, own, start, ends[last - 1] as number);
    await attempt.keep(last - before);
    return counted(last - before);
  }
}

const LOCK = /(^|\/)run\.lock(\.\w+)*(\/|$)|\.partial-\d+$/;
const OWN = /^(attempt|unit|failure|manifest)\.json$|^events\.jsonl$|\.partial-\d+$/;

async function filesOfStage(folder: string): Promise<{ readonly name: string; readonly bytes: number }[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  const found: { name: string; bytes: number }[] = [];
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    const name = relative(folder, path);
    if (!entry.isFile() || OWN.test(name) || LOCK.test(name)) continue;
    const file = await open(path, "r");
    try {
      found.push({ name, bytes: (await file.stat()).size });
    } finally {
      await file.close();
    }
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Whoever held them is no more. */
async function removeLocks(folder: string): Promise<void> {
  for (const name of await readdir(folder, { recursive: true })) {
    if (LOCK.test(name)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** Of an attempt that may go on elsewhere: what only grows, line by line, and what is always whole under its name. */
async function copySafely({ kind, writes }: Stage, from: FoundAttempt, to: UnitAttempt): Promise<void> {
  const names = writes.map((file) => RunFolder.nameOf(file));
  const checkpoints = names.map((name) => name.replace(/\.gguf$/, ".checkpoint"));
  const safe = kind === "asked" ? [...names, "manifest.json"] : kind === "trained" ? checkpoints : [];
  for (const name of safe) {
    const path = join(from.folder, name);
    // It may be thrown away while it is read.
    if (existsSync(path)) await copyWithoutLocks(path, join(to.folder, name)).catch(() => {});
  }
  if (kind === "asked" && existsSync(join(to.folder, names[0] as string))) await to.keep(from.kept);
}

async function copyWithoutLocks(from: string, to: string): Promise<void> {
  makeFolder(dirname(to));
  await cp(from, to, { recursive: true, filter: (path) => !LOCK.test(path) }).catch((error) => {
    throw writeError(error, to);
  });
}

async function copyBytes(from: string, to: string, start: number, end: number): Promise<void> {
  const source = await open(from, "r");
  try {
    const target = await open(to, APPENDING);
    try {
      for await (const piece of source.createReadStream({ start, end: end - 1, autoClose: false })) {
        await target.appendFile(piece as Buffer);
      }
      await target.datasync();
    } finally {
      await target.close();
    }
  } catch (error) {
    throw writeError(error, to);
  } finally {
    await source.close();
  }
}
