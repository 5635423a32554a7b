/** Stage 07, states: what the asked prompts leave in a model, for probes to read. */

import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import { InwardError } from "../errors.js";
import { readGguf } from "../gguf/read-gguf.js";
import { openTokenizer } from "../model/engines/start-engine.js";
import { parseSites, type Site, stateShapeOf } from "../model/sites.js";
import type { Capture } from "../probe/states-shard.js";
import type { Plan, PlannedProbe } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import { whatIsAsked, type ModelToAsk } from "./answers-file.js";
import { engineOf, type StageContext, type StageWork } from "./open-models.js";
import { chatOf } from "./planned-chats.js";
import { locatePrompts, type LocatedStatesPrompt, probedStates, promptsToLocate } from "./probe-prompts.js";
import { sizedStates, type StatesEstimate, type StatesJob, writeStates } from "./states-file.js";

/** What every site stands beside. */
const EMBEDDING = "residual_before.0";
/** A file of this size is what a killed process loses at most. */
const SHARD_BYTES = 2 ** 24;

/** @throws PROBE_SITE, MODEL_* */
async function plannedCapture({ sites, dtype }: PlannedProbe, path: string): Promise<Capture> {
  const shape = stateShapeOf(await readGguf(path), path);
  const all: Site[] = parseSites(`${EMBEDDING},${sites}`, shape);
  const weights = all.find(({ part }) => part === "attention_weights");
  if (weights === undefined) return { sites: all, shape, dtype };
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

export async function captureProbed(context: StageContext, { stage }: StageWork, state: string): Promise<void> {
  const { run, events, onProgress, signal } = context;
  const { job, prompts } = await jobOf(context, state);
  const folder = dirname(run.file(`states/${state}`));
  // One model in memory at a time.
  await context.closeModel();
  const write = () =>
    writeStates(job, prompts.map(asWritten), folder, {
      signal,
      onProgress: ({ done, total = 0 }) => onProgress(stage, done, total),
    });
  const done = await write().catch(async (error) => {
    // Those of an adapter that was since trained anew, or of another set-up of the engine.
    if (!(error instanceof InwardError) || error.code !== "ANSWERS_OTHER") throw error;
    events.add("states_outdated", { stage, state, reason: error.message });
    await rm(folder, { recursive: true });
    return await write();
  });
  events.add("states_captured", { stage, state, prompts: done.prompts, rows: done.rows, bytes: done.bytes });
}

function asWritten({ captured: _, sha256: __, ...prompt }: LocatedStatesPrompt) {
  return prompt;
}

async function jobOf(
  { run, modelPath, wornBy }: StageContext,
  state: string,
): Promise<{ readonly job: StatesJob; readonly prompts: readonly LocatedStatesPrompt[] }> {
  const { plan } = run;
  const probe = plan.probe as PlannedProbe;
  const { model, adapter } = statesOf(plan).of(state);
  const [planned, chat] = [plan.models[model], chatOf(plan, model)];
  const path = modelPath(model);
  if (!planned || !chat) throw new InwardError("INTERNAL", `${state} is a state of no model that is here.`);
  const worn = wornBy?.(model);
  const wornSha256 = planned.adapter?.sha256;
  const under =
    adapter !== undefined
      ? { path: run.file(`adapter/${adapter}`), sha256: run.outputHash(`adapter/${adapter}`), scale: 1 }
      : worn !== undefined && wornSha256 !== undefined
        ? { path: worn, sha256: wornSha256, scale: 1 }
        : undefined;
  const { source, sha256, encoding } = planned;
  const found: ModelToAsk = { file: { path, source, sha256, encoding }, chat, ...(under ? { adapter: under } : {}) };
  const capture = await plannedCapture(probe, path);
  const prompts = await locatedPrompts(plan, state, path);
  const rows = prompts.map(({ captured }) => captured);
  const lengths = prompts.map(({ meta }) => meta.tokenIds.length);
  const written = prompts.map(asWritten);
  const job: StatesJob = {
    found,
    positions: rows.map((places) => ({ prompt: places, reply: false })),
    capture,
    requests: prompts.map(({ messages }) => ({ messages, maxTokens: 0, temperature: 0, topTokens: 0 })),
    ...sizedStates(capture, lengths, rows, SHARD_BYTES),
    asked: whatIsAsked(found, engineOf(plan, model), { probe }, written),
  };
  return { job, prompts };
}

async function locatedPrompts(plan: Plan, state: string, path: string): Promise<LocatedStatesPrompt[]> {
  const tokenizer = await openTokenizer(path, chatOf(plan, statesOf(plan).of(state).model));
  try {
    return await locatePrompts(promptsToLocate(plan, state), tokenizer, (plan.probe as PlannedProbe).tokens);
  } finally {
    await tokenizer.dispose();
  }
}

/** What stage 07 comes to, by state. */
export interface ProbedEstimate extends Pick<StatesEstimate, "prompts" | "promptTokens" | "rows" | "bytes"> {
  readonly state: string;
  readonly sites: number;
}

/**
 * @param pathOf the file of a model, where it is here
 * @throws PROBE_SITE @returns of each state that is looked into; of one whose model is not here why nothing is known
 */
export async function estimateProbed(
  plan: Plan,
  pathOf: (model: string) => string | undefined,
): Promise<
  (({ readonly ok: true } & ProbedEstimate) | { readonly ok: false; readonly state: string; readonly reason: string })[]
> {
  const { probe } = plan;
  if (!probe) return [];
  const all: Awaited<ReturnType<typeof estimateProbed>> = [];
  for (const { name: state, model } of probedStates(plan)) {
    const path = pathOf(model);
    if (path === undefined) {
      all.push({ ok: false, state, reason: `the file of ${model} is not here` });
      continue;
    }
    const capture = await plannedCapture(probe, path);
    const prompts = await locatedPrompts(plan, state, path);
    const lengths = prompts.map(({ meta }) => meta.tokenIds.length);
    const rows = prompts.map(({ captured }) => captured);
    const { estimate } = sizedStates(capture, lengths, rows, SHARD_BYTES);
    const { prompts: count, promptTokens, rows: taken, bytes } = estimate;
    all.push({ ok: true, state, sites: capture.sites.length, prompts: count, promptTokens, rows: taken, bytes });
  }
  return all;
}
