/** From a study to the plan of its run, with what a plan takes from other runs: the strings of pilots. */

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { hashOf, readJson } from "../base/files.js";
import { InwardError } from "../errors.js";
import { settlePrimary } from "../score/primary.js";
import { makePlan } from "../study/make-plan.js";
import type { PilotStrings } from "../study/pilot-strings.js";
import { type ModelFile, type Plan, readPlan } from "../study/plan.js";
import type { SettledEngine, Study } from "../study/study.js";
import { RUN_FILES } from "./folder.js";
import { planChats, requireFaithful } from "./planned-chats.js";

/**
 * @param files the exact file of each model state
 * @param studyFolder where paths of tasks, chat templates and runs start
 * @throws as makePlan, planChats and requireFaithful · STUDY_INVALID for a primary contrast that the study cannot make · STORE_NOT_A_RUN, STORE_CORRUPT of a pilot
 */
export async function planRun(
  study: Study & { readonly engine: SettledEngine },
  files: Readonly<Record<string, ModelFile>>,
  studyFolder: string,
): Promise<Plan> {
  const pilots: PilotStrings[] = [];
  for (const run of study.excludeStringsOf) pilots.push(await readPilot(run, studyFolder));
  const chats = await planChats(study, files, studyFolder);
  const plan = await makePlan(study, files, studyFolder, { pilots, chats });
  await requireFaithful(plan, files);
  return study.primary ? { ...plan, primary: settlePrimary(plan, study.primary) } : plan;
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
