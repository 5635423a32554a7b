/**
 * Spans of a prompt by name: the tokens of a task's string, of its items, of the question that is quoted, of what is asked about it.
 * They are found in the very ids that are asked, by where the words were put in when the prompt was built, never by searching for them.
 */

import { InwardError } from "../errors.js";
import type { LocatedPrompt } from "../model/language-model.js";
import type { BehaviorProperty } from "../properties/property.js";
import { hypotheticalAbout, hypotheticalPieces, type SlotPiece } from "../properties/wordings.js";
import type { ChatMessage } from "../tasks/answer.js";
import { itemsOf } from "../tasks/heuristics.js";
import {
  objectLevelMessages,
  objectLevelPrompt,
  stringStart,
  type TaskDefinition,
  type TaskItem,
} from "../tasks/task.js";

/** From one character of a message's content to before another, in UTF-16 code units. */
export interface ContentRange {
  readonly message: number;
  readonly start: number;
  readonly end: number;
}

/** Where the words of a span stand in the messages, or why they stand nowhere. */
export type SpanMark =
  | { readonly name: string; readonly ok: true; readonly ranges: readonly ContentRange[] }
  | { readonly name: string; readonly ok: false; readonly reason: string };

/** Messages of one question, and the spans of its words. */
export interface MarkedQuestion {
  readonly messages: readonly ChatMessage[];
  readonly marks: readonly SpanMark[];
}

/** The tokens of a span. A token belongs to it if it holds one of its characters; white space at a span's ends is nobody's. */
export type TokenSpan =
  | {
      readonly name: string;
      readonly ok: true;
      /** The words of the span. */
      readonly text: string;
      /** Places among the prompt's tokens, and on into the reply's. */
      readonly tokens: readonly number[];
      readonly ids: readonly number[];
      /** Tokens that hold other characters too, and those. */
      readonly shared: readonly { readonly token: number; readonly outside: string; readonly blank: boolean }[];
    }
  | { readonly name: string; readonly ok: false; readonly reason: string };

interface ObjectLevelWords {
  readonly examples: boolean;
  readonly system: string;
}

/** @param definition in the words that the model is asked in */
export function markObjectLevel(
  definition: TaskDefinition,
  item: Pick<TaskItem, "text">,
  words: ObjectLevelWords,
): MarkedQuestion {
  const messages = objectLevelMessages(definition, item, words);
  const last = messages.length - 1;
  const { question } = objectLevelPrompt(definition, item, words);
  const asked = { message: last, start: 0, end: question.length };
  return { messages, marks: questionMarks(definition, item, asked, last - (definition.before ?? []).length) };
}

interface HypotheticalWording {
  readonly template: string;
  /** What is asked about the answer. */
  readonly question: string;
  readonly examples: boolean;
  readonly system: string;
  /** Turns that stand before it. */
  readonly before?: readonly ChatMessage[];
}

/** @param definition as markObjectLevel */
export function markHypothetical(
  definition: TaskDefinition,
  item: Pick<TaskItem, "text">,
  property: BehaviorProperty,
  { template, question: asked, examples, system, before = [] }: HypotheticalWording,
): MarkedQuestion {
  const turns = hypotheticalAbout(definition, item, property, {
    template,
    question: asked,
    examples,
    form: before.length === 0,
  });
  const messages: ChatMessage[] = [{ role: "system", content: system }, ...before, ...turns];
  const prompt = objectLevelPrompt(definition, item, { examples });
  const pieces = placed(hypotheticalPieces(template, prompt, asked));
  const message = messages.length - 1;
  if (messages[message]?.content !== pieces.map(({ text }) => text).join("")) {
    throw new InwardError("INTERNAL", "The pieces of a hypothetical question are not what is asked.");
  }
  const rangesOf = (wanted: (slot: string | undefined) => boolean): ContentRange[] =>
    pieces.filter(({ slot }) => wanted(slot)).map(({ start, end }) => ({ message, start, end }));
  const quotations = rangesOf((slot) => slot !== undefined && QUOTES.includes(slot));
  const quotation = quotations.at(-1);
  const quoted = quotation && messages[message]?.content.slice(quotation.start, quotation.end);
  const marks = ((): SpanMark[] => {
    if (quotation === undefined || !quoted?.endsWith(prompt.question)) {
      const reason = "the quotation changes a line of the question that looks like the label of a turn";
      return questionNames(definition, item).map((name) => ({ name, ok: false, reason }));
    }
    const start = quotation.end - prompt.question.length;
    const beforeTurns = template.includes("{prompt}") ? message - (definition.before ?? []).length : undefined;
    return questionMarks(definition, item, { message, start, end: quotation.end }, beforeTurns);
  })();
  return {
    messages,
    marks: [
      ...marks,
      { name: "quotation", ok: true, ranges: quotation === undefined ? [] : [quotation] },
      { name: "property", ok: true, ranges: rangesOf((slot) => slot?.startsWith("property") === true) },
      { name: "wording", ok: true, ranges: rangesOf((slot) => slot === undefined) },
    ],
  };
}

