/** What every stage of a run works with. */

import { z } from "zod";
import type { Placed } from "../ask/groups.js";
import { canonicalJson, hashOf, readJson, writeJson } from "../base/files.js";
import { InwardError } from "../errors.js";
import { startEngine } from "../model/engines/start-engine.js";
import type { AnswerCache, FromCache } from "../ask/answer-cache.js";
import type { AdapterChoice, LanguageModel } from "../model/language-model.js";
import type { EngineManifest, Plan } from "../study/plan.js";
import type { SettledEngine } from "../study/study.js";
import { statesOf } from "../study/states.js";
import { requirePlannedFile } from "../model/model-file.js";
import type { RecordedReply, SetAsideReason } from "../tasks/answer.js";
import { chatOf } from "./planned-chats.js";
import type { EventLog, RunFile, RunFolder } from "./folder.js";

export interface StageContext {
  readonly run: RunFolder;
  readonly events: Pick<EventLog, "add">;
  /** Opens a state's model, closing the one before: one model in memory at a time. */
  readonly modelFor: (state: string) => Promise<LanguageModel>;
  /** Opens a state's model anew, in a new process: the open one has crashed or says nothing any more. */
  readonly reopenModel: (state: string) => Promise<LanguageModel>;
  /** Where a stage's questions need not be asked that were asked before; absent: all are asked. */
  readonly answers?: AnswerCache;
  /** Closes the model that is open, if any: training needs the memory. */
  readonly closeModel: () => Promise<void>;
  /** The file of a model of the plan. */
  readonly modelPath: (model: string) => string;
  /** Around a stage that opens models by their paths: each, or one alone, is the plan's still. Absent where none is opened. @throws MODEL_CHECKSUM, MODEL_NOT_FOUND */
  readonly requireModels?: (only?: string) => Promise<void>;
  /** The GGUF of the adapter that a model of the plan wears from the start; absent, and undefined, where none does. */
  readonly wornBy?: (model: string) => string | undefined;
  /** The file of a lens of the plan; absent where nothing but a run's own lenses reads. */
  readonly lensPath?: (lens: string) => string;
  /** The file of the direction of a concept that the plan injects; absent as lensPath is. */
  readonly vectorPath?: (concept: string) => string;
  /** What others were answered to a question; undefined for one that is asked here, and for all where nobody else was asked. */
  readonly given?: (question: Placed) => RecordedReply | SetAsideReason | undefined;
  /** @param detail what else is worth seeing at this moment, such as the loss */
  readonly onProgress: (stage: string, done: number, total: number, detail?: string) => void;
  readonly signal?: AbortSignal;
  /** Aborting it ends asking when the group under way is finished; what is no asking does not look at it. */
  readonly soon?: AbortSignal;
}

/** A state's share of a stage: the groups of one state, cut into pieces that follow one another. */
export interface StagePart {
  readonly state: string;
  /** Number of the piece, from 0, and how many there are. */
  readonly at: number;
  readonly of: number;
  /** All states of the stage, in the order of its groups. */
  readonly states: readonly string[];
}

/** What the table of stages hands to the stage that it runs. */
export interface StageWork {
  /** Its name, as progress and the event log call it. */
  readonly stage: string;
  /** Files that are there for it, unchanged since they were written: those of its reads that the plan has. */
  readonly reads: ReadonlySet<RunFile>;
  /** Absent: the whole stage. */
  readonly part?: StagePart;
  /** Of a part: called before anything is asked. @param asked its groups, their number in the stage, and how many lines stand before them */
  readonly onGroups?: (asked: {
    readonly from: number;
    readonly groups: readonly (readonly Placed[])[];
    readonly before: number;
  }) => Promise<void>;
  /** To be called by a stage that asks or trains before it makes anything new: what was made from its old output goes. */
  readonly outdate: () => Promise<void>;
}

// Keeps at most one model open and records which engine ran on what machine.

/** A set-up that answered, and which of its answers were not asked by this run. */
export interface RunSetUp extends EngineManifest {
  /** By file of the run, then by the number of the group, from 0, in that file. Absent: all were asked. */
  readonly fromCache?: Readonly<Record<string, Readonly<Record<string, FromCache>>>>;
}

/** manifest.json: by state, every distinct set-up that answered for it. More than one: the run was carried elsewhere, or several worked at it. */
export type RunManifest = Record<string, RunSetUp[]>;

const fromCacheSchema = z.record(
  z.string(),
  z.record(z.string(), z.object({ answers: z.number(), oldest: z.string(), newest: z.string() })),
);

export const manifestSchema = z.record(
  z.string(),
  z.array(
    z.looseObject({
      engine: z.string(),
      device: z.string(),
      cpu: z.string(),
      threads: z.number(),
      fromCache: fromCacheSchema.optional(),
    }),
  ),
);

