import type { ChatMessage } from "./answer.js";

/** Which strings an item belongs to: `train` strings may be learned from, `held_out` strings are only ever scored. */
export type Split = "train" | "held_out";

/** One string of a task. */
export interface TaskItem {
  /** Unique in its task, stable across runs: `<split>-<index>` or the user's own id. */
  readonly id: string;
  readonly split: Split;
  /** The string itself, exactly as it stands in the question. */
  readonly text: string;
  /** Two-option dilemmas: the letter (`A` or `B`) of the option that matches the task's disposition. `right_answer` tasks: that answer. */
  readonly target?: string;
  /** Items of one cluster are about the same thing: one side of the split, chosen together, resampled together. Absent: the item alone. */
  readonly cluster?: string;
}

/** A question with its answer, asked as earlier chat turns so that small models see the format. */
export interface SolvedExample {
  readonly text: string;
  readonly answer: string;
  /** Tasks with a challenge only: what is said to it. */
  readonly finalAnswer?: string;
}

/**
 * What the strings of a task look like. It decides which properties and heuristics make sense.
 * `sequence` a list of words · `numbers` a list of numbers · `continuation` prose to go on with · `options` an A/B dilemma.
 */
export type TaskKind = "sequence" | "numbers" | "continuation" | "options";

/** What an object-level answer must be to count as compliant, besides not being empty or a refusal. */
export type AnswerForm = "any" | "one_word" | "number" | "option_letter";

/** What only some tasks have, so that not every property of their kind makes sense: a right answer to each string, names to choose from. */
export type TaskFeature = "right_answer" | "offered_names";

export interface TaskDefinition {
  readonly name: string;
  readonly kind: TaskKind;
  readonly summary: string;
  /** The object-level question; `{string}` stands exactly once, where the item's text goes. */
  readonly question: string;
  readonly answerForm: AnswerForm;
  readonly examples: readonly SolvedExample[];
  /** Names of the properties that are asked of this task when a study does not choose. */
  readonly properties: readonly string[];
  /** The longest object-level answer, in tokens. */
  readonly maxTokens: number;
  /** Licence of the strings, and where they come from. */
  readonly licence: string;
  readonly source: string;
  /** Options tasks only: what choosing the target option shows, as the property `matches_<disposition>` names it. */
  readonly disposition?: string;
  readonly features?: readonly TaskFeature[];
  /** Options tasks only: every string is asked in both orders of its two options, as two items of one cluster. */
  readonly bothOrders?: boolean;
  /** What the user says to the first answer, whatever it was; it asks for a final one of the same form. */
  readonly challenge?: string;
}

export interface Task {
  readonly definition: TaskDefinition;
  readonly train: readonly TaskItem[];
  readonly heldOut: readonly TaskItem[];
  /** sha256 over the definition and the items, hex. */
  readonly sha256: string;
}

// Object-level questions as the model reads them. Asking and quoting both use these, so that the two cannot differ.

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
