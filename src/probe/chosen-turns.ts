/** Which tokens of a prompt are meant, by name: a turn of the conversation, its words, what follows from there, the reply. */

import { InwardError } from "../errors.js";
import type { Intervention } from "../model/interventions.js";
import type { LocatedPrompt } from "../model/language-model.js";
import type { ChatMessage } from "../tasks/answer.js";
import { findSpans, type SpanMark } from "./spans.js";

/** Names that every prompt has, and what they are. */
export const TURN_SPANS = {
  all: "every token, and the reply",
  prompt: "every token of the prompt",
  reply: "the tokens of the reply as it is read again",
  last: "the prompt's last token",
  message: "the words of the last message",
  onward: "from the last message's first word on, the reply too",
  system: "the words of the system message",
} as const;

/**
 * @param name one of TURN_SPANS, `turn_<n>` (the words of the n-th message, from 1, a system message counted where there is one), numbers
 * of tokens, comma-separated, -1 the last one; or of `marks`
 * @param marks spans of the question's words, where it was put together by a task
 * @param which for messages
 * @returns as an intervention has them
 * @throws PROBE_INVALID there is no such span, or it has no words in this prompt
 */
export function tokensByName(
  name: string,
  located: LocatedPrompt,
  messages: readonly ChatMessage[],
  { marks = [], which }: { readonly marks?: readonly SpanMark[]; readonly which: string },
): Intervention["tokens"] {
  const { length } = located.tokenIds;
  const refuse = (why: string): never => {
    throw new InwardError("PROBE_INVALID", `${which}: the span ${JSON.stringify(name)} ${why}`);
  };
  if (name === "all") return { from: 0 };
  if (name === "reply") return { from: length };
  if (name === "prompt") return Array.from({ length }, (_, at) => at);
  if (name === "last") return length > 0 ? [length - 1] : refuse("has no token");
  if (/^-?\d{1,7}(,-?\d{1,7})*$/.test(name)) {
    const places = name.split(",").map((one) => (Number(one) < 0 ? length + Number(one) : Number(one)));
    const stray = places.findIndex((place) => place < 0 || place >= length);
    if (stray >= 0) return refuse(`asks for token ${name.split(",")[stray]}; the prompt has ${length}`);
    return [...new Set(places)].sort((a, b) => a - b);
  }
  const asked = messageOf(name, messages);
  const found = findSpans(located, {
    messages,
    marks: asked === undefined ? marks : [wholeMessage(name, asked, messages)],
  });
  const span = found.find((one) => one.name === name);
  if (span === undefined) {
    const known = [...Object.keys(TURN_SPANS), "turn_1", ...marks.map((mark) => mark.name)];
    return refuse(`is none of ${[...new Set(known)].join(", ")}, and no list of tokens`);
  }
  if (!span.ok) return refuse(`is not there: ${span.reason}`);
  const [first] = span.tokens;
  if (first === undefined) return refuse("has no token");
  return name === "onward" ? { from: first } : span.tokens;
}

/** Number of the message that a name is about; undefined where it is about none. */
function messageOf(name: string, messages: readonly ChatMessage[]): number | undefined {
  if (name === "message" || name === "onward") return messages.length - 1;
  // A system message that is empty stands for none, and has no words.
  if (name === "system") return messages.findIndex(({ role }) => role === "system");
  const turn = /^turn_([1-9]\d{0,5})$/.exec(name)?.[1];
  if (turn === undefined) return undefined;
  const withWords = messages[0]?.role === "system" && messages[0].content === "" ? 1 : 0;
  return withWords + Number(turn) - 1;
}

function wholeMessage(name: string, message: number, messages: readonly ChatMessage[]): SpanMark {
  const content = messages[message]?.content;
  if (content === undefined) return { name, ok: false, reason: `the conversation has ${messages.length} messages` };
  return { name, ok: true, ranges: [{ message, start: 0, end: content.length }] };
}
