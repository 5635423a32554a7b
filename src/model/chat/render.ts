/**
 * Renders a chat through the GGUF's own Jinja template and keeps apart what the template wrote and what a person wrote, so that user
 * text can be tokenized without ever becoming a control token. No date from the clock, no hidden system prompt.
 */

import { InwardError } from "../../errors.js";
import type { ChatMessage } from "../../tasks/answer.js";
import { pythonValue } from "./jinja/jinja-globals.js";
import { type ChatFormat, type ChatVariables, templateFormat } from "./format.js";
import { ChatTemplate, TemplateFailure } from "./jinja/template.js";
import { Text } from "./jinja/python-text.js";
import { Dict, List, type Value } from "./jinja/python-values.js";

/** A stretch of a rendered prompt: written by the template, or content of a message. */
export interface PromptPart {
  readonly text: string;
  readonly content: boolean;
  /** Which message's content it is, from 0. */
  readonly message?: number;
}

export interface TemplateTokens {
  readonly bosToken: string;
  readonly eosToken: string;
}

export interface RenderOptions {
  /** Whether the assistant's next turn is opened at the end. Default true. */
  readonly generationPrompt?: boolean;
  /** Handed to the template beside its standard variables, which they cannot replace. */
  readonly variables?: ChatVariables;
}

/**
 * @param format or a template's Jinja source
 * @param messages all that the template is to see: `withSystem` has been applied
 * @returns the parts in order; their texts joined are exactly what jinja2, as transformers compiles it, renders for these
 * messages, also where the template shortens or changes them. What is asked goes through `renderWhole`, which refuses that.
 * @throws MODEL_TEMPLATE when the template raises, fails, or takes more steps, text or depth than it may ·
 * MODEL_NO_CHAT_TEMPLATE when the format has none
 */
export function renderChat(
  format: ChatFormat | string,
  messages: readonly ChatMessage[],
  tokens: TemplateTokens,
  options: RenderOptions = {},
): PromptPart[] {
  return partsOf(rendered(format, messages, tokens, options));
}

/** What the template writes, in one piece. @throws as `renderChat` */
export function renderText(
  format: ChatFormat | string,
  messages: readonly ChatMessage[],
  tokens: TemplateTokens,
  options: RenderOptions = {},
): string {
  return rendered(format, messages, tokens, options).raw;
}

function rendered(
  format: ChatFormat | string,
  messages: readonly ChatMessage[],
  tokens: TemplateTokens,
  { generationPrompt = true, variables = {} }: RenderOptions,
): Text {
  const { template, variables: settled } = typeof format === "string" ? templateFormat(format) : format;
  if (template === undefined) throw new InwardError("MODEL_NO_CHAT_TEMPLATE", "The chat format has no template.");
  const characters = messages.reduce((sum, { content }) => sum + content.length, 0);
  const own = Object.entries({ ...settled, ...variables });
  const names = new Map<string, Value>(own.map(([name, value]) => [name, pythonValue(value)]));
  names.set("messages", conversation(messages));
  names.set("add_generation_prompt", generationPrompt);
  names.set("bos_token", new Text(tokens.bosToken));
  names.set("eos_token", new Text(tokens.eosToken));
  try {
    return compile(template).render(names, { messages: messages.length, characters });
  } catch (error) {
    throw coded(error);
  }
}

/** As `renderChat`. @throws MODEL_TEMPLATE also when a message is left out, or changed by more than trimming it */
export function renderWhole(
  format: ChatFormat | string,
  messages: readonly ChatMessage[],
  tokens: TemplateTokens,
  options: RenderOptions = {},
): PromptPart[] {
  const parts = renderChat(format, messages, tokens, options);
  const [first] = unfaithful(parts, messages);
  if (first !== undefined) {
    const which = `message ${first.message + 1} (role ${messages[first.message]?.role})`;
    const how =
      first.how === "left out" ? `leaves out ${which}` : `changes the text of ${which} by more than trimming it`;
    throw new InwardError("MODEL_TEMPLATE", `The chat template ${how}.`);
  }
  return parts;
}

/** A message that a rendering does not hold as it was written. */
export interface Unfaithful {
  /** From 0. */
  readonly message: number;
  readonly how: "left out" | "changed";
}

/**
 * Messages that a rendering does not hold as they were written. White space at either end may be trimmed, as many templates do.
 * @param parts of `renderChat` for these very messages
 */
export function unfaithful(parts: readonly PromptPart[], messages: readonly ChatMessage[]): Unfaithful[] {
  const placesOf = new Map<number | undefined, number[]>();
  for (const [place, { message }] of parts.entries()) {
    const places = placesOf.get(message);
    if (places) places.push(place);
    else placesOf.set(message, [place]);
  }
  return messages.flatMap(({ content }, message): Unfaithful[] => {
    const wanted = new Text(content).trim(undefined, true, true).raw;
    const places = placesOf.get(message) ?? [];
    const [first, last] = [places[0], places.at(-1)];
    if (first === undefined || last === undefined) {
      return wanted === "" ? [] : [{ message, how: "left out" }];
    }
    const whole = (texts: readonly PromptPart[]) => {
      const text = texts.map((part) => part.text).join("");
      const at = content.indexOf(text);
      return at >= 0 && new Text(text).trim(undefined, true, true).raw === wanted;
    };
    const shown = places.some((place) => whole(parts.slice(place, place + 1))) || whole(parts.slice(first, last + 1));
    return shown ? [] : [{ message, how: "changed" }];
  });
}

/**
 * Names that the template reads and nothing sets, `messages` and the tokens among them: where its own variables show, such as
 * enable_thinking.
 * @throws MODEL_TEMPLATE
 */
export function templateVariables(template: string): readonly string[] {
  try {
    return compile(template).wants();
  } catch (error) {
    throw coded(error);
  }
}

const compiledTemplates = new Map<string, ChatTemplate>();

function compile(template: string): ChatTemplate {
  const known = compiledTemplates.get(template) ?? ChatTemplate.parse(template);
  compiledTemplates.set(template, known);
  return known;
}

/** Characters: a template may raise a text as long as it can make. */
const MOST_SAID = 500;

function coded(error: unknown): unknown {
  if (!(error instanceof TemplateFailure)) return error;
  const said = {
    refuses: "refuses this conversation",
    fails: "cannot be rendered",
    budget: "is stopped",
    unsupported: "uses what inward does not render",
    syntax: "cannot be parsed",
  }[error.kind];
  const why = error.message.length <= MOST_SAID ? error.message : `${error.message.slice(0, MOST_SAID)}…`;
  return new InwardError("MODEL_TEMPLATE", `The chat template ${said}: ${why}`);
}

function conversation(messages: readonly ChatMessage[]): Value {
  return new List(
    messages.map(({ role, content }, index) => {
      return new Dict([
        [new Text("role"), new Text(role)],
        [new Text("content"), Text.content(content, index)],
      ]);
    }),
  );
}

function partsOf(text: Text): PromptPart[] {
  const parts: PromptPart[] = [];
  let at = 0;
  const plain = (end: number) => {
    if (end > at) parts.push({ text: text.raw.slice(at, end), content: false });
  };
  for (const { start, end, message } of text.origins) {
    plain(start);
    const last = parts.at(-1);
    // Two stretches of one message that touch are one text to the tokenizer and to whoever looks for the message.
    if (last?.message === message && start === at)
      parts[parts.length - 1] = { ...last, text: last.text + text.raw.slice(start, end) };
    else parts.push({ text: text.raw.slice(start, end), content: true, message });
    at = end;
  }
  plain(text.raw.length);
  return parts;
}
