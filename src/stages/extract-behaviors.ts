/** Stages 03 and 06: takes the behavior properties of every object-level answer. Needs no model. */
import { adaptedObjectLevelQuestions } from "../ask/object-level-questions.js";
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
import type { StageContext } from "./stage-context.js";

export async function extractBehaviors({ run }: Pick<StageContext, "run">): Promise<void> {
  const inputs = { plan: hashOf(run.plan), objectLevel: run.outputHash("objectLevel") };
  if (await run.isDone("behaviors", inputs)) return;
  const { rows } = await readJsonLines<Answer>(run.file("objectLevel"));
  await writeJsonLines(run.file("behaviors"), behaviorsOf(run.plan, rows));
  await run.markDone("behaviors", inputs);
}

/** Writes no file when no state with an adapter was asked. */
export async function extractAdaptedBehaviors({ run }: Pick<StageContext, "run">): Promise<void> {
  if (adaptedObjectLevelQuestions(run.plan).length === 0) return;
  const inputs = { plan: hashOf(run.plan), objectLevelAdapted: run.outputHash("objectLevelAdapted") };
  if (await run.isDone("behaviorsAdapted", inputs)) return;
  const { rows } = await readJsonLines<Answer>(run.file("objectLevelAdapted"));
  await writeJsonLines(run.file("behaviorsAdapted"), behaviorsOf(run.plan, rows));
  await run.markDone("behaviorsAdapted", inputs);
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