interface OpenState {
  readonly state: string;
  readonly model: LanguageModel;
}

export class OneModel {
  private open?: OpenState;
  private recorded?: string;

  /** @param open what another one has open, and gives away */
  constructor(
    private readonly run: RunFolder,
    private readonly opener: StateOpener,
    open?: OpenState,
  ) {
    if (open) this.open = open;
  }

  readonly modelFor = async (state: string): Promise<LanguageModel> => {
    if (this.open?.state === state) {
      await this.opener.requireFile(state);
      if (this.recorded !== state) await this.record(this.open);
      return this.open.model;
    }
    const before = this.open;
    delete this.open;
    const model = await this.opener.open(state, before).catch(async (error) => {
      await before?.model.dispose();
      throw error;
    });
    this.open = { state, model };
    await this.record(this.open);
    return model;
  };

  private async record({ state, model }: OpenState): Promise<void> {
    await recordManifest(this.run, state, model.manifest);
    this.recorded = state;
  }

  /** Gives away what is open, so that it need not be opened again; undefined where nothing is. */
  take(): OpenState | undefined {
    const { open } = this;
    delete this.open;
    return open;
  }

  /** A new engine for a state whose own has crashed or says nothing any more. */
  readonly reopen = async (state: string): Promise<LanguageModel> => {
    await this.close();
    return this.modelFor(state);
  };

  async close(): Promise<void> {
    const { open } = this;
    delete this.open;
    await open?.model.dispose();
  }
}

export async function readManifest(run: RunFolder): Promise<RunManifest> {
  return readJson<RunManifest>(run.file("manifest"), manifestSchema).catch((error) => {
    if (error instanceof InwardError && error.code === "STORE_INCOMPLETE") return {};
    throw error;
  });
}

async function recordManifest(run: RunFolder, state: string, manifest: EngineManifest): Promise<void> {
  const all = await readManifest(run);
  const known = all[state] ?? [];
  if (known.some((one) => isSetUp(one, manifest))) return;
  await writeJson(run.file("manifest"), { ...all, [state]: [...known, manifest] });
}

function isSetUp({ fromCache: _, ...known }: RunSetUp, manifest: EngineManifest): boolean {
  return canonicalJson(known) === canonicalJson(manifest);
}

interface CountedGroup {
  readonly state: string;
  readonly manifest: EngineManifest;
  /** Name of the file that its rows go to, and its number there. */
  readonly file: string;
  readonly at: number;
  readonly served: FromCache | undefined;
}

/** Counts a group before its rows are written, in the place of what was counted of it, and of groups after it, in an earlier attempt. */
export async function recordFromCache(run: RunFolder, counted: CountedGroup): Promise<void> {
  const all = await readManifest(run);
  const { state, manifest, file, at, served } = counted;
  const after = Object.fromEntries(
    Object.entries(all).map(([name, setUps]) => [
      name,
      setUps.map((one) => {
        const before = upTo(one, file, at);
        if (name !== state || served === undefined || !isSetUp(one, manifest)) return before;
        const { fromCache = {} } = before;
        return { ...before, fromCache: { ...fromCache, [file]: { ...fromCache[file], [at]: served } } };
      }),
    ]),
  );
  if (canonicalJson(after) !== canonicalJson(all)) await writeJson(run.file("manifest"), after);
}

function upTo(setUp: RunSetUp, file: string, at: number): RunSetUp {
  return withoutGroups(setUp, file, (number) => number >= at);
}

function withoutGroups(
  { fromCache = {}, ...setUp }: RunSetUp,
  file: string,
  isLeftOut: (at: number) => boolean,
): RunSetUp {
  const groups = Object.entries(fromCache[file] ?? {}).filter(([number]) => !isLeftOut(Number(number)));
  const { [file]: _, ...others } = fromCache;
  const left = groups.length > 0 ? { ...others, [file]: Object.fromEntries(groups) } : others;
  return Object.keys(left).length > 0 ? { ...setUp, fromCache: left } : setUp;
}

/** What a part of a stage recorded of its own, as one process would have gone on in the run's own. */
export interface PartManifest {
  readonly manifest: RunManifest;
  /** Its file, by the name that the run has for it, and the numbers of the groups that were asked for it: from the first, before the second. */
  readonly file: string;
  readonly groups: readonly [number, number];
}

