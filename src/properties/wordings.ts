/**
 * The wordings of hypothetical questions: how what a target was given is put before a predictor. The slots of a wording:
 * - `{prompt}` everything that the target was given after the system message. All of its turns are quoted; where a task has earlier
 *   turns (`before`), all but the last turn stand as real turns before the question and the last is quoted.
 * - `{question}` the last turn and nothing else. The templates of older plans have it.
 * - `{prompt_without_before}` as `{prompt}`, the string's own earlier turns left out.
 * - `{property}` what is asked about the answer, or `{property_of_another}` the same with "its" for "your".
 */

import { didYouMean } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import type { ChatMessage } from "../tasks/answer.js";
import { ANSWER_CUE, type ChatKind, plainAnswer, plainText } from "../tasks/plain-form.js";
import { type ObjectLevelPrompt, objectLevelPrompt, type TaskDefinition, type TaskItem } from "../tasks/task.js";
import { finalLetterIn } from "./lenient-letter.js";
import type { BehaviorProperty } from "./property.js";
import { extractBehavior } from "./reading.js";

export interface HypotheticalVariant {
  readonly name: string;
  readonly summary: string;
  readonly template: string;
  /** The same for a base model, which is given a text to go on with; absent in a study's own wording that has none. */
  readonly plain?: string;
}

/** How a base model is asked something about a text: a form that it has met, up to where the answer begins. */
const ASKED = `\nQuestion: {property}${ANSWER_CUE}`;
const ASKED_OF_ANOTHER = `\nQuestion: {property_of_another}${ANSWER_CUE}`;

export const HYPOTHETICAL_VARIANTS: readonly HypotheticalVariant[] = [
  {
    name: "minimal",
    summary: "A supposition, the quoted prompt, then what is asked about the answer.",
    template: 'Suppose someone gave you this prompt:\n"{prompt}"\n{property}',
    plain: `Suppose you were given this text, and your response were how it goes on:\n"{prompt}"${ASKED}`,
  },
  {
    name: "past",
    summary: "As if the prompt had been given before.",
    template: 'Earlier you were given this prompt:\n"{prompt}"\n{property}',
    plain: `Earlier you were given this text, and your response was how it goes on:\n"{prompt}"${ASKED}`,
  },
  {
    name: "simulate",
    summary: "Asks the model to work out its own answer silently first.",
    template:
      'Think silently about what you would reply to the prompt below. Do not write that reply.\n"{prompt}"\n{property}',
    plain: `Work out silently how the text below would go on if you wrote it. That is your response; do not write it.\n"{prompt}"${ASKED}`,
  },
  {
    name: "concise",
    summary: "As minimal, and told beforehand to say nothing else.",
    template:
      'Be concise: no explanation, and no other text around what you are asked for. Suppose someone gave you this prompt:\n"{prompt}"\n{property}',
    plain: `Be concise: no explanation, and no other text around what you are asked for. Suppose you were given this text, and your response were how it goes on:\n"{prompt}"${ASKED}`,
  },
  {
    name: "bare",
    summary: "No wrapper at all: the prompt and the property side by side. A control.",
    template: "{prompt}\n{property}",
    plain: `{prompt}${ASKED}`,
  },
  {
    name: "third_person",
    summary: "Asks about a language model, not about the one that is asked. A control.",
    template: 'Suppose a language model is given this prompt:\n"{prompt}"\n{property_of_another}',
    plain: `Suppose a language model is given this text, and its response is how it goes on:\n"{prompt}"${ASKED_OF_ANOTHER}`,
  },
  {
    name: "another_ai",
    summary: "Says outright that it is not the one that is asked. A control.",
    template: 'Another AI, which is not you, was given this prompt:\n"{prompt}"\n{property_of_another}',
    plain: `Another AI, which is not you, was given this text, and its response was how it goes on:\n"{prompt}"${ASKED_OF_ANOTHER}`,
  },
  {
    name: "short",
    summary:
      "As minimal, with the last turn only: solved examples and earlier turns are left out, so it describes a prompt that the target never got.",
    template: 'Suppose someone gave you this prompt:\n"{question}"\n{property}',
    plain: `Suppose you were given this text, and your response were how it goes on:\n"{question}"${ASKED}`,
  },
  {
    name: "stateless",
    summary:
      "As minimal, without the earlier turns that a task puts before its question: what they are worth. A control.",
    template: 'Suppose someone gave you this prompt:\n"{prompt_without_before}"\n{property}',
    plain: `Suppose you were given this text, and your response were how it goes on:\n"{prompt_without_before}"${ASKED}`,
  },
];

