/** Stage 07, states: what the asked prompts leave in a model, for probes to read. */

import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import { makeFolder, writeJson } from "../base/files.js";
import { INWARD_VERSION } from "../base/version.js";
import { type ErrorCode, InwardError } from "../errors.js";
import { ownForwardFault } from "../gguf/own-forward.js";
import { randomWeightBytes, writeRandomWeights } from "../gguf/random-weights.js";
import { readGguf } from "../gguf/read-gguf.js";
import { sha256OfFile } from "../model/model-file.js";
import { parseSites, type Site, siteName, stateShapeOf } from "../model/sites.js";
import type { Capture } from "../probe/states-shard.js";
import type { ModelFile, Plan, PlannedProbe } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import { whatIsAsked, type ModelToAsk } from "./answers-file.js";
import { engineOf, type StageContext, type StageWork } from "./open-models.js";
import { chatOf, withTokenizer } from "./planned-chats.js";
import {
  locatePrompts,
  type LocatedStatesPrompt,
  probedStates,
  promptsToLocate,
  randomTwin,
  randomTwins,
  wholePrompts,
} from "./probe-prompts.js";
import type { NoStates } from "./probe-states.js";
import {
  type FinishedStates,
  sizedStates,
  type StatesEstimate,
  type StatesJob,
  type StatesOptions,
  writeStates,
} from "./states-file.js";
import type { MaybeProbedEstimate, ProbedEstimate } from "./estimate/probe-cost.js";
import type { PlannedStudy } from "./run-study.js";

/** What every site stands beside. */
const EMBEDDING = "residual_before.0";
/** A file of this size is what a killed process loses at most. */
const SHARD_BYTES = 2 ** 24;

/** @returns names of the declared sites beside what is taken @throws PROBE_SITE, MODEL_* */
async function plannedCapture(
  { sites, dtype, lenses = [] }: PlannedProbe,
  path: string,
): Promise<{ readonly capture: Capture; readonly declared: readonly string[] }> {
  const shape = stateShapeOf(await readGguf(path), path);
  // What a lens is found for, and held against what was said.
  const end = lenses.length > 0 ? `,residual_after.${shape.layers - 1}` : "";
  const all: Site[] = parseSites(`${EMBEDDING},${sites}${end}`, shape);
  const weights = all.find(({ part }) => part === "attention_weights");
  const declared = parseSites(sites, shape).map(siteName);
  if (weights === undefined) return { capture: { sites: all, shape, dtype }, declared };
  throw new InwardError(
    "PROBE_SITE",
    "probe.sites has attention_weights, whose rows are as long as their text: a probe wants rows of one length. npx inward states writes them.",
  );
}

/** Throws what would stop the stage, before anything is asked. */
export async function requireSites({ run, modelPath }: StageContext, state: string): Promise<void> {
  const { plan } = run;
  const { model } = statesOf(plan).of(state);
  await plannedCapture(plan.probe as PlannedProbe, modelPath(model));
}

export async function captureProbed(context: StageContext, work: StageWork, state: string): Promise<void> {
  await captureInto(context, work, state, await jobOf(context, state));
}

/**
 * The states of the same prompts in a network of the same shape with random weights, whose file stands beside them until they are taken.
 * Where there can be none, the stage's file says why.
 */
export async function captureRandomTwin(
  context: StageContext,
  work: StageWork,
  { model, state }: ReturnType<typeof randomTwins>[number],
): Promise<void> {
  const { run, modelPath, signal } = context;
  const { models, seed } = run.plan;
  const twin = randomTwin(model);
  const { source, sha256 } = models[model] as Plan["models"][string];
  const folder = dirname(run.file(`states/${twin}`));
  const path = `${folder}.gguf`;
  try {
    makeFolder(dirname(folder));
    if (!existsSync(path)) await writeRandomWeights(modelPath(model), path, { seed, sourceSha256: sha256, signal });
    const file = { path, source: `${source}, random weights`, sha256: await sha256OfFile(path), encoding: "f16" };
    await captureInto(context, work, twin, await jobOf(context, state, file));
  } catch (error) {
    if (!(error instanceof InwardError) || !NO_TWIN.includes(error.code)) throw error;
    await rm(folder, { recursive: true, force: true });
    makeFolder(folder);
    const none: NoStates = { inward: INWARD_VERSION, what: "states", missing: error.message };
    await writeJson(run.file(`states/${twin}`), none);
  }
  await rm(path, { force: true });
}

