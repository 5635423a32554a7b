/** Settles how a model is spoken to by trying its template: its system message, its thinking mode, what it takes out of earlier turns. */

import type { GgufSummary } from "../../gguf/inspect-gguf.js";
import { InwardError } from "../../errors.js";
import { openedReasoning } from "../../properties/reasoning.js";
import type { ChatMessage } from "../../tasks/answer.js";
import type { ChatFormat, ChatVariables, SystemMessage } from "./format.js";
import { renderText, type TemplateTokens } from "./render.js";
import { marksIn, REASONING_MARKS, switchThinkingOff } from "./thinking.js";

/** What a study, or a command, says of a model's chat; what it leaves open is settled by the template. */
export interface ChatWish {
  readonly system?: SystemMessage;
  /** A template in the place of the file's own, or none. */
  readonly format?: "plain" | { readonly path: string; readonly template: string };
}

/** A format with what people must know of it. */
export interface SettledChat extends ChatFormat {
  /** Where the template does not come from the model's file: the path that was given. */
  readonly templatePath?: string;
  /** In words, as a sentence's end: how the system message and the thinking mode were settled. */
  readonly words: { readonly system: string; readonly thinking?: string };
  /** The mark of reasoning that the template itself opens before every answer, so that nothing else can come first. */
  readonly opensReasoning?: string;
  /** Marks of reasoning with which the template takes text out of earlier answers. */
  readonly dropsReasoning: readonly string[];
  /** A question as the model reads it, `{question}` in its place. */
  readonly sample: string;
}

/** What a header says of a model's chat. */
export type ChatFile = Pick<GgufSummary, "path" | "chatTemplate" | "bosToken" | "eosToken">;

const QUESTION = "{question}";
const SYSTEM = "{system message}";

/**
 * @throws MODEL_NO_CHAT_TEMPLATE · MODEL_TEMPLATE the template cannot render a question · CHAT_SYSTEM it has no place for the
 * system message that is wanted, or puts in one of its own
 */
export function settleChat(file: ChatFile, { system, format }: ChatWish = {}): SettledChat {
  if (format === "plain") return settlePlain(system);
  const template = format?.template ?? requireTemplate(file);
  const probe = new TemplateProbe(template, { bosToken: file.bosToken ?? "", eosToken: file.eosToken ?? "" });
  const { variables, words, opensReasoning } = settleThinking(template, probe);
  const settled = settleSystem(probe.under(variables), system);
  const chat = { kind: "template", template, system: settled.system, variables } as const;
  const before: ChatMessage[] = chat.system.kind === "text" ? [{ role: "system", content: chat.system.text }] : [];
  const settledProbe = probe.under(variables);
  const sample = settledProbe.text([...before, { role: "user", content: QUESTION }]);
  const standing = sample.slice(0, sample.indexOf(QUESTION)).replace(saidIn(chat.system), "");
  const also = saysSomething(standing) ? `; the template itself writes ${shorten(unmarked(standing))}` : "";
  return {
    ...chat,
    ...(format ? { templatePath: format.path } : {}),
    words: { system: `${settled.words}${also}`, ...(words === undefined ? {} : { thinking: words }) },
    ...(opensReasoning === undefined ? {} : { opensReasoning }),
    dropsReasoning: settledProbe.droppedMarks(before),
    sample,
  };
}

/**
 * The format that an engine renders with.
 * @param format one that was settled before; without a template, the file's own is meant. Settled here when absent
 * @throws as settleChat
 */
export function formatFor(file: ChatFile, format: ChatFormat | undefined): ChatFormat {
  if (format === undefined) return settleChat(file);
  if (format.kind === "plain" || format.template !== undefined) return format;
  return { ...format, template: requireTemplate(file) };
}

function requireTemplate({ chatTemplate, path }: ChatFile): string {
  if (chatTemplate !== undefined) return chatTemplate;
  throw new InwardError("MODEL_NO_CHAT_TEMPLATE", `${path} has no chat template`);
}

function settlePlain(system: SystemMessage | undefined): SettledChat {
  // An empty one is no text at all; one that says something is a paragraph before the text.
  const settled = system ?? { kind: "text", text: "" };
  const words = settled.kind === "omit" || settled.text === "" ? "none" : saysText(settled.text);
  return {
    kind: "plain",
    system: settled,
    variables: {},
    words: { system: words },
    dropsReasoning: [],
    sample: QUESTION,
  };
}