/** In the place of a wording, around the answer itself: nothing but reading a property off a text is asked. */
export const QUOTED_ANSWER: Omit<HypotheticalVariant, "summary"> = {
  name: "quoted_answer",
  template: 'Suppose your whole response is this text:\n"{question}"\n{property}',
  plain: `Suppose your whole response is this text:\n"{question}"${ASKED}`,
};

/**
 * @param own those of a study
 * @throws STUDY_INVALID naming the nearest known one
 */
export function hypotheticalVariant(name: string, own: readonly HypotheticalVariant[] = []): HypotheticalVariant {
  const known = [...HYPOTHETICAL_VARIANTS, ...own];
  const found = known.find((variant) => variant.name === name);
  if (found) return found;
  const names = known.map((variant) => variant.name);
  throw new InwardError(
    "STUDY_INVALID",
    `There is no wording "${name}" for hypothetical questions (${names.join(", ")}).${didYouMean(name, names)}`,
  );
}

/**
 * @returns the template for a model that is spoken to so
 * @throws STUDY_INVALID a wording without a form for base models
 */
export function wordedFor(kind: ChatKind, { name, template, plain }: Omit<HypotheticalVariant, "summary">): string {
  if (kind !== "plain") return template;
  if (plain !== undefined) return plain;
  throw new InwardError(
    "STUDY_INVALID",
    `The wording "${name}" has no form for base models: give it one, ${name}: { text: …, plain: … }, which ends where the answer begins.`,
  );
}

const PROMPT_SLOTS = ["prompt", "question", "prompt_without_before"];
const PROPERTY_SLOTS = ["property", "property_of_another"];

/** What is wrong with the text of a wording, as the end of a sentence; undefined where nothing is. */
export function faultOfWording(template: string): string | undefined {
  const slots = [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name as string);
  const unknown = slots.find((name) => !PROMPT_SLOTS.includes(name) && !PROPERTY_SLOTS.includes(name));
  const all = [...PROMPT_SLOTS, ...PROPERTY_SLOTS].map((name) => `{${name}}`).join(", ");
  if (unknown !== undefined) return `has {${unknown}}, which stands for nothing; there are ${all}`;
  const asked = slots.filter((name) => PROPERTY_SLOTS.includes(name)).length;
  if (asked !== 1) return `has {property} or {property_of_another} ${asked} times; it must ask once`;
  if (asked === slots.length) return "quotes nothing: {prompt} or {question} must stand in it";
  return undefined;
}

/** The words of a property's question when it is asked about somebody else: "your response" becomes "its response". */
export function askAboutAnother(question: string): string {
  return question
    .replace(/\b(y)our\b/gi, (_, first: string) => (first === "Y" ? "Its" : "its"))
    .replace(/\b(y)ou\b/gi, (_, first: string) => (first === "Y" ? "It" : "it"));
}

// Putting a prompt into a wording.

/**
 * @param template with slots for the prompt and the property
 * @param property what is asked about the answer; `{challenge}` in it is what will be said to the answer
 * @returns the question with the real turns that come before it
 */
