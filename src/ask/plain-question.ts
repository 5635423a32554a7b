/** A question that no engine should crash on: one that does is broken, and what it was asked before is not to blame. */

import type { LanguageModel } from "../model/language-model.js";
import type { ChatMessage } from "../tasks/answer.js";

interface PlainHooks {
  readonly heard: () => void;
  readonly signal?: AbortSignal | undefined;
}

/** The system message that is there, and two words. */
export function plainMessages(messages: readonly ChatMessage[]): ChatMessage[] {
  return [...messages.filter(({ role }) => role === "system"), { role: "user", content: "Say yes." }];
}

/** @param messages that may have crashed it */
export async function askPlainly(
  model: LanguageModel,
  messages: readonly ChatMessage[],
  { heard, signal }: PlainHooks,
  topTokens = 0,
): Promise<void> {
  const request = { messages: plainMessages(messages), maxTokens: 1, temperature: 0, topTokens };
  await model.ask([request], { onReply: heard, signal });
}

/** The same where answers are given. */
export async function scorePlainly(
  model: LanguageModel,
  messages: readonly ChatMessage[],
  { heard, signal }: PlainHooks,
): Promise<void> {
  await model.score([{ messages: plainMessages(messages), continuations: ["yes", "no"] }], { onScored: heard, signal });
}
