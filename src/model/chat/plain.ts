/**
 * Plain text, for base models: what a conversation is without markup, and where an answer ends.
 *
 * The contents stand one after the other as they are. A system message is a paragraph of its own, and an answer is a line: it ends at
 * the first line end, which belongs to the text between two turns. So a token that holds a line end ends an answer, and what it holds
 * before that is the answer's last part (`.\n` is one token of many vocabularies). Asking, scoring, training and distributions all take
 * the end from here.
 */

import { InwardError } from "../../errors.js";
import type { ChatMessage } from "../../tasks/answer.js";
import { LINE_END, plainPieces } from "../../tasks/plain-form.js";
import type { PromptPart } from "./render.js";

/** @returns contents and what stands between them */
export function renderPlain(messages: readonly ChatMessage[]): PromptPart[] {
  return plainPieces(messages);
}

/** The answer in a text that was generated up to its line's end or beyond. */
export function upToLineEnd(text: string): string {
  const at = text.indexOf(LINE_END);
  return at < 0 ? text : text.slice(0, at);
}

/** @throws CHAT_PLAIN an answer of several lines: generation would have ended at the first */
export function requireOneLine(answer: string): void {
  if (!answer.includes(LINE_END)) return;
  throw new InwardError(
    "CHAT_PLAIN",
    `In plain text an answer ends with its line, and this one has several: ${JSON.stringify(answer.slice(0, 80))}.`,
  );
}

const WORD_LAST = /[\p{L}\p{N}.?!,;]$/u;
const WORD_FIRST = /^[\p{L}\p{N}]/u;

/** @throws CHAT_PLAIN a question and an answer that run into one another: data for chats, in which a template sets them apart */
export function requireJoint(question: string, answer: string): void {
  if (!WORD_LAST.test(question) || !WORD_FIRST.test(answer)) return;
  throw new InwardError(
    "CHAT_PLAIN",
    `In plain text nothing stands between a question and its answer, so these would run into one another: ` +
      `${JSON.stringify(question.slice(-40))} and ${JSON.stringify(answer.slice(0, 40))}. ` +
      "Begin the answer with a blank, or end the question with a label such as Answer: or with a line end.",
  );
}

/**
 * @param textOf what a token writes; nothing for a control token
 * @returns every token at which an answer ends because it ends a line
 * @throws CHAT_PLAIN where no token does
 */
export function lineEndIds(vocabularySize: number, textOf: (id: number) => string): ReadonlySet<number> {
  const ids = new Set<number>();
  for (let id = 0; id < vocabularySize; id++) if (textOf(id).includes(LINE_END)) ids.add(id);
  if (ids.size > 0) return ids;
  throw new InwardError(
    "CHAT_PLAIN",
    "No token of the vocabulary holds a line end, at which answers in plain text end.",
  );
}
