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
