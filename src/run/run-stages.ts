/** Runs the table of stages. Hashing, skipping what is done, marking and outdating are done here alone. */

import { rm } from "node:fs/promises";
import { hashOf } from "../base/files.js";
import { requireStillPlanned } from "../model/model-file.js";
import type { RunFile, RunFolder } from "./folder.js";
import type { StageContext } from "./open-models.js";
import {
  filesRead,
  isJudged,
  isFileList,
  modelOfStage,
  type Reads,
  REPORTING,
  type SCORING,
  type Selection,
  type Stage,
  stagesOf,
  WHOLE_RUN,
} from "./stages.js";

/**
 * Runs the stages of a selection that are not done yet. The plan stands in the folder already (01-plan.json).
 * @throws InwardError; what was finished before stays, and the same call goes on from there
 */
export async function runStages(context: StageContext, selection: Selection = WHOLE_RUN): Promise<void> {
  const stages = selection(stagesOf(context.run.plan));
  for (const stage of stages) await stage.ready?.(context);
  for (const stage of stages) await runStage(context, stage);
}

/**
 * Makes what a selection writes again from the stored files, with the code of today; asks no model.
 * @throws STORE_INCOMPLETE when a stage before it is not finished, STORE_CORRUPT when its file was changed since
 */
export async function runStagesAgain(run: RunFolder, selection: typeof SCORING | typeof REPORTING): Promise<void> {
  const { plan } = run;
  for (const { kind, writes, reads } of stagesOf(plan)) {
    if (kind === "asked" && filesRead(reads).length === 0) {
      for (const file of writes) run.requirePlanOf(file, { plan: hashOf(plan) });
    }
  }
  const stages = selection(stagesOf(plan));
  const made = new Set(stages.flatMap(({ writes }) => writes));
  // Looked at before anything is made anew: a run that is refused stays as it is.
  for (const { reads, alsoReads = [] } of stages) {
    for (const file of [...filesRead(reads), ...alsoReads]) if (!made.has(file)) await run.requireUnchanged(file);
  }
  for (const stage of stages) {
    if (selection !== REPORTING || isJudged(stage)) for (const file of stage.writes) run.forget(file);
  }
  await runStages(withoutModels(run, { add: () => {} }), selection);
}

/** What stages work with that read stored files alone. */
export function withoutModels(run: RunFolder, events: StageContext["events"]): StageContext {
  const none = async (): Promise<never> => {
    throw new Error("A stage that works on stored files has asked for a model.");
  };
  return {
    run,
    events,
    modelFor: none,
    reopenModel: none,
    closeModel: async () => {},
    modelPath: () => "",
    onProgress: () => {},
  };
}

/** What a stage's mark is made from. @throws STORE_INCOMPLETE where what it reads is not finished */
export async function inputsOf(run: RunFolder, { reads, besides }: Stage): Promise<Record<string, unknown>> {
  return { plan: hashOf(run.plan), ...(hashesOf(run, reads) as Record<string, unknown>), ...(await besides?.(run)) };
}

/**
 * All that a stage looks into, each file read whole.
 * @param ofParts the stage is done state by state, by processes of which none reads all adapters, of which there may be thousands: each is
 * compared with its mark by who opens it
 * @throws STORE_INCOMPLETE, STORE_CORRUPT
 */
export async function requireReads(
  run: RunFolder,
  { reads, alsoReads = [] }: Stage,
  { ofParts = false }: { readonly ofParts?: boolean } = {},
): Promise<ReadonlySet<RunFile>> {
  const files = new Set([...filesRead(reads), ...alsoReads]);
  for (const file of files) {
    if (ofParts && file.startsWith("adapter/")) run.outputHash(file);
    else await run.requireUnchanged(file);
  }
  return files;
}

/** Files that grow with every stage that has a model. */
export function marksBeside({ kind }: Pick<Stage, "kind">): RunFile[] {
  return kind === "asked" || kind === "measured" ? ["manifest"] : [];
}

export async function runStage(context: StageContext, stage: Stage): Promise<void> {
  await context.run.inPlace(() => runInPlace(context, stage));
}

async function runInPlace(context: StageContext, stage: Stage): Promise<void> {
  const { run, events, onProgress } = context;
  const { name, writes, asks } = stage;
  const inputs = await inputsOf(run, stage);
  const questions = asks?.(run.plan).length;
  const beside = marksBeside(stage);
  if (await run.isDone(writes, inputs)) {
    // A mark that was lost is made again, as those of stages are.
    if (beside.some((file) => !run.isMarked(file))) await run.markDone(writes, inputs, beside);
    if (questions !== undefined) onProgress(name, questions, questions);
    return;
  }
  const files = await requireReads(run, stage);
  if (opensByPath(stage)) await context.requireModels?.();
  await run.unmark(writes);
  events.add("stage_begun", { stage: name, questions });
  await stage.run(context, { stage: name, reads: files, outdate: () => removeOutdated(run, stage) });
  await requireStageModels(context, stage);
  await run.markDone(writes, inputs, beside);
  events.add("stage_done", { stage: name });
}

/** After a stage that opens models by their paths: they are still the plan's. @throws as requireStillPlanned */
export async function requireStageModels(
  { run, requireModels }: Pick<StageContext, "run" | "requireModels">,
  stage: Stage,
): Promise<void> {
  if (!opensByPath(stage)) return;
  const model = modelOfStage(run.plan, stage);
  const made = stage.writes.map((file) => run.file(file));
  await requireStillPlanned(async () => requireModels?.(model), made);
}

function opensByPath({ kind }: Pick<Stage, "kind">): boolean {
  return kind === "measured" || kind === "trained";
}

function hashesOf(run: RunFolder, what: Reads[string]): unknown {
  if (typeof what === "string") return run.outputHash(what);
  if (isFileList(what)) return what.map((file) => run.outputHash(file));
  return Object.fromEntries(Object.entries(what).map(([as, inner]) => [as, hashesOf(run, inner)]));
}

/**
 * Removes what was asked on the strength of files that a stage is about to make anew. Such a file goes on from what stands in it,
 * and its keys alone would not tell. Training looks at its set itself, and stages from stored files alone are made anew anyway.
 */
export async function removeOutdated(run: RunFolder, stage: Stage): Promise<void> {
  const outdated = new Set<RunFile>(stage.writes);
  for (const { kind, writes, reads } of stagesOf(run.plan)) {
    if (!filesRead(reads).some((file) => outdated.has(file)) || kind === "trained") continue;
    for (const file of writes) {
      if (kind === "asked") await rm(run.file(file), { force: true });
      else outdated.add(file);
    }
  }
}