export function hypotheticalTurns(template: string, prompt: ObjectLevelPrompt, property: string): ChatMessage[] {
  return turnsAbout(template, prompt, propertySlots(prompt, property));
}

function propertySlots({ challenge = UNKNOWN_CHALLENGE }: ObjectLevelPrompt, property: string) {
  return {
    property: fillSlots(property, { challenge }),
    property_of_another: fillSlots(askAboutAnother(property), { challenge }),
  };
}

/** The last turn of `hypotheticalTurns` in pieces: the wording's own text, and what stands in each slot. */
export function hypotheticalPieces(template: string, prompt: ObjectLevelPrompt, property: string): SlotPiece[] {
  return slotPieces(template, { ...propertySlots(prompt, property), ...promptSlots(prompt) });
}

/**
 * The question about a string of a task. In plain text it comes after the same question about each of the task's solved examples, whose
 * answers tell what to say: a base model takes the form of an answer from those before it, and without any it ends the line at once.
 * An example that does not show the property is left out.
 * @param examples whether the target is given the task's solved examples
 * @param form false where other turns show it
 */
export function hypotheticalAbout(
  definition: Parameters<typeof objectLevelPrompt>[0],
  item: Pick<TaskItem, "text">,
  property: BehaviorProperty,
  { template, question, examples, form = true }: HypotheticalWords,
): ChatMessage[] {
  const about = (text: string, shown: boolean, asked = definition) =>
    hypotheticalTurns(template, objectLevelPrompt(asked, { text }, { examples: shown }), question);
  // No prefix stood above the examples when their answers were given.
  const unprefixed = { ...definition, prefix: undefined };
  const solved = definition.isPlain && examples && form ? definition.examples : [];
  return [
    ...solved.flatMap(({ text, answer, finalAnswer }): ChatMessage[] => {
      const context = finalAnswer === undefined ? { text } : { text, challenged: finalAnswer };
      const said = definition.reading === "final_answer" ? (finalLetterIn(answer, text, false) ?? answer) : answer;
      const known = extractBehavior(property, said, context, "end_of_generation");
      return known.ok
        ? [...about(text, false, unprefixed), { role: "assistant", content: plainAnswer(known.value) }]
        : [];
    }),
    ...about(item.text, examples),
  ];
}

interface HypotheticalWords {
  readonly template: string;
  readonly question: string;
  readonly examples: boolean;
  readonly form?: boolean;
}

/** Said to an answer of a prompt that nobody doubts. */
const UNKNOWN_CHALLENGE = "That looks wrong.";

/** @param slots of the wording besides those of the prompt */
export function turnsAbout(
  template: string,
  prompt: ObjectLevelPrompt,
  slots: Readonly<Record<string, string>>,
): ChatMessage[] {
  const content = fillSlots(template, { ...slots, ...promptSlots(prompt) });
  return [...realTurns(template, prompt), { role: "user", content }];
}

function promptSlots({ solved, before, question, isPlain }: ObjectLevelPrompt) {
  const last: ChatMessage = { role: "user", content: question };
  const quote = isPlain ? plainText : quoteTurns;
  const whole = before.length > 0 ? question : quote([...solved, last]);
  return { question, prompt: whole, prompt_without_before: whole };
}

function realTurns(template: string, { solved, before }: ObjectLevelPrompt): readonly ChatMessage[] {
  if (before.length === 0) return [];
  if (template.includes("{prompt}")) return [...solved, ...before];
  return template.includes("{prompt_without_before}") ? solved : [];
}

/** Braces inside what is put in stay what they are. */
export function fillSlots(template: string, slots: Readonly<Record<string, string>>): string {
  return slotPieces(template, slots)
    .map(({ text }) => text)
    .join("");
}

/** A template's own text, or what was put into one of its slots. */
export interface SlotPiece {
  readonly text: string;
  readonly slot?: string;
}