/** @param parts in the order of the stage's groups */
export async function recordParts(run: RunFolder, parts: readonly PartManifest[]): Promise<void> {
  const before = await readManifest(run);
  const all: RunManifest = structuredClone(before);
  for (const { manifest, file, groups } of parts) {
    for (const [name, setUps] of Object.entries(all)) {
      all[name] = setUps.map((one) => withoutGroups(one, file, (at) => at >= groups[0] && at < groups[1]));
    }
    for (const [state, setUps] of Object.entries(manifest)) {
      for (const setUp of setUps) all[state] = withSetUp(all[state] ?? [], setUp);
    }
  }
  if (canonicalJson(all) !== canonicalJson(before)) await writeJson(run.file("manifest"), all);
}

function withSetUp(known: readonly RunSetUp[], { fromCache, ...own }: RunSetUp): RunSetUp[] {
  const all: readonly RunSetUp[] = known.some((one) => isSetUp(one, own)) ? known : [...known, own];
  return all.map((one) => {
    if (fromCache === undefined || !isSetUp(one, own)) return one;
    const merged = { ...one.fromCache };
    for (const [file, groups] of Object.entries(fromCache)) merged[file] = { ...merged[file], ...groups };
    return { ...one, fromCache: merged };
  });
}

// Opens a model state of a plan: the model's file, under its adapter if it carries one.

/** How to come by a state's model. */
interface StateOpener {
  /** @throws MODEL_CHECKSUM, MODEL_NOT_FOUND where the state's model is no more the plan's */
  requireFile(state: string): Promise<void>;
  /** @param open a state's model that is open, and whose place this one takes: it is closed, or carries on under another adapter */
  open(state: string, open?: { readonly state: string; readonly model: LanguageModel }): Promise<LanguageModel>;
}

/** With the layers on the GPUs as the plan settled them: what is free now may have changed. */
export function engineOf({ engine, models }: Plan, model: string): SettledEngine {
  return { ...engine, gpuLayers: models[model]?.gpuLayers ?? (engine.gpuLayers === "auto" ? "all" : engine.gpuLayers) };
}

/**
 * @param modelPath the file of a model of the plan
 * @param threads in the plan's place: of our own forward pass alone, whose numbers do not depend on it
 */
export function openState(
  run: RunFolder,
  modelPath: (model: string) => string,
  wornBy: (model: string) => string | undefined = () => undefined,
  threads?: number,
): StateOpener {
  const adapterOf = (state: string): AdapterChoice | undefined => {
    const { adapter, model } = statesOf(run.plan).of(state);
    // One that was trained here holds what its model wears: training went on from that.
    const path = adapter === undefined ? wornBy(model) : run.file(`adapter/${adapter}`);
    return path === undefined ? undefined : { path, scale: 1 };
  };
  const requireFile = async (state: string): Promise<void> => {
    const { model } = statesOf(run.plan).of(state);
    const planned = run.plan.models[model];
    if (planned) await requirePlannedFile(model, { path: modelPath(model), sha256: planned.sha256 });
  };
  const opened = async (state: string, model: LanguageModel): Promise<LanguageModel> => {
    const { adapter, model: name } = statesOf(run.plan).of(state);
    // Replaced while it was read.
    await requireFile(state).catch(async (error) => {
      await model.dispose();
      throw error;
    });
    const worn = run.plan.models[name]?.adapter;
    const { sha256 } = model.manifest.adapter ?? {};
    if (adapter !== undefined) {
      if (sha256 === run.outputHash(`adapter/${adapter}`)) return model;
      await model.dispose();
      throw run.changed(`adapter/${adapter}`);
    }
    if (!worn || sha256 === worn.sha256) return model;
    await model.dispose();
    throw new InwardError(
      "ADAPTER_INVALID",
      `The adapter of ${name} (${worn.source}) has changed: the plan has sha256 ${worn.sha256}, its file ${sha256 ?? "is gone"}.`,
    );
  };
  return {
    requireFile,
    open: async (state, before) => {
      const { model, adapter: trained } = statesOf(run.plan).of(state);
      await requireFile(state);
      const path = modelPath(model);
      const adapter = adapterOf(state);
      // States of one base: the weights are there already.
      const chat = chatOf(run.plan, model);
      const known = before && statesOf(run.plan).of(before.state).model;
      const isSame =
        known !== undefined && modelPath(known) === path && hashOf(chatOf(run.plan, known)) === hashOf(chat);
      try {
        if (before?.model.withAdapter && isSame) return await opened(state, await before.model.withAdapter(adapter));
        await before?.model.dispose();
        const planned = engineOf(run.plan, model);
        const settings = threads !== undefined && planned.forward === "own" ? { ...planned, threads } : planned;
        return await opened(state, await startEngine(path, settings, { adapter, chat }));
      } catch (error) {
        // What the engine says of a file that is gone, or another, is not why.
        if (trained !== undefined) await run.requireUnchanged(`adapter/${trained}`);
        throw error;
      }
    },
  };
}
