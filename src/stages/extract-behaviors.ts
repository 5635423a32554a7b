/** Stages 03 and 06: takes the behavior properties of every object-level answer. Needs no model. */
import { propertyNamed } from "../properties/all-properties.js";
import { answerCompliance } from "../properties/compliance.js";
import { extractBehavior } from "../properties/reading.js";
import type { Answer } from "../records/answer.js";
import type { Behavior } from "../records/behavior.js";
import { missing } from "../records/extraction.js";
import type { Plan } from "../records/plan.js";
import { hashOf } from "../store/canonical-json.js";
import { readJsonLines } from "../store/read-records.js";
import { writeJsonLines } from "../store/write-whole.js";
import { ANSWERS_OF_ROUND, BEHAVIORS_OF_ROUND, type Round, roundsOf } from "./behavior-files.js";
import type { StageContext } from "./stage-context.js";

/**
 * @param round of the training that made the states; 0 for models as they came
 * Writes no file when none of them was asked.
 */
export async function extractBehaviors({ run }: Pick<StageContext, "run">, round: Round): Promise<void> {
  if (!roundsOf(run.plan).includes(round)) return;
  const [answers, behaviors] = [ANSWERS_OF_ROUND[round], BEHAVIORS_OF_ROUND[round]];
  const inputs = { plan: hashOf(run.plan), [answers]: run.outputHash(answers) };
  if (await run.isDone(behaviors, inputs)) return;
  const { rows } = await readJsonLines<Answer>(run.file(answers));
  await writeJsonLines(run.file(behaviors), behaviorsOf(run.plan, rows));
  await run.markDone(behaviors, inputs);
}

export function behaviorsOf(plan: Plan, answers: readonly Answer[]): Behavior[] {
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
    const { text, stop, margins } = answer.reply;
    const compliance = answerCompliance(text, task.definition.answerForm, stop);
    return task.properties.map(
      (name): Behavior => ({
        ...about,
        property: name,
        extraction: extractBehavior(propertyNamed(name), text, item, stop),
        compliance,
        ...(margins.length === 0 ? {} : { minMargin: Math.min(...margins) }),
      }),
    );
  });
}