const QUOTES = ["prompt", "question", "prompt_without_before"];

function placed(pieces: readonly SlotPiece[]) {
  let at = 0;
  return pieces.map((piece) => {
    at += piece.text.length;
    return { ...piece, start: at - piece.text.length, end: at };
  });
}

/** Kinds of tasks whose strings list something. */
const LISTS = ["sequence", "numbers"];

function itemNames({ kind }: TaskDefinition, { text }: Pick<TaskItem, "text">): string[] {
  return LISTS.includes(kind) ? itemsOf(kind, text).map((_, at) => `item_${at + 1}`) : [];
}

function questionNames(definition: TaskDefinition, item: Pick<TaskItem, "text">): string[] {
  return ["question", "string", ...itemNames(definition, item), "instruction"];
}

/**
 * @param asked where the question that is answered stands
 * @param turnsBefore which message is the first of the task's earlier turns; undefined where they are left out
 */
function questionMarks(
  definition: TaskDefinition,
  item: Pick<TaskItem, "text">,
  asked: ContentRange,
  turnsBefore: number | undefined,
): SpanMark[] {
  const string = stringRange(definition, item, asked, turnsBefore);
  if (string === undefined) {
    const reason = "the string stands in an earlier turn, which this wording leaves out";
    const lacking = ["string", ...itemNames(definition, item)];
    return [
      { name: "question", ok: true, ranges: [asked] },
      ...lacking.map((name): SpanMark => ({ name, ok: false, reason })),
      { name: "instruction", ok: true, ranges: [asked] },
    ];
  }
  const inQuestion = string.message === asked.message && string.start >= asked.start && string.end <= asked.end;
  const around = inQuestion
    ? [
        { ...asked, end: string.start },
        { ...asked, start: string.end },
      ]
    : [asked];
  return [
    { name: "question", ok: true, ranges: [asked] },
    { name: "string", ok: true, ranges: [string] },
    ...itemMarks(definition, item, string),
    { name: "instruction", ok: true, ranges: around },
  ];
}

function stringRange(
  definition: TaskDefinition,
  { text }: Pick<TaskItem, "text">,
  asked: ContentRange,
  turnsBefore: number | undefined,
): ContentRange | undefined {
  const inQuestion = stringStart(definition);
  if (inQuestion !== undefined) {
    const start = asked.start + inQuestion;
    return { message: asked.message, start, end: start + text.length };
  }
  for (const [at, { content }] of (definition.before ?? []).entries()) {
    const start = stringStart({ question: content });
    if (start !== undefined && turnsBefore !== undefined)
      return { message: turnsBefore + at, start, end: start + text.length };
  }
  return undefined;
}

function itemMarks({ kind }: TaskDefinition, { text }: Pick<TaskItem, "text">, string: ContentRange): SpanMark[] {
  if (!LISTS.includes(kind)) return [];
  let from = 0;
  return itemsOf(kind, text).map((item, at) => {
    const start = text.indexOf(item, from);
    from = start + item.length;
    const range = { message: string.message, start: string.start + start, end: string.start + from };
    return { name: `item_${at + 1}`, ok: true, ranges: [range] };
  });
}

// From words to tokens.

/** Begins the names of a reply's tokens. */
const REPLY = "reply_";

/**
 * @param located the prompt of the marked messages
 * @param reply tokens that were said to it, as they were generated, with what each stands for where that is known
 * @returns the marked spans, `last_prompt_token`, and `reply_1`… of each token of the reply
 */
export function findSpans(
  located: LocatedPrompt,
  { messages, marks }: MarkedQuestion,
  reply: { readonly ids: readonly number[]; readonly texts?: readonly string[] } = { ids: [] },
): TokenSpan[] {
  const last = located.tokenIds.length - 1;
  const lone = (name: string, token: number, id: number, text: string): TokenSpan => {
    return { name, ok: true, text, tokens: [token], ids: [id], shared: [] };
  };
  const ofPrompt = located.text.slice(located.starts[last], located.ends[last]);
  return [
    ...marks.map((mark) => spanOf(mark, located, messages)),
    ...(last < 0 ? [] : [lone("last_prompt_token", last, located.tokenIds[last] as number, ofPrompt)]),
    ...reply.ids.map((id, at) => lone(`${REPLY}${at + 1}`, last + 1 + at, id, reply.texts?.[at] ?? "")),
  ];
}

