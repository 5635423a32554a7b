/** The fixed questions with which two engines are compared: both kinds, every built-in task, long prompts and short answers. */
import type { AskRequest } from "../model/language-model.js";
import { hypotheticalVariant } from "../properties/hypothetical-variants.js";
import { propertyNamed } from "../properties/all-properties.js";
import type { TaskDefinition, TaskItem } from "../records/task.js";
import { ALL_TASKS } from "../tasks/all-tasks.js";
import { loadBuiltInTask } from "../tasks/load-task.js";
import { objectLevelMessages, objectLevelQuestion } from "../tasks/object-level-messages.js";
import { wordHypothetical } from "./hypothetical-turn.js";

export interface VerificationQuestion {
  /** `<task>/<item>`, with `/<property>` when hypothetical. */
  readonly key: string;
  readonly request: AskRequest;
}

const OBJECT_LEVEL_STRINGS = 3;
const MOST_PROPERTIES = 3;
const MOST_TOKENS = 12;
const TOP_TOKENS = 10;

/** Three object-level questions of each task, with its solved examples; and one string of each with up to three properties. */
export async function verificationQuestions(): Promise<VerificationQuestion[]> {
  const questions: VerificationQuestion[] = [];
  for (const definition of ALL_TASKS) {
    const { heldOut } = await loadBuiltInTask(definition);
    for (const item of heldOut.slice(0, OBJECT_LEVEL_STRINGS)) questions.push(objectLevel(definition, item));
    for (const item of heldOut.slice(0, 1)) {
      for (const property of definition.properties.slice(0, MOST_PROPERTIES)) {
        questions.push(hypothetical(definition, item, property));
      }
    }
  }
  return questions;
}

function objectLevel(definition: TaskDefinition, item: TaskItem): VerificationQuestion {
  return {
    key: `${definition.name}/${item.id}`,
    request: {
      messages: objectLevelMessages(definition, item, { examples: true, system: "" }),
      maxTokens: Math.min(definition.maxTokens, MOST_TOKENS),
      temperature: 0,
      topTokens: TOP_TOKENS,
    },
  };
}

function hypothetical(definition: TaskDefinition, item: TaskItem, property: string): VerificationQuestion {
  const content = wordHypothetical(
    hypotheticalVariant("minimal").template,
    objectLevelQuestion(definition, item),
    propertyNamed(property).question,
  );
  return {
    key: `${definition.name}/${item.id}/${property}`,
    request: {
      messages: [
        { role: "system", content: "" },
        { role: "user", content },
      ],
      maxTokens: Math.min(definition.maxTokens, MOST_TOKENS),
      temperature: 0,
      topTokens: TOP_TOKENS,
      shares: `${definition.name}/${item.id}`,
    },
  };
}
