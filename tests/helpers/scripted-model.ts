/** An honest LanguageModel whose answers are written down: an implementation of the interface, not a mock of one of ours. */
import { InwardError } from "../../src/errors.js";
import type { AskRequest, LanguageModel } from "../../src/model/language-model.js";
import type { Reply } from "../../src/tasks/answer.js";
import type { EngineManifest } from "../../src/study/plan.js";

const END_OF_TURN = 2;

/** @param say what is answered to the last message; throwing stands for a crash */
export function scriptedModel(say: (question: string) => string): LanguageModel & { readonly asked: string[] } {
  const asked: string[] = [];
  const question = (request: AskRequest) => request.messages.at(-1)?.content ?? "";
  return {
    asked,
    manifest: { engine: "node-llama-cpp", sequences: 1 } as unknown as EngineManifest,
    facts: { vocabularySize: 0x110000, contextTokens: 4096, warnings: [] },
    render: async (messages) => ({ text: messages.map(({ content }) => content).join("\n"), tokenIds: [1] }),
    tokenTexts: async (ids) => ids.map((id) => ({ text: String.fromCodePoint(id) })),
    encode: async (conversations) =>
      conversations.map((conversation, index) => {
        const answer = conversation.at(-1);
        if (answer?.role !== "assistant" || answer.content === "") {
          throw new InwardError("TRAIN_EXAMPLE", `Conversation ${index + 1}: no answer`);
        }
        return { tokenIds: [1, ...replyOf(answer.content).tokenIds, END_OF_TURN], answerStart: 1 };
      }),
    check: async (requests) =>
      requests.map((request) => {
        if (question(request).length > 2000) throw new InwardError("ENGINE_CONTEXT", "too long");
        return question(request).length;
      }),
    ask: async (requests, options) =>
      requests.map((request, index) => {
        if (options?.signal?.aborted) throw new InwardError("INTERRUPTED", "Asking was interrupted.");
        asked.push(question(request));
        const reply = replyOf(say(question(request)));
        options?.onReply?.(index, reply);
        return reply;
      }),
    score: () => unwritten(),
    nextTokens: () => unwritten(),
    dispose: async () => {},
  };
}

async function unwritten(): Promise<never> {
  throw new InwardError("ENGINE_UNAVAILABLE", "Only answers are written down here.");
}

/** The same reply with a list at each position: its own token, a part of a character, the end of a turn, and so on. */
export function withPositions(reply: Reply, listed: number): Reply {
  const others = Array.from({ length: listed - 1 }, (_, at) => 0x110000 + at);
  return {
    ...reply,
    positions: [...reply.text].map((text, at) => ({
      text,
      logSumExp: at,
      tokenIds: [reply.tokenIds[at] as number, ...others],
      texts: [text, "\ufffd", "<|im_end|>", ...others.slice(2).map(String)].slice(0, listed),
      logprobs: [reply.logprobs[at] as number, ...others.map((_, rank) => -20 - rank)],
      marks: [
        { at: 1, bytes: "f09f" },
        { at: 2, control: true as const },
      ].slice(0, listed - 1),
    })),
  };
}

/** A reply of one token a character, each surer than the last. */
export function replyOf(text: string, more: Partial<Reply> = {}): Reply {
  const characters = [...text];
  return {
    text,
    tokenIds: characters.map((character) => character.codePointAt(0) as number),
    logprobs: characters.map((_, at) => -1 / (at + 1)),
    margins: characters.map((_, at) => 0.5 + at),
    stop: "end_of_generation",
    first: { tokenIds: [], texts: [], logprobs: [], logSumExp: 0, vocabularySize: 1 },
    promptTokens: 1,
    promptSha256: "00",
    ...more,
  };
}
