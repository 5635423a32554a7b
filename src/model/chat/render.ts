/**
 * Renders a chat through the GGUF's own Jinja template and keeps apart what the template wrote and what a person wrote, so that user
 * text can be tokenized without ever becoming a control token. No date from the clock, no hidden system prompt.
 */

import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { InwardError } from "../../errors.js";
import type { ChatMessage } from "../../tasks/answer.js";
import { type ChatFormat, type ChatVariables, templateFormat } from "./format.js";

/** A stretch of a rendered prompt: written by the template, or content of a message. */
export interface PromptPart {
  readonly text: string;
  readonly content: boolean;
}

/** The date that Llama-3.1-style templates fall back to. Pinned: the clock must not change what a model reads. */
const PINNED_DATE = "26 Jul 2024";

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
 * @returns the parts in order; their texts joined are exactly what the template renders for these messages
 * @throws MODEL_TEMPLATE when the template fails, drops a message, or changes content by more than trimming it
 */
export function renderChat(
  format: ChatFormat | string,
  messages: readonly ChatMessage[],
  tokens: TemplateTokens,
  options: RenderOptions = {},
): PromptPart[] {
  const run = (chat: readonly ChatMessage[]) => renderText(format, chat, tokens, options);
  const whole = run(messages);
  // Templates either keep content as it is or trim it (Llama-3 does); anything else would need to be shown to the user.
  for (const shape of [(text: string) => text, (text: string) => text.trim()]) {
    const parts = split(run, messages, shape);
    if (parts.map((part) => part.text).join("") === whole) return parts;
  }
  throw new InwardError("MODEL_TEMPLATE", "The chat template changes the text of a message by more than trimming it.");
}

/**
 * What the template writes, in one piece and unjudged.
 * @throws MODEL_TEMPLATE when the template fails or raises · MODEL_NO_CHAT_TEMPLATE when the format has none
 */
export function renderText(
  format: ChatFormat | string,
  messages: readonly ChatMessage[],
  tokens: TemplateTokens,
  options: RenderOptions = {},
): string {
  const { template, variables } = typeof format === "string" ? templateFormat(format) : format;
  if (template === undefined) throw new InwardError("MODEL_NO_CHAT_TEMPLATE", "The chat format has no template.");
  const settled = { ...options, variables: { ...variables, ...options.variables } };
  return render(compile(template), environment(messages, tokens, settled));
}

const compiledTemplates = new Map<string, Template>();

function compile(template: string): Template {
  const known = compiledTemplates.get(template);
  if (known) return known;
  try {
    const compiled = new Template(template);
    compiledTemplates.set(template, compiled);
    return compiled;
  } catch (error) {
    throw new InwardError("MODEL_TEMPLATE", `The chat template cannot be parsed: ${(error as Error).message}`);
  }
}

function render(template: Template, variables: Environment): string {
  try {
    const rendered = new Interpreter(variables).run(template.parsed);
    return String(rendered.value);
  } catch (error) {
    throw new InwardError("MODEL_TEMPLATE", `The chat template cannot be rendered: ${(error as Error).message}`);
  }
}

/** The library's own environment holds a strftime_now that reads the clock and cannot be replaced: we declare all names. */
function environment(
  messages: readonly ChatMessage[],
  tokens: TemplateTokens,
  { generationPrompt = true, variables: own = {} }: RenderOptions,
): Environment {
  const variables = new Environment();
  const names: Record<string, unknown> = {
    ...own,
    true: true,
    True: true,
    false: false,
    False: false,
    none: null,
    None: null,
    range,
    raise_exception: (message: string) => {
      throw new Error(message);
    },
    strftime_now: () => PINNED_DATE,
    date_string: PINNED_DATE,
    messages: messages.map(({ role, content }) => ({ role, content })),
    add_generation_prompt: generationPrompt,
    bos_token: tokens.bosToken,
    eos_token: tokens.eosToken,
  };
  for (const [name, value] of Object.entries(names)) variables.set(name, value);
  return variables;
}

function range(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  if (step === 0) throw new Error("range() with a step of 0");
  return Array.from({ length: Math.max(0, Math.ceil((to - from) / step)) }, (_, index) => from + index * step);
}

/** Renders placeholders instead of the contents, then cuts the result at the placeholders. */
function split(
  run: (messages: readonly ChatMessage[]) => string,
  messages: readonly ChatMessage[],
  shape: (text: string) => string,
): PromptPart[] {
  const contents = messages.map((message) => shape(message.content));
  // Empty content stays empty: templates may branch on it. Private-use characters cannot be meant by a template.
  const marked = messages.map((message, index) => ({
    role: message.role,
    content: contents[index] === "" ? "" : `\u{F0000}${index}\u{F0001}`,
  }));
  const parts: PromptPart[] = [];
  const seen = new Set<number>();
  for (const piece of run(marked).split(/(\u{F0000}\d+\u{F0001})/u)) {
    const index = /^\u{F0000}(\d+)\u{F0001}$/u.exec(piece)?.[1];
    if (index !== undefined) {
      parts.push({ text: contents[Number(index)] ?? "", content: true });
      seen.add(Number(index));
    } else if (piece !== "") {
      parts.push({ text: piece, content: false });
    }
  }
  const dropped = marked.findIndex((message, index) => message.content !== "" && !seen.has(index));
  if (dropped >= 0) {
    const role = messages[dropped]?.role;
    throw new InwardError("MODEL_TEMPLATE", `The chat template leaves out message ${dropped + 1} (role ${role}).`);
  }
  return parts;
}
