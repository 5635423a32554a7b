/** Stages 03 and 06: takes the behavior properties of every object-level answer, final answers after challenges included. Needs no model. */
import { hasChallenges } from "../ask/challenge-questions.js";
import { propertyNamed } from "../properties/all-properties.js";
import { extractChallengedBehavior } from "../properties/challenged-behavior.js";
import { answerCompliance } from "../properties/compliance.js";
import type { Answer } from "../records/answer.js";
import type { Behavior } from "../records/behavior.js";
import { missing } from "../records/extraction.js";
import type { Plan } from "../records/plan.js";
import { hashOf } from "../store/canonical-json.js";
import { readJsonLines } from "../store/read-records.js";
import type { RunFile } from "../store/run-folder.js";
import { writeJsonLines } from "../store/write-whole.js";
import { ANSWERS_OF_ROUND, BEHAVIORS_OF_ROUND, CHALLENGED_OF_ROUND, type Round, roundsOf } from "./behavior-files.js";
import type { StageContext } from "./stage-context.js";

/**
 * @param round of the training that made the states; 0 for models as they came
 * Writes no file when none of them was asked.
 */
export async function extractBehaviors({ run }: Pick<StageContext, "run">, round: Round): Promise<void> {
  if (!roundsOf(run.plan).includes(round)) return;
  const [answers, challenged, behaviors] = [ANSWERS_OF_ROUND, CHALLENGED_OF_ROUND, BEHAVIORS_OF_ROUND].map(
    (files) => files[round],
  ) as [RunFile, RunFile, RunFile];
  const inputs = {
    plan: hashOf(run.plan),
    [answers]: run.outputHash(answers),
    ...(hasChallenges(run.plan) ? { [challenged]: run.outputHash(challenged) } : {}),
  };
  if (await run.isDone(behaviors, inputs)) return;
  const { rows } = await readJsonLines<Answer>(run.file(answers));
  const final = await readJsonLines<Answer>(run.file(challenged));
  await writeJsonLines(run.file(behaviors), behaviorsOf(run.plan, rows, final.rows));
  await run.markDone(behaviors, inputs);
}

/** @param challenged the final answers, where first ones were challenged */
export function behaviorsOf(plan: Plan, answers: readonly Answer[], challenged: readonly Answer[] = []): Behavior[] {
  const placeOf = ({ state, task, item, sample }: Answer) => JSON.stringify([state, task, item, sample]);
  const final = new Map(challenged.map((answer) => [placeOf(answer), answer]));
  const tasks = new Map(plan.tasks.map((task) => [task.definition.name, task]));
  const items = new Map(
    plan.tasks.flatMap((task) =>
      [...task.train, ...task.heldOut].map((item) => [`${task.definition.name}/${item.id}`, item] as const),
    ),
  );
  return answers.flatMap((answer) => {
    const task = tasks.get(answer.task);
    const item = items.get(`${answer.task}/${answer.item}`);
    if (!task || !item) return [];
    const { state, split, sample } = answer;
    const about = { state, task: answer.task, item: answer.item, split, sample };
    if (answer.setAside) {
      const none = missing(answer.setAside);
      return task.properties.map((property): Behavior => ({ ...about, property, extraction: none, compliance: none }));
    }
    const { text, stop } = answer.reply;
    const form = task.definition.answerForm;
    const compliance = answerCompliance(text, form, stop);
    const finalAnswer = final.get(placeOf(answer));
    return task.properties.map((name): Behavior => {
      const property = propertyNamed(name);
      const after = property.needs === "challenge" ? finalAnswer : undefined;
      const margins = [...answer.reply.margins, ...(after?.reply?.margins ?? [])];
      return {
        ...about,
        property: name,
        extraction: after?.setAside
          ? missing(after.setAside)
          : extractChallengedBehavior(property, answer.reply, after?.reply, item, form),
        compliance,
        ...(margins.length === 0 ? {} : { minMargin: Math.min(...margins) }),
      };
    });
  });
}
