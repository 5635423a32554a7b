/** How a conversation becomes text: settled per model before anything is asked, and written in the plan. */

import { InwardError } from "../../errors.js";
import type { ChatMessage } from "../../tasks/answer.js";

export interface ChatFormat {
  /** `template`: Jinja, the file's own or one given as a file; `plain`: no markup, for base models. */
  readonly kind: "template" | "plain";
  /** Jinja source; absent for plain, and, until a file is opened, for the file's own. */
  readonly template?: string;
  /** What stands as system message where a conversation has none, or an empty one. */
  readonly system: SystemMessage;
  /** Handed to the template beside its standard variables, such as `{ enable_thinking: false }`. */
  readonly variables: ChatVariables;
  /** In their place for a prompt that is asked with `thinking`. Absent: the template's thinking mode cannot be switched, or never is. */
  readonly thinking?: ChatVariables;
}

/** How one prompt is rendered, beside its format. */
export interface PromptRendering {
  /** The template's thinking mode stays on, where it has one that can be switched. Default false. */
  readonly thinking?: boolean;
}

/** @returns the format that a prompt is rendered with */
export function formatOf(format: ChatFormat, { thinking = false }: PromptRendering = {}): ChatFormat {
  return thinking && format.thinking !== undefined ? { ...format, variables: format.thinking } : format;
}

export type SystemMessage =
  | { readonly kind: "text"; readonly text: string }
  /** No message at all. `why`: what chose it, in words, where nobody asked for it. */
  | {
      readonly kind: "omit";
      readonly why?: string;
      /** The template has a place for one that says something: such a one stands where a conversation has it. */
      readonly onlyEmpty?: true;
    };

export type ChatVariables = Readonly<Record<string, boolean | number | string>>;

/** A template alone, with what is done where nothing is settled: an empty system message, which keeps a template's own out. */
export function templateFormat(template: string): ChatFormat {
  return { kind: "template", template, system: { kind: "text", text: "" }, variables: {} };
}

/**
 * The messages that are rendered: the format's system message stands where the conversation has none, or an empty one.
 * @throws CHAT_SYSTEM where the format omits every one and the conversation has one that says something
 */
export function withSystem({ system }: ChatFormat, messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const [first] = messages;
  if (first === undefined) return messages;
  const turns = first.role === "system" ? messages.slice(1) : messages;
  if (first.role === "system" && first.content !== "") {
    if (system.kind === "text" || system.onlyEmpty) return messages;
    const why = system.why === undefined ? "it is to be left out" : system.why;
    throw new InwardError(
      "CHAT_SYSTEM",
      `The model's chat format has no place for the system message ${JSON.stringify(first.content.slice(0, 80))}: ${why}.`,
    );
  }
  return system.kind === "omit" ? turns : [{ role: "system", content: system.text }, ...turns];
}