function saidIn(system: SystemMessage): string {
  return system.kind === "text" ? system.text : "";
}

function saysText(text: string): string {
  return text === "" ? "an empty one stands before every conversation" : JSON.stringify(text);
}

/** A template under trial. */
class TemplateProbe {
  constructor(
    private readonly template: string,
    private readonly tokens: TemplateTokens,
    private readonly variables: ChatVariables = {},
  ) {}

  under(variables: ChatVariables): TemplateProbe {
    return new TemplateProbe(this.template, this.tokens, variables);
  }

  /** @throws MODEL_TEMPLATE */
  text(messages: readonly ChatMessage[]): string {
    const format = {
      kind: "template",
      template: this.template,
      system: { kind: "omit" },
      variables: this.variables,
    } as const;
    return renderText(format, messages, this.tokens);
  }

  /** @returns the text, or why there is none that has the question in it */
  try(messages: readonly ChatMessage[]): Tried {
    try {
      const text = this.text(messages);
      if (text.includes(QUESTION)) return { ok: true, text };
      return { ok: false, error: new InwardError("MODEL_TEMPLATE", "The chat template leaves the question out.") };
    } catch (error) {
      if (!(error instanceof InwardError)) throw error;
      return { ok: false, error };
    }
  }

  /** One question with and without a system message, as one text. */
  questions(): string | undefined {
    const question = { role: "user", content: QUESTION } as const;
    const tried = [this.try([question]), this.try([{ role: "system", content: SYSTEM }, question])];
    return tried.some(({ ok }) => ok) ? JSON.stringify(tried.map((one) => one.ok && one.text)) : undefined;
  }

  /** Marks of reasoning with which an earlier answer does not stay as it was. */
  droppedMarks(before: readonly ChatMessage[]): string[] {
    return REASONING_MARKS.flatMap(([open, close]) => {
      const whole = [`${open}Because.${close}Blue.`, `Because.${close}Blue.`].every((content) => {
        const tried = this.try([
          ...before,
          { role: "user", content: QUESTION },
          { role: "assistant", content },
          { role: "user", content: QUESTION },
        ]);
        return tried.ok && tried.text.includes(content);
      });
      return whole ? [] : [open];
    });
  }
}

type Tried = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly error: InwardError };

// Thinking: off, by the template's own variable, and proven as far as a prompt can prove it.

function settleThinking(template: string, probe: TemplateProbe) {
  const { variables, levels } = switchThinkingOff(template, (given) => probe.under(given).questions());
  const opensReasoning = opened(probe.under(variables));
  const marks = marksIn(template);
  const switched = Object.entries(variables).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
  const isOpened = opensReasoning === undefined ? "" : `the template opens ${opensReasoning} before every answer`;
  const hasLevels =
    levels.length === 0 ? "" : `${levels.join(" and ")} says how much is thought and has no value for nothing`;
  const open = [isOpened, hasLevels].filter((one) => one !== "").join(", and ");
  if (switched.length > 0) {
    const words = `switched off by the template's own ${switched.join(", ")}${open === "" ? "" : `; yet ${open}`}`;
    return { variables, words, opensReasoning };
  }
  if (open !== "") return { variables, words: `cannot be switched off: ${open}`, opensReasoning };
  if (marks === undefined) return { variables };
  return { variables, words: `the template knows ${marks[0]} and has no variable that switches thinking off` };
}

/** The mark that stands open where the answer begins. */
function opened(probe: TemplateProbe): string | undefined {
  const tried = probe.try([{ role: "user", content: QUESTION }]);
  if (!tried.ok) return undefined;
  return openedReasoning(tried.text.slice(tried.text.lastIndexOf(QUESTION) + QUESTION.length))?.trim();
}

// The system message: what stands where a question has none.

interface SettledSystem {
  readonly system: SystemMessage;
  readonly words: string;
}

