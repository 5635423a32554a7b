/** From a study to the plan of its run, and what that has to do with other runs: the strings of pilots, the same questions asked before. */

import { isRecord } from "../base/untrusted.js";
import { existsSync, statSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { askedHere, objectLevelQuestions } from "../ask/questions.js";
import { hashOf, readJson } from "../base/files.js";
import { InwardError } from "../errors.js";
import { requireTrainable } from "../finetune/trainer.js";
import { gpuOf, roomForLayers } from "../model/engines/settings.js";
import { settlePrimary } from "../score/primary.js";
import { mapLogs } from "../elsewhere/map-logs.js";
import type { GivenReplies } from "../study/elsewhere.js";
import { makePlanAndReplies } from "../study/make-plan.js";
import type { PilotStrings } from "../study/pilot-strings.js";
import { type ModelFile, type Plan, readPlan } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import type { SettledEngine, Study } from "../study/study.js";
import { RUN_FILES } from "./folder.js";
import { type SettledVectors, settleInjectionVectors } from "./injection-files.js";
import { requireReadModels, type SettledLenses, settleLenses } from "./lens-files.js";
import { planChats, requireFaithful } from "./planned-chats.js";

/**
 * @param files the exact file of each model state
 * @param studyFolder where paths of tasks, chat templates and runs start
 * @throws as makePlan, planChats, requireFaithful and requireTrainable · STUDY_INVALID for a primary contrast that the study cannot make · STORE_NOT_A_RUN, STORE_CORRUPT of a pilot
 */
export async function planRun(
  authored: Study & { readonly engine: SettledEngine },
  files: Readonly<Record<string, ModelFile>>,
  studyFolder: string,
): Promise<Plan> {
  return (await planRunAndReplies(authored, files, studyFolder)).plan;
}

/** What a run needs beside its plan: what was said elsewhere to its questions, and where files are that the plan names. */
interface PlannedRun {
  readonly plan: Plan;
  readonly given: GivenReplies;
  readonly lenses: SettledLenses;
  readonly vectors: SettledVectors;
}

/** @throws as planRun, mapLogs, settleLenses and settleInjectionVectors */
export async function planRunAndReplies(
  authored: Study & { readonly engine: SettledEngine },
  files: Readonly<Record<string, ModelFile>>,
  studyFolder: string,
): Promise<PlannedRun> {
  const study = await onItsDevice(authored);
  const pilots: PilotStrings[] = [];
  for (const run of study.excludeStringsOf) pilots.push(await readPilot(run, studyFolder));
  const chats = await planChats(study, files, studyFolder);
  const logs = await mapLogs(study, studyFolder);
  const settled = await withLayers(study.engine, files);
  const lenses = await settleLenses(study, files, studyFolder);
  const vectors = await settleInjectionVectors(study, studyFolder);
  const plannedOf = <Planned>(all: Readonly<Record<string, { readonly planned: Planned }>>) =>
    Object.fromEntries(Object.entries(all).map(([name, { planned }]) => [name, planned]));
  const basis = { pilots, chats, logs, lenses: plannedOf(lenses), vectors: plannedOf(vectors) };
  const { plan, given } = await makePlanAndReplies(study, settled, studyFolder, basis);
  requireReadModels(plan, lenses);
  requireOneThinking(study, chats);
  for (const { training } of statesOf(plan).trained) {
    const base = files[training.base];
    if (base && base.path !== "") await requireTrainable(base.path, training.settings.lora.targets);
  }
  await requireFaithful(plan, files);
  const whole = study.primary ? { ...plan, primary: settlePrimary(plan, study.primary) } : plan;
  return { plan: whole, given, lenses, vectors };
}

/** What the study leaves open of training is settled by the device that trains. */
async function onItsDevice<Settled extends Study>(study: Settled): Promise<Settled> {
  const { lora, engine } = study;
  if (!lora || Object.keys(lora.onGpu).length === 0 || (await gpuOf(engine.device)) === undefined) return study;
  return { ...study, lora: { ...lora, settings: { ...lora.settings, ...lora.onGpu } } };
}

/** @param files a path is empty where the file is not here */
async function withLayers(
  engine: SettledEngine,
  files: Readonly<Record<string, ModelFile>>,
): Promise<Record<string, ModelFile>> {
  const settled: Record<string, ModelFile> = {};
  for (const [name, file] of Object.entries(files)) {
    const gpuLayers = file.path === "" ? undefined : await roomForLayers(engine, file.path);
    settled[name] = gpuLayers === undefined ? file : { ...file, gpuLayers };
  }
  return settled;
}

/** What an implant or a change teaches is an answer without thinking; asked with it, the model would not be asked what it learnt. */
function requireOneThinking({ implants, changes }: Study, chats: NonNullable<Plan["chats"]>): void {
  const taught = [...implants, ...changes].find(({ model }) => chats[model]?.thinking !== undefined);
  if (taught === undefined) return;
  throw new InwardError(
    "STUDY_INVALID",
    `${taught.name} teaches ${taught.model} answers without thinking, and objectLevel.reasoning asks it with thinking; set objectLevel.reasoning: off, or leave ${taught.name} out.`,
  );
}

/** Of a run only its plan is read: it may be under way, or another process may hold it. */
async function readPilot(run: string, studyFolder: string): Promise<PilotStrings> {
  const path = join(resolve(studyFolder, run), RUN_FILES.plan);
  if (!existsSync(path)) {
    throw new InwardError(
      "STORE_NOT_A_RUN",
      `excludeStringsOf names ${run}, which is no run folder: ${path} is not there.`,
    );
  }
  const content = await readJson(path);
  const plan = readPlan(content, path);
  return {
    run,
    study: plan.study,
    planHash: hashOf(content),
    tasks: plan.tasks.map(({ definition, train, heldOut }) => ({
      name: definition.name,
      items: [...train, ...heldOut],
    })),
  };
}

// A run holds what was asked under its own plan, and nothing else. That another run has asked the same is said before it is asked again.

/** A run that has put the same object-level questions to the same models, under a plan that differs elsewhere. */
export interface EarlierRun {
  /** Its folder, beside this run's. */
  readonly folder: string;
  /** Object-level answers that it has. */
  readonly answers: number;
  /** Where the plans differ: keys of the plan, such as `hypothetical.maxTokens`. */
  readonly differs: readonly string[];
}

/** Plans are read, newest first, of so many runs. */
const MOST_RUNS = 20;

/**
 * @param folder of the plan's own run: when it has begun, it goes on, and nothing is asked again
 * @returns newest first; runs that cannot be read are no help and are passed over
 */
export async function runsThatAskedTheSame(plan: Plan, folder: string): Promise<EarlierRun[]> {
  const [own, place] = [resolve(folder), dirname(resolve(folder))];
  if (existsSync(join(own, RUN_FILES.plan))) return [];
  const beside = await readdir(place, { withFileTypes: true }).catch(() => []);
  const runs = beside
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => ({ path: join(place, name), asked: askedAt(join(place, name)) }))
    .filter(({ asked }) => asked > 0)
    .sort((a, b) => b.asked - a.asked)
    .slice(0, MOST_RUNS);
  const asked = askedOf(plan);
  if (asked.questions.length === 0) return [];
  const questions = hashOf(asked);
  const found: EarlierRun[] = [];
  for (const { path } of runs) {
    try {
      const file = join(path, RUN_FILES.plan);
      const other = readPlan(await readJson(file), file);
      if (other.study !== plan.study || hashOf(askedOf(other)) !== questions) continue;
      const lines = await readFile(join(path, RUN_FILES.objectLevel));
      const answers = lines.reduce((count, byte) => (byte === LINE_FEED ? count + 1 : count), 0);
      if (answers > 0) found.push({ folder: path, answers, differs: differingKeys(plan, other) });
    } catch {
      // Its owner finds out when it is used.
    }
  }
  return found;
}

const LINE_FEED = 10;

/** When a run has last had an object-level answer, ms; 0 where it has none. */
function askedAt(run: string): number {
  return statSync(join(run, RUN_FILES.objectLevel), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** All that the object-level answers of models as they came are a function of. */
function askedOf(plan: Plan) {
  const { models, chats, engine } = plan;
  return { questions: askedHere(plan, objectLevelQuestions(plan)), models, chats, engine };
}

/** Dotted keys at which two values differ, the outermost that one of them lacks. */
export function differingKeys(a: unknown, b: unknown, at = ""): string[] {
  if (hashOf({ a }) === hashOf({ a: b })) return [];
  if (!isRecord(a) || !isRecord(b)) return [at];
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return keys.flatMap((key) => differingKeys(a[key], b[key], at === "" ? key : `${at}.${key}`));
}
