/** Where the answers and behaviors of a run stand: models as they came, then what each round of training made. */
import { adaptedObjectLevelQuestions } from "../ask/object-level-questions.js";
import type { Answer } from "../records/answer.js";
import type { Behavior } from "../records/behavior.js";
import type { Plan } from "../records/plan.js";
import { readJsonLines } from "../store/read-records.js";
import type { RunFolder } from "../store/run-folder.js";

export const ANSWERS_OF_ROUND = ["objectLevel", "objectLevelAdapted", "objectLevelReadapted"] as const;
/** Final answers, where a task doubts first ones; not there where none does. */
export const CHALLENGED_OF_ROUND = ["challenged", "challengedAdapted", "challengedReadapted"] as const;
export const BEHAVIORS_OF_ROUND = ["behaviors", "behaviorsAdapted", "behaviorsReadapted"] as const;

export type Round = 0 | 1 | 2;

/** Rounds of training after which somebody is asked what it does; 0, for the models as they came, first. */
export function roundsOf(plan: Plan): Round[] {
  return [0, ...([1, 2] as const).filter((round) => adaptedObjectLevelQuestions(plan, round).length > 0)];
}

/** Hashes of the behaviors of all rounds up to one, for the marks of what depends on them. @throws STORE_INCOMPLETE */
export function behaviorHashes(run: RunFolder, last: Round = 2): Record<string, string> {
  const files = roundsOf(run.plan).flatMap((round) => (round <= last ? [BEHAVIORS_OF_ROUND[round]] : []));
  return Object.fromEntries(files.map((file) => [file, run.outputHash(file)]));
}

/** Object-level answers of all rounds up to one. */
export async function readAnswers(run: RunFolder, last: Round = 2): Promise<Answer[]> {
  const all: Answer[] = [];
  for (const round of roundsOf(run.plan)) {
    if (round <= last) all.push(...(await readJsonLines<Answer>(run.file(ANSWERS_OF_ROUND[round]))).rows);
  }
  return all;
}

/** Behaviors of all rounds up to one that are there. */
export async function readBehaviors(run: RunFolder, last: Round = 2): Promise<Behavior[]> {
  const all: Behavior[] = [];
  for (const round of roundsOf(run.plan)) {
    if (round <= last) all.push(...(await readJsonLines<Behavior>(run.file(BEHAVIORS_OF_ROUND[round]))).rows);
  }
  return all;
}