function settleSystem(probe: TemplateProbe, wished: SystemMessage | undefined): SettledSystem {
  const question: ChatMessage = { role: "user", content: QUESTION };
  const under = (content: string) => probe.try([{ role: "system", content }, question]);
  const [bare, said, empty] = [probe.try([question]), under(SYSTEM), under("")];
  if (!bare.ok && !said.ok) throw bare.error;
  if (!said.ok || !said.text.includes(SYSTEM)) {
    if (!bare.ok) throw bare.error;
    const why = said.ok
      ? `the chat template ${bare.ok && said.text !== bare.text ? "changes the text of system messages" : "leaves system messages out"}`
      : `the chat template takes none (${reasonOf(said.error)})`;
    if (wished?.kind === "text" && wished.text !== "") throw noPlace(wished.text, why);
    return { system: { kind: "omit", why }, words: `none: ${why}` };
  }
  const without = said.text.replace(SYSTEM, "");
  const ownWhere = (tried: Tried) => (tried.ok ? ownWords(tried.text, without) : undefined);
  if (wished?.kind === "omit") {
    if (!bare.ok) throw noPlace("", `the chat template wants a system message (${reasonOf(bare.error)})`);
    const own = ownWhere(bare);
    if (own !== undefined) throw ownPrompt(own, "where none is given");
    return { system: { kind: "omit" }, words: "none, as it was asked for" };
  }
  if (wished && wished.text !== "") return { system: wished, words: JSON.stringify(wished.text) };
  if (empty.ok && ownWhere(empty) === undefined) {
    const isBlank = bare.ok && empty.text !== bare.text && blankless(empty.text) === blankless(bare.text);
    if (wished === undefined && isBlank && ownWhere(bare) === undefined) {
      const why = "an empty one would leave blank lines where a question without one has none";
      return { system: { kind: "omit", why, onlyEmpty: true }, words: `none: ${why}` };
    }
    const own = ownWhere(bare);
    const kept = own === undefined ? "" : `, which keeps out the template's own (${shorten(own)})`;
    const same = bare.ok && bare.text === empty.text ? ", for which the template writes nothing" : "";
    return { system: { kind: "text", text: "" }, words: `an empty one${kept}${same}` };
  }
  const own = ownWhere(empty);
  if (bare.ok && ownWhere(bare) === undefined) {
    const why = empty.ok
      ? `the chat template puts its own in the place of an empty one (${shorten(own ?? "")})`
      : `the chat template takes no empty one (${reasonOf(empty.error)})`;
    if (wished) throw noPlace("", why);
    return { system: { kind: "omit", why, onlyEmpty: true }, words: `none: ${why}` };
  }
  throw own === undefined && !empty.ok ? empty.error : ownPrompt(own ?? "", "in the place of an empty one");
}

function blankless(text: string): string {
  return text.replace(/\s/g, "");
}

/** Text without what marks turns: tags, bracketed markers, where the question stands. */
function unmarked(text: string): string {
  return text
    .replaceAll(QUESTION, " ")
    .replace(/[<〈][^<>〈〉\n]{1,60}[>〉]|\[\/?\w{2,}\]/gu, " ")
    .trim();
}

/** Whether a model could heed it: names of roles alone say nothing. */
function saysSomething(text: string): boolean {
  return /[\p{L}\p{N}]/u.test(
    unmarked(text).replace(/\b(system|user|assistant|developer|model|human|ai|bot)\b:?/giu, ""),
  );
}

/** @returns what a text has between its common beginning and end with another, when there are words in it */
function ownWords(text: string, other: string): string | undefined {
  let start = 0;
  while (start < text.length && text[start] === other[start]) start++;
  let end = 0;
  const most = Math.min(text.length, other.length) - start;
  while (end < most && text[text.length - 1 - end] === other[other.length - 1 - end]) end++;
  const own = text.slice(start, text.length - end);
  return saysSomething(own) ? own : undefined;
}

function shorten(text: string): string {
  const characters = [...text.trim()];
  return JSON.stringify(characters.length <= 120 ? text.trim() : `${characters.slice(0, 119).join("")}…`);
}

function reasonOf({ message }: InwardError): string {
  return message.replace(/^The chat template cannot be rendered: /, "");
}

function noPlace(text: string, why: string): InwardError {
  const wanted = text === "" ? "an empty system message" : `the system message ${shorten(text)}`;
  return new InwardError("CHAT_SYSTEM", `The model cannot be given ${wanted}: ${why}.`);
}

function ownPrompt(own: string, where: string): InwardError {
  return new InwardError(
    "CHAT_SYSTEM",
    `The chat template puts in a system prompt of its own ${where}, which nobody would see: ${shorten(own)}. Say which one is to stand.`,
  );
}