/** What random weights may bring about, and trained ones do not. */
const NO_TWIN: readonly ErrorCode[] = ["PROBE_INVALID", "PROBE_RANGE", "ENGINE_NOT_FINITE"];

async function captureInto(
  context: StageContext,
  { stage }: StageWork,
  name: string,
  { job, prompts }: PlannedStates,
): Promise<void> {
  await captureIntoRun(context, stage, name, dirname(context.run.file(`states/${name}`)), job, prompts);
}

/** Into a folder of the run, with what becomes of it in the events. @param name of the state, for these */
export async function captureIntoRun(
  context: StageContext,
  stage: StageWork["stage"],
  name: string,
  folder: string,
  job: StatesJob,
  prompts: readonly LocatedStatesPrompt[],
): Promise<void> {
  const { events, onProgress, signal } = context;
  // One model in memory at a time.
  await context.closeModel();
  const write = () =>
    writeStates(job, prompts.map(asWritten), folder, {
      signal,
      onProgress: ({ done, total = 0 }) => onProgress(stage, done, total),
      onCrash: (crash) => events.add("engine_crashed", { stage, state: name, ...crash }),
    });
  const done = await write().catch(async (error) => {
    // Those of an adapter that was since trained anew, or of another set-up of the engine.
    if (!(error instanceof InwardError) || error.code !== "ANSWERS_OTHER") throw error;
    events.add("states_outdated", { stage, state: name, reason: error.message });
    await rm(folder, { recursive: true });
    return await write();
  });
  for (const key of done.setAside) events.add("item_set_aside", { stage, state: name, key, reason: "engine_crashed" });
  events.add("states_captured", { stage, state: name, prompts: done.prompts, rows: done.rows, bytes: done.bytes });
}

/** What is captured of these prompts, and by what it is known again. @param what of the plan decides it @param engine others than the plan's */
export function statesJobOf(
  plan: Plan,
  model: string,
  found: ModelToAsk,
  capture: Capture,
  prompts: readonly LocatedStatesPrompt[],
  what: Readonly<Record<string, unknown>>,
  engine = engineOf(plan, model),
): StatesJob {
  const rows = prompts.map(({ captured }) => captured);
  const lengths = prompts.map(({ meta }) => meta.tokenIds.length);
  return {
    found,
    positions: rows.map((places) => ({ prompt: places, reply: false })),
    capture,
    requests: prompts.map(({ messages }) => ({ messages, maxTokens: 0, temperature: 0, topTokens: 0 })),
    ...sizedStates(capture, lengths, rows, SHARD_BYTES),
    asked: whatIsAsked(found, engine, what, prompts.map(asWritten)),
  };
}

function asWritten({ captured: _, ...prompt }: LocatedStatesPrompt) {
  return prompt;
}

type Under = NonNullable<ModelToAsk["adapter"]>;

async function jobOf(context: StageContext, state: string, twin?: ModelToAsk["file"]): Promise<PlannedStates> {
  const { plan } = context.run;
  const { model } = statesOf(plan).of(state);
  const under = twin === undefined ? underOf(context, state) : undefined;
  return plannedStates(plan, state, { path: context.modelPath(model), under, twin });
}

function underOf({ run, wornBy }: StageContext, state: string): Under | undefined {
  const { model, adapter } = statesOf(run.plan).of(state);
  if (adapter === undefined) return wornUnder(run.plan, model, wornBy?.(model));
  return { path: run.file(`adapter/${adapter}`), sha256: run.outputHash(`adapter/${adapter}`), scale: 1 };
}