function spanOf(mark: SpanMark, located: LocatedPrompt, messages: readonly ChatMessage[]): TokenSpan {
  const { name } = mark;
  if (!mark.ok) return mark;
  const ranges: { start: number; end: number }[] = [];
  for (const range of mark.ranges) {
    const found = inText(range, located, messages);
    if (typeof found === "string") return { name, ok: false, reason: found };
    if (found.end > found.start) ranges.push(found);
  }
  if (ranges.length === 0) return { name, ok: false, reason: "it has no words in this question" };
  const tokens: number[] = [];
  const shared: { token: number; outside: string; blank: boolean }[] = [];
  for (let token = 0; token < located.tokenIds.length; token++) {
    const [start, end] = [located.starts[token] as number, located.ends[token] as number];
    const held = ranges.filter((range) => start < range.end && end > range.start);
    if (held.length === 0) continue;
    tokens.push(token);
    let [outside, at] = ["", start];
    for (const range of held) {
      outside += located.text.slice(at, Math.max(at, range.start));
      at = Math.min(end, range.end);
    }
    outside += located.text.slice(at, end);
    if (outside !== "") shared.push({ token, outside, blank: outside.trim() === "" });
  }
  return {
    name,
    ok: true,
    text: ranges.map(({ start, end }) => located.text.slice(start, end)).join(" … "),
    tokens,
    ids: tokens.map((token) => located.tokenIds[token] as number),
    shared,
  };
}

/** Trimmed, in the prompt's text; or why it is not there. */
function inText(
  { message, start, end }: ContentRange,
  { text, contents }: LocatedPrompt,
  messages: readonly ChatMessage[],
): { start: number; end: number } | string {
  const content = (messages[message] as ChatMessage).content;
  const words = content.slice(start, end);
  const trimmed = words.trim();
  const first = start + words.indexOf(trimmed);
  if (trimmed === "") return { start: 0, end: 0 };
  // A template may write a message in several stretches, or trimmed; the last that holds the words counts.
  for (const stretch of contents.filter((one) => one.message === message).toReversed()) {
    const written = text.slice(stretch.start, stretch.end);
    const at = content.indexOf(written);
    if (at < 0 || first < at || first + trimmed.length > at + written.length) continue;
    const place = stretch.start + first - at;
    if (text.slice(place, place + trimmed.length) === trimmed) return { start: place, end: place + trimmed.length };
  }
  return `the chat template does not write message ${message + 1} as it is`;
}

// The same span in two questions.

export interface AlignedSpan {
  readonly name: string;
  readonly objectLevel: TokenSpan;
  readonly hypothetical: TokenSpan;
  /** Whether both have the same ids, token by token; if not, why. */
  readonly same: { readonly ok: true } | { readonly ok: false; readonly reason: string };
}

/** Spans that both questions have by name, and those of one alone. */
export function alignSpans(objectLevel: readonly TokenSpan[], hypothetical: readonly TokenSpan[]): AlignedSpan[] {
  const names = [...new Set([...objectLevel, ...hypothetical].map(({ name }) => name))];
  const of = (spans: readonly TokenSpan[], name: string): TokenSpan =>
    spans.find((span) => span.name === name) ?? { name, ok: false, reason: "this question has no such words" };
  return names.map((name) => {
    const [one, other] = [of(objectLevel, name), of(hypothetical, name)];
    return { name, objectLevel: one, hypothetical: other, same: sameIds(one, other) };
  });
}

function sameIds(one: TokenSpan, other: TokenSpan): AlignedSpan["same"] {
  if (!one.ok) return one;
  if (!other.ok) return other;
  if (one.name.startsWith(REPLY)) {
    // That both questions were answered alike makes it no words of both.
    return {
      ok: false,
      reason: `replies to two questions, ${one.ids[0] === other.ids[0] ? "the same token" : "other tokens"}`,
    };
  }
  if (one.ids.length === other.ids.length && one.ids.every((id, at) => id === other.ids[at])) return { ok: true };
  if (one.text !== other.text) return { ok: false, reason: "its words are others" };
  const merged = [one, other].flatMap(({ shared }, at) => {
    return shared.map(({ outside }) => `${JSON.stringify(outside)} ${at === 0 ? "here" : "there"}`);
  });
  if (merged.length === 0) return { ok: false, reason: "the same words are cut into other tokens" };
  return { ok: false, reason: `a token holds ${merged.join(", ")} as well` };
}
