/** Object-level questions as the model reads them. Asking and quoting both use these, so that the two cannot differ. Pure. */
import type { ChatMessage } from "../records/answer.js";
import type { TaskDefinition, TaskItem } from "../records/task.js";

/** The question about one string: the same text that a hypothetical question quotes. */
export function objectLevelQuestion(
  definition: Pick<TaskDefinition, "question">,
  item: Pick<TaskItem, "text">,
): string {
  // A function, because "$&" and the like inside a string must stay what they are.
  return definition.question.replace("{string}", () => item.text);
}

/** The conversation goes on: the model's own answer, then the user's doubt. */
export function challengedMessages(messages: readonly ChatMessage[], answer: string, challenge: string): ChatMessage[] {
  return [...messages, { role: "assistant", content: answer }, { role: "user", content: challenge }];
}

/**
 * System message, solved examples as earlier turns, then the question.
 * The system message stands there even when it is empty: without one, some chat templates put in their own.
 */
export function objectLevelMessages(
  definition: Pick<TaskDefinition, "question" | "examples" | "challenge">,
  item: Pick<TaskItem, "text">,
  options: { readonly examples: boolean; readonly system: string },
): ChatMessage[] {
  const solved = options.examples ? definition.examples : [];
  return [
    { role: "system", content: options.system },
    ...solved.flatMap((example): ChatMessage[] => [
      { role: "user", content: objectLevelQuestion(definition, example) },
      { role: "assistant", content: example.answer },
      ...(definition.challenge === undefined || example.finalAnswer === undefined
        ? []
        : ([
            { role: "user", content: definition.challenge },
            { role: "assistant", content: example.finalAnswer },
          ] as const)),
    ]),
    { role: "user", content: objectLevelQuestion(definition, item) },
  ];
}