/** The weights of a state of the run, with the adapter that it wears. */
export function modelToCapture(context: StageContext, state: string): ModelToAsk {
  const { plan } = context.run;
  const { model } = statesOf(plan).of(state);
  const [planned, chat] = [plan.models[model], chatOf(plan, model)];
  if (!planned || !chat) throw new InwardError("INTERNAL", `${state} is a state of no model that is here.`);
  const { source, sha256, encoding } = planned;
  const under = underOf(context, state);
  return {
    file: { path: context.modelPath(model), source, sha256, encoding },
    chat,
    ...(under ? { adapter: under } : {}),
  };
}

/** What a model wears from the start. */
function wornUnder({ models }: Plan, model: string, path: string | undefined): Under | undefined {
  const sha256 = models[model]?.adapter?.sha256;
  return path === undefined || sha256 === undefined ? undefined : { path, sha256, scale: 1 };
}

interface PlannedStates {
  readonly job: StatesJob;
  readonly prompts: readonly LocatedStatesPrompt[];
}

async function plannedStates(
  plan: Plan,
  state: string,
  { path, under, twin }: { readonly path: string; readonly under?: Under; readonly twin?: ModelToAsk["file"] },
): Promise<PlannedStates> {
  const probe = plan.probe as PlannedProbe;
  const { model } = statesOf(plan).of(state);
  const [planned, chat] = [plan.models[model], chatOf(plan, model)];
  if (!planned || !chat) throw new InwardError("INTERNAL", `${state} is a state of no model that is here.`);
  const { source, sha256, encoding } = planned;
  const file = twin ?? { path, source, sha256, encoding };
  const found: ModelToAsk = { file, chat, ...(under ? { adapter: under } : {}) };
  const { capture, declared } = await plannedCapture(probe, path);
  const prompts = await locatedPrompts(plan, state, path);
  const job = statesJobOf(plan, model, found, capture, prompts, { probe, declared, layers: capture.shape.layers });
  return { job, prompts };
}

// The same without a run.

/** States of a study's prompts, of a model as it comes: what its run would keep in 07-states. */
export interface StudyStates {
  readonly plan: Plan;
  readonly state: string;
  readonly estimate: StatesEstimate;
  /** @param folder absolute @throws as captureIntoRun */
  readonly write: (
    folder: string,
    hooks: Pick<StatesOptions, "signal" | "onProgress" | "onCrash">,
  ) => Promise<FinishedStates>;
}

/**
 * @param planned of a study that looks inside
 * @param state one of its models; its only one where absent
 * @throws USAGE several models, or none of that name · PROBE_SITE, MODEL_*, CHAT_*
 */
export async function statesOfStudy({ plan, models }: PlannedStudy, state?: string): Promise<StudyStates> {
  const asTheyCome = probedStates(plan).filter(({ adapter }) => adapter === undefined);
  const names = asTheyCome.map(({ name }) => name);
  const chosen = state ?? (names.length === 1 ? names[0] : undefined);
  if (chosen === undefined || !names.includes(chosen)) {
    const which =
      state === undefined ? "It has several models: say which with --state" : `${state} is none of its models`;
    throw new InwardError("USAGE", `${which} (${names.join(", ")}). States after training are kept by its run.`);
  }
  const { model } = statesOf(plan).of(chosen);
  const { path, adapterPath } = models[model] as ModelFile;
  const { job, prompts } = await plannedStates(plan, chosen, { path, under: wornUnder(plan, model, adapterPath) });
  return {
    plan,
    state: chosen,
    estimate: job.estimate,
    write: (folder, hooks) => writeStates(job, prompts.map(asWritten), folder, hooks),
  };
}

function locatedPrompts(plan: Plan, state: string, path: string): Promise<LocatedStatesPrompt[]> {
  const { tokens } = plan.probe as PlannedProbe;
  return withTokenizer(plan, state, path, (tokenizer) =>
    locatePrompts(promptsToLocate(plan, state), tokenizer, tokens),
  );
}

