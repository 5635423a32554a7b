/**
 * Puts the shards of finished units together, stage after stage in the table's order, and does the stages that need no model. Only who
 * holds the run's lock does so. What one process would have written comes out, byte for byte.
 */

import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { lstat, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { makeFolder, readError, readJson, readJsonLines, writeError, writeJson, writeWhole } from "../base/files.js";
import { InwardError } from "../errors.js";
import { EventLog, type RunFile, RunFolder, UNITS_FOLDER } from "../run/folder.js";
import { recordParts, type StageContext } from "../run/open-models.js";
import { marksBeside, inputsOf, removeOutdated, requireReads, runStage, withoutModels } from "../run/run-stages.js";
import {
  madeFromOf,
  namesOfStage,
  readSetUp,
  readShard,
  refuseShard,
  requirePlanOfUnits,
  type ShardRecord,
  shardPath,
} from "./shards.js";
import { type CutStage, cutStages, stageKey, type RunUnit } from "./units.js";

/** What was put together, and what that waits for. */
export interface MergedUnits {
  /** Every stage is done: the run is as one process would have left it. */
  readonly finished: boolean;
  /** Stages that were finished by this call. */
  readonly merged: readonly string[];
  /** Shards that were none, or of something else, and were thrown away: their units are to be done again. */
  readonly refused: readonly { readonly unit: string; readonly why: string }[];
  /** Units of the first stage that is not finished, without a shard. */
  readonly waiting: readonly string[];
  /** That stage; absent where all are finished. */
  readonly stage?: string;
  readonly wave?: number;
}

/** @throws STORE_LOCKED, STORE_NOT_A_RUN, UNITS_NONE, STORE_OTHER_PLAN, STORE_CORRUPT; what stages without a model throw */
export async function mergeUnits(folder: string, options: Pick<StageContext, "onProgress"> | undefined = undefined) {
  const run = await RunFolder.open(folder);
  try {
    const merger = await UnitMerger.of(run, options?.onProgress);
    await merger.advance();
    return merger.told();
  } finally {
    await run.close();
  }
}

/** Goes through a run's stages as their units are done. */
export class UnitMerger {
  /** Number of the first stage that is not finished. */
  private next = 0;
  private readonly merged: string[] = [];
  private readonly refused: { unit: string; why: string }[] = [];
  private waiting: readonly RunUnit[] = [];

  private constructor(
    private readonly run: RunFolder,
    readonly stages: readonly CutStage[],
    private readonly events: EventLog,
    private readonly onProgress: StageContext["onProgress"],
  ) {}

  /** @param run whose lock this process holds @throws UNITS_NONE, STORE_OTHER_PLAN */
  static async of(run: RunFolder, onProgress: StageContext["onProgress"] = () => {}): Promise<UnitMerger> {
    const setUp = await readSetUp(run.path);
    requirePlanOfUnits(run, setUp);
    return new UnitMerger(run, cutStages(run.plan, setUp.cut), new EventLog(run.file("events")), onProgress);
  }

  /** Whether all is there that the stage reads. */
  isReady({ after }: Pick<CutStage, "after">): boolean {
    return after < this.next;
  }

  /** The first stage that is not finished. */
  get current(): CutStage | undefined {
    return this.stages[this.next];
  }

  /** Units of that stage without a shard. */
  get missing(): readonly RunUnit[] {
    return this.waiting;
  }

  told(): MergedUnits {
    const { current, merged, refused } = this;
    return {
      finished: current === undefined,
      merged: [...merged],
      refused: [...refused],
      waiting: this.waiting.map(({ id }) => id),
      ...(current ? { stage: current.stage.name, wave: current.units[0]?.wave } : {}),
    };
  }

  /**
   * As far as shards are there.
   * @returns units whose shards were refused: they are to be done again
   */
  async advance(): Promise<RunUnit[]> {
    for (; ; this.next++) {
      const again = await this.run.inPlace(() => this.finishCurrent());
      if (again !== undefined) return again;
    }
  }

  /** @returns undefined where the stage is done; else as `advance` */
  private async finishCurrent(): Promise<RunUnit[] | undefined> {
    const { current } = this;
    this.waiting = [];
    if (current === undefined) return [];
    const { stage, units } = current;
    const inputs = await inputsOf(this.run, stage);
    const isDone = await this.run.isDone(stage.writes, inputs);
    if (units.length === 0) {
      await runStage({ ...withoutModels(this.run, this.events), onProgress: this.onProgress }, stage);
    } else if (!isDone) {
      const names = new Set(await namesOfStage(this.run.path, stageKey(stage)));
      this.waiting = units.filter(({ id }) => !names.has(`${id.split("/")[1]}.done`));
      if (this.waiting.length > 0) return [];
      const bad = await this.put(current, inputs);
      if (bad.length > 0) {
        this.waiting = bad;
        return bad;
      }
    }
    if (units.length > 0) await this.clear(stageKey(stage));
    if (!isDone) this.merged.push(stage.name);
    return undefined;
  }

  private async clear(key: string): Promise<void> {
    const folder = join(this.run.path, UNITS_FOLDER, key);
    // Whoever still works at one of them may write in between; what is left then is removed the next time.
    await rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
  }

  /** @returns units whose shards were refused; then nothing was put together */
  private async put({ stage, units }: CutStage, inputs: Record<string, unknown>): Promise<RunUnit[]> {
    const shards: ShardRecord[] = [];
    const bad: RunUnit[] = [];
    for (const unit of units) {
      const shard = await this.soundShard(unit, madeFromOf(unit, inputs));
      if (shard) shards.push(shard);
      else bad.push(unit);
    }
    if (bad.length > 0) return bad;
    const isWhole = units[0]?.part === undefined;
    await requireReads(this.run, stage, { ofParts: !isWhole });
    await this.run.unmark(stage.writes);
    this.events.add("stage_begun", { stage: stage.name, units: units.length });
    const [file] = stage.writes as readonly [RunFile];
    const before = await this.run.sha256Of(this.run.file(file));
    const torn = await (isWhole ? this.move(stage.writes, shards[0] as ShardRecord) : this.join(file, shards));
    if (torn !== undefined) {
      await this.refuse(torn.unit, torn.why);
      return units.filter(({ id }) => id === torn.unit);
    }
    const isNew = before !== (await this.run.sha256Of(this.run.file(file)));
    if (isNew && stage.kind !== "measured") await removeOutdated(this.run, stage);
    await recordParts(
      this.run,
      shards.map(({ manifest, groups }) => ({
        manifest,
        file: RunFolder.nameOf(file),
        groups: groups ? ([groups.asked, groups.end] as const) : ([0, 0] as const),
      })),
    );
    for (const shard of shards) await this.tell(shard);
    await this.run.markDone(stage.writes, inputs, marksBeside(stage));
    this.events.add("stage_done", { stage: stage.name });
    return [];
  }

  /** @returns undefined where it is none of this unit, and was thrown away */
  private async soundShard(unit: RunUnit, madeFrom: string): Promise<ShardRecord | undefined> {
    try {
      const shard = await readShard(this.run.path, unit.id);
      if (shard === undefined) return undefined;
      if (shard.unit !== unit.id) throw new InwardError("STORE_CORRUPT", `it is of the unit ${shard.unit}`);
      if (shard.madeFrom !== madeFrom)
        throw new InwardError("STORE_CORRUPT", "it was made from other files, or of another plan");
      await requireSizes(shardPath(this.run.path, unit.id), shard);
      return shard;
    } catch (error) {
      if (!(error instanceof InwardError) || error.code !== "STORE_CORRUPT") throw error;
      await this.refuse(unit.id, error.message);
      return undefined;
    }
  }

  private async refuse(unit: string, why: string): Promise<void> {
    this.refused.push({ unit, why });
    this.events.add("unit_refused", { unit, why });
    await refuseShard(this.run.path, unit);
  }

  /** Parts of one file below each other, read once, with nothing but a piece in memory. @returns the shard that is not what it says */
  private async join(file: RunFile, shards: readonly ShardRecord[]): Promise<TornPart | undefined> {
    const [name, target] = [RunFolder.nameOf(file), this.run.file(file)];
    const pathOf = (shard: ShardRecord) => join(shardPath(this.run.path, shard.unit), name);
    try {
      if (name.endsWith(".jsonl")) await writeWhole(target, shardPieces(shards, name, pathOf));
      else {
        const all: unknown[] = [];
        for (const shard of shards) {
          for await (const _ of checkedPieces(pathOf(shard), shard, name));
          all.push(...(await readJson<readonly unknown[]>(pathOf(shard), z.array(z.unknown()))));
        }
        await writeJson(target, all);
      }
      return undefined;
    } catch (error) {
      if (error instanceof TornShard) return { unit: error.unit, why: error.why };
      throw error;
    }
  }

  /** The files of a stage that is one unit, each by renaming; a call that was ended in between is gone on with. */
  private async move(writes: readonly RunFile[], shard: ShardRecord): Promise<TornPart | undefined> {
    const { unit, files } = shard;
    const from = shardPath(this.run.path, unit);
    const names = Object.keys(files);
    const placeOf = (name: string) => (existsSync(join(from, name)) ? join(from, name) : join(this.run.path, name));
    for (const name of names) {
      if ((await this.run.sha256Of(placeOf(name))) === files[name]?.sha256) continue;
      return { unit, why: `${name} has another sha256 than when it was written` };
    }
    const lacking = writes.find((file) => files[RunFolder.nameOf(file)] === undefined);
    if (lacking !== undefined) return { unit, why: `it has no ${RunFolder.nameOf(lacking)}` };
    for (const name of names) {
      const [source, target] = [join(from, name), join(this.run.path, name)];
      if (!existsSync(source)) continue;
      makeFolder(dirname(target));
      await rename(source, target).catch((error) => {
        throw writeError(error, target);
      });
    }
    for (const file of writes) await this.removeStrays(file, shard);
    return undefined;
  }

  /** What an earlier attempt of one process left in a folder that is a stage's alone, and a checkpoint. */
  private async removeStrays(file: RunFile, { files }: ShardRecord): Promise<void> {
    const name = RunFolder.nameOf(file);
    if (file.startsWith("adapter/")) {
      await rm(join(this.run.path, name.replace(/\.gguf$/, ".checkpoint")), { recursive: true, force: true });
    }
    if (file === "lensTokens") {
      const states = dirname(dirname(RunFolder.nameOf("lensStates/any")));
      await rm(join(this.run.path, states), { recursive: true, force: true });
    }
    if (!/^(states|donorStates|insideStates)\//.test(file)) return;
    const folder = dirname(name);
    for (const entry of await readdir(join(this.run.path, folder))) {
      const path = join(folder, entry);
      if (files[path] === undefined) await rm(join(this.run.path, path), { recursive: true, force: true });
    }
  }

  /** What happened in a unit, with its name, and who did it. */
  private async tell({ unit, by, since, finished, seconds }: ShardRecord): Promise<void> {
    const path = join(shardPath(this.run.path, unit), "events.jsonl");
    // Cut off, or spoilt: no result hangs on it.
    const { rows } = await readJsonLines<object>(path).catch(() => ({ rows: [] }));
    this.events.addRows(rows.map((row) => ({ ...row, unit })));
    this.events.add("unit_done", { unit, host: by.host, pid: by.pid, since, finished, seconds });
  }
}

/** @throws STORE_CORRUPT for a file that is not there, is none, or has another size than when it was written */
async function requireSizes(folder: string, { files }: ShardRecord): Promise<void> {
  for (const [name, { bytes }] of Object.entries(files)) {
    const path = join(folder, name);
    if (name.split("/").includes("..")) throw new InwardError("STORE_CORRUPT", `it names ${name}`);
    const found = await lstat(path).catch(() => undefined);
    // Put into its place already, by a call that was ended before it was done.
    if (found === undefined && existsSync(join(dirname(dirname(dirname(folder))), name))) continue;
    if (!found?.isFile()) throw new InwardError("STORE_CORRUPT", `its file ${name} is not there`);
    if (found.size !== bytes)
      throw new InwardError("STORE_CORRUPT", `its file ${name} has ${found.size} bytes, not ${bytes}`);
  }
}

/** A shard that is not what it says. */
interface TornPart {
  readonly unit: string;
  readonly why: string;
}

class TornShard extends Error implements TornPart {
  constructor(
    readonly unit: string,
    readonly why: string,
  ) {
    super(why);
  }
}

async function* shardPieces(
  shards: readonly ShardRecord[],
  name: string,
  pathOf: (shard: ShardRecord) => string,
): AsyncGenerator<Uint8Array> {
  for (const shard of shards) yield* checkedPieces(pathOf(shard), shard, name);
}

/** @throws TornShard at its end where it is not what was written */
async function* checkedPieces(path: string, shard: ShardRecord, name: string): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  if (shard.files[name] === undefined) throw new TornShard(shard.unit, `it has no ${name}`);
  try {
    for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) {
      hash.update(piece as Buffer);
      yield piece as Buffer;
    }
  } catch (error) {
    // Only what it holds is its fault: what this process may not read, another may, and hours of work are not thrown away for that.
    const coded = readError((error as NodeJS.ErrnoException).code ?? String(error), path);
    if (coded.code !== "STORE_CORRUPT") throw coded;
    throw new TornShard(shard.unit, coded.message);
  }
  if (hash.digest("hex") !== shard.files[name]?.sha256) {
    throw new TornShard(shard.unit, `${name} has another sha256 than when it was written`);
  }
}