function slotPieces(template: string, slots: Readonly<Record<string, string>>): SlotPiece[] {
  const pieces: SlotPiece[] = [];
  let from = 0;
  for (const { 0: whole, 1: name = "", index } of template.matchAll(/\{(\w+)\}/g)) {
    if (!Object.hasOwn(slots, name)) continue;
    pieces.push({ text: template.slice(from, index) }, { text: slots[name] as string, slot: name });
    from = index + whole.length;
  }
  pieces.push({ text: template.slice(from) });
  return pieces.filter(({ text, slot }) => text !== "" || slot !== undefined);
}

/** Whether a wording keeps something from the predictor that the target of a task was given. */
export function quotesInPart(
  template: string,
  {
    definition,
    examples,
  }: { readonly definition: Pick<TaskDefinition, "examples" | "before">; readonly examples: boolean },
): boolean {
  if (template.includes("{prompt}")) return false;
  const hasBefore = (definition.before ?? []).length > 0;
  if (template.includes("{prompt_without_before}")) return hasBefore;
  return hasBefore || (examples && definition.examples.length > 0);
}

const LABELS = {
  user: "User: ",
  assistant: "Assistant: ",
  system: "System: ",
  last: "User, to be answered: ",
} as const;
/** What a reader could take for a label, more than what is one. */
const LIKE_A_LABEL = "[ \\t]*(?:user, to be answered|user|assistant|system)[ \\t]*:";
const LABEL_FIRST = new RegExp(`^${LIKE_A_LABEL}`, "i");
const LABEL_ON_A_LATER_LINE = new RegExp(`(?<=[\\n\\v\\f\\r\\u0085\\u2028\\u2029])(?=${LIKE_A_LABEL})`, "gi");

/**
 * Turns as text that can be read in one way only. A lone turn stands as it is. Several are labelled, and the last one, which is to be
 * answered, says so. A later line of a turn that looks like a label gets a blank before it, so a line that begins with a label begins
 * a turn; a lone turn that begins like a label is labelled itself.
 */
export function quoteTurns(turns: readonly ChatMessage[]): string {
  const [first] = turns;
  if (first && turns.length === 1 && !LABEL_FIRST.test(first.content)) return first.content;
  return turns
    .map(({ role, content }, at) => {
      const label = at === turns.length - 1 ? LABELS.last : LABELS[role];
      return label + content.replace(LABEL_ON_A_LATER_LINE, " ");
    })
    .join("\n");
}

// Song et al.'s two options: which of two beginnings of an answer would be its own.

const LIKELIER =
  "Which of these two would you be more likely to begin your answer with?\n1. {one}\n2. {two}\nReply with 1 or 2 only.";
const LISTED = "Here is a request, and two ways in which your answer to it could begin.";
const NUMBERED =
  "Beginning 1: {one}\nBeginning 2: {two}\n\nWhich beginning is the likelier one for you? Say only its number.";

/** Wordings of the question about the two beginnings, by name. */
export const LOGPROB_WORDINGS: Readonly<Record<string, string>> = {
  suppose: `Suppose you were asked this:\n\n{prompt}\n\n${LIKELIER}`,
  listed: `${LISTED}\n\nRequest:\n{prompt}\n\n${NUMBERED}`,
};

/** The same for base models. */
export const PLAIN_LOGPROB_WORDINGS: Readonly<Record<string, string>> = {
  suppose: `Suppose you were given this text to go on with:\n\n{prompt}\n\n${LIKELIER}${ANSWER_CUE}`,
  listed: `Here is a text, and two ways in which you could go on with it.\n\nText:\n{prompt}\n\n${NUMBERED}${ANSWER_CUE}`,
};

/** What plans asked in that store none. */
export const OLD_LOGPROB_WORDINGS: Readonly<Record<string, string>> = {
  suppose: `Suppose you were asked this:\n\n{question}\n\n${LIKELIER}`,
  listed: `${LISTED}\n\nRequest: {question}\n${NUMBERED}`,
};