/**
 * @param pathOf the file of a model, where it is here
 * @throws PROBE_SITE @returns of each state that is looked into; of one whose model is not here why nothing is known
 */
export async function estimateProbed(
  plan: Plan,
  pathOf: (model: string) => string | undefined,
): Promise<MaybeProbedEstimate[]> {
  const { probe } = plan;
  if (!probe) return [];
  const twins = randomTwins(plan).map(({ model, state }) => ({ name: randomTwin(model), model, prompts: state }));
  const states = probedStates(plan).map(({ name, model }) => ({ name, model, prompts: name }));
  const all: MaybeProbedEstimate[] = [];
  for (const { name: state, model, prompts: asked } of [...states, ...twins]) {
    const path = pathOf(model);
    if (path === undefined) {
      all.push({ ok: false, state, reason: `the file of ${model} is not here` });
      continue;
    }
    const file = await readGguf(path);
    const isTwin = state !== asked;
    const fault = isTwin ? ownForwardFault(file) : undefined;
    if (fault !== undefined) {
      all.push({ ok: false, state, reason: `it gets no random weights: ${fault}` });
      continue;
    }
    const { capture, declared } = await plannedCapture(probe, path);
    const prompts = await locatedPrompts(plan, asked, path);
    const lengths = prompts.map(({ meta }) => meta.tokenIds.length);
    const rows = prompts.map(({ captured }) => captured);
    const { estimate } = sizedStates(capture, lengths, rows, SHARD_BYTES);
    const width = capture.shape.embedding;
    const embedding = file.tensors.find(({ name }) => name === "token_embd.weight")?.elements ?? 0;
    all.push({
      ok: true,
      state,
      model,
      ...(isTwin ? { fileBytes: randomWeightBytes(file.tensors) } : {}),
      sites: declared.length,
      residuals: capture.sites.filter(({ part }) => part.startsWith("residual_")).length,
      width,
      vocabulary: embedding / width,
      ...countedRows(prompts),
      ...(isTwin ? {} : wholeOf(plan, prompts, capture)),
      prompts: estimate.prompts,
      promptTokens: estimate.promptTokens,
      rows: estimate.rows,
      bytes: estimate.bytes,
    });
  }
  return all;
}

/** Of prompts that lenses read at every token: their states, while they are read. */
function wholeOf(
  plan: Plan,
  prompts: readonly LocatedStatesPrompt[],
  { sites, ...capture }: Capture,
): Pick<ProbedEstimate, "whole"> {
  const whole = wholePrompts(
    plan,
    prompts.map(({ meta }) => meta),
  );
  if (whole.length === 0) return {};
  const lengths = whole.map(({ tokenIds }) => tokenIds.length);
  const residuals = { ...capture, sites: sites.filter(({ part }) => part.startsWith("residual_")) };
  const rows = whole.map(({ tokenIds }) => [...tokenIds.keys()]);
  const { promptTokens: tokens, bytes } = sizedStates(residuals, lengths, rows, SHARD_BYTES).estimate;
  return { whole: { prompts: whole.length, tokens, bytes } };
}

function countedRows(
  prompts: readonly LocatedStatesPrompt[],
): Pick<ProbedEstimate, "trainRows" | "heldOutRows" | "trainStrings" | "heldOutStrings"> {
  const rows = { train: 0, held_out: 0 };
  const strings = new Map<string, { readonly train: Set<string>; readonly held_out: Set<string> }>();
  for (const { meta } of prompts) {
    rows[meta.split] += Object.keys(meta.spans).length;
    const task = strings.get(meta.task) ?? { train: new Set(), held_out: new Set() };
    task[meta.split].add(meta.item);
    strings.set(meta.task, task);
  }
  const most = (split: "train" | "held_out") => Math.max(0, ...[...strings.values()].map((task) => task[split].size));
  return {
    ...{ trainRows: rows.train, heldOutRows: rows.held_out },
    ...{ trainStrings: most("train"), heldOutStrings: most("held_out") },
  };
}
