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
  /** Options tasks: the letter of the option that matches the disposition, or that is right. Other `right_answer` tasks: that answer. */
  readonly target?: string;
  /** Items of one cluster are about the same thing: one side of the split, chosen together, resampled together. Absent: the item alone. */
  readonly cluster?: string;
  /** Columns of the data that nobody asks about, by their names: kept, and usable as subgroups. */
  readonly meta?: ItemMeta;
}

export type ItemMeta = Readonly<Record<string, string | number | boolean>>;

/** What a string has in a column; nothing where it has none. */
export function metaValue(item: Pick<TaskItem, "meta"> | undefined, column: string): ItemMeta[string] | undefined {
  return item?.meta && Object.hasOwn(item.meta, column) ? item.meta[column] : undefined;
}

/** A turn that was over when a question is asked. User and assistant take turns, beginning with the user. */
export interface EarlierTurn {
  readonly role: "user" | "assistant";
  readonly content: string;
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

/** What makes an option the likeliest: the logprob of its letter, of its text, or of its text divided by its UTF-8 bytes or its code points. */
export const OPTION_SCORES = ["letter", "text", "text_per_byte", "text_per_character"] as const;
export type OptionScore = (typeof OPTION_SCORES)[number];

/** What only some tasks have, so that not every property of their kind makes sense: a right answer to each string, names to choose from, an answer out of the string's list. */
export type TaskFeature = "right_answer" | "offered_names" | "offered_items";

export interface TaskDefinition {
  readonly name: string;
  readonly kind: TaskKind;
  readonly summary: string;
  /** The object-level question; `{string}`, where the item's text goes, stands exactly once, in it or in `before`. */
  readonly question: string;
  /**
   * Turns that come before the question, a state that the answer depends on. They stand as real turns before the hypothetical
   * question too and are not quoted in it.
   */
  readonly before?: readonly EarlierTurn[];
  /** A line above the question that is answered, not above those of solved examples; see `tasks/prefixes.ts`. */
  readonly prefix?: string;
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
  /** In the place of the property's own question; it asks for true or false. */
  readonly dispositionQuestion?: string;
  readonly features?: readonly TaskFeature[];
  /** Options tasks only: every string is asked in both orders of its two options, as two items of one cluster. */
  readonly bothOrders?: boolean;
  /**
   * Options tasks only. `logprob`: the answer is the option that is likeliest after the prompt, and the letter that is written stands
   * beside it; absent: the written letter.
   */
  readonly answerBy?: "logprob";
  /** By what an option is likeliest; absent: its letter. */
  readonly optionScore?: Exclude<OptionScore, "letter">;
  /** `rotated`: scores are means over orders that put every option in every place once; absent: the order that is written. */
  readonly orders?: "rotated";
  /**
   * Options tasks only. `lenient`: answers that name an option in more words than its letter count as that letter; `final_answer`: what
   * counts is the letter after the last "Answer:", where an answer ends with that, and a rationale may stand before it.
   */
  readonly reading?: "lenient" | "final_answer";
  /** What the user says to the first answer, whatever it was; it asks for a final one of the same form. */
  readonly challenge?: string;
  /** What a base model is asked in; see `tasks/plain-form.ts`. */
  readonly plain?: PlainForm;
}

/** The words of a task as text that a base model goes on with: each ends where the answer begins, without a blank. */
export interface PlainForm {
  /** As `question`. */
  readonly question: string;
  /** As the task's own `before`, which stands as it is where this is absent. */
  readonly before?: readonly EarlierTurn[];
  readonly challenge?: string;
}

export interface Task {
  readonly definition: TaskDefinition;
  readonly train: readonly TaskItem[];
  readonly heldOut: readonly TaskItem[];
  /** sha256 over the definition and the items, hex. */
  readonly sha256: string;
}

// Object-level prompts as the model reads them. Asking and quoting both use these, so that the two cannot differ.

/** What a model is given to answer, besides the system message. */
export interface ObjectLevelPrompt {
  /** Solved examples, as turns: each with the turns before its question, and with what was said to its answer. */
  readonly solved: readonly ChatMessage[];
  /** The string's own turns before the question. */
  readonly before: readonly ChatMessage[];
  /** The last turn: the one that is answered. */
  readonly question: string;
  /** What will be said to the answer. */
  readonly challenge?: string;
  /** Set where its turns are one text to the model. */
  readonly isPlain?: true;
}

/** Where the item's text goes. */
export const STRING_SLOT = "{string}";

type Prompting = Pick<TaskDefinition, "question" | "examples" | "before" | "challenge" | "reading" | "prefix"> & {
  readonly isPlain?: true;
};

/** A prompt that is one turn and nothing else. */
export function lonePrompt(question: string, isPlain?: true): ObjectLevelPrompt {
  return { solved: [], before: [], question, isPlain };
}

export function objectLevelPrompt(
  definition: Prompting,
  item: Pick<TaskItem, "text">,
  { examples }: { readonly examples: boolean },
): ObjectLevelPrompt {
  return {
    solved: (examples ? definition.examples : []).flatMap((example) => solvedTurns(definition, example)),
    before: turnsBefore(definition, item.text),
    question: underPrefixOf(definition, withString(definition.question, item.text)),
    challenge: definition.challenge,
    isPlain: definition.isPlain,
  };
}

/** A prefix is said as it stands: what looks like the string's place in it is text. */
function underPrefixOf({ prefix }: Pick<Prompting, "prefix">, question: string): string {
  return prefix === undefined ? question : `${prefix}\n${question}`;
}

/** Where the string begins in the question that is answered; nothing where it stands in an earlier turn. */
export function stringStart({ question, prefix }: Pick<Prompting, "question" | "prefix">): number | undefined {
  const at = underPrefixOf({ prefix }, question).indexOf(STRING_SLOT, prefix === undefined ? 0 : prefix.length + 1);
  return at < 0 ? undefined : at;
}

function solvedTurns(definition: Prompting, { text, answer, finalAnswer }: SolvedExample): ChatMessage[] {
  const answered: readonly ChatMessage[] = [
    ...turnsBefore(definition, text),
    { role: "user", content: withString(definition.question, text) },
  ];
  const { challenge } = definition;
  return challenge === undefined || finalAnswer === undefined
    ? [...answered, { role: "assistant", content: answer }]
    : [...challengedMessages(answered, answer, challenge), { role: "assistant", content: finalAnswer }];
}

function turnsBefore({ before = [] }: Prompting, text: string): ChatMessage[] {
  return before.map(({ role, content }) => ({ role, content: withString(content, text) }));
}

/** A function puts the string in, because "$&" and the like inside it must stay what they are. */
function withString(template: string, text: string): string {
  return template.replace(STRING_SLOT, () => text);
}

/** The conversation goes on: the model's own answer, then the user's doubt. */
export function challengedMessages(messages: readonly ChatMessage[], answer: string, challenge: string): ChatMessage[] {
  return [...messages, { role: "assistant", content: answer }, { role: "user", content: challenge }];
}

/**
 * System message, solved examples and the string's earlier turns, then the question.
 * The system message stands there even when it is empty: without one, some chat templates put in their own.
 */
export function objectLevelMessages(
  definition: Prompting,
  item: Pick<TaskItem, "text">,
  options: { readonly examples: boolean; readonly system: string },
): ChatMessage[] {
  const { solved, before, question } = objectLevelPrompt(definition, item, options);
  return [{ role: "system", content: options.system }, ...solved, ...before, { role: "user", content: question }];
}
