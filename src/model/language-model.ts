import type { ChatMessage, Reply } from "../records/answer.js";
import type { EngineManifest } from "../records/model-state.js";

/** One prompt to answer. */
export interface AskRequest {
  readonly messages: readonly ChatMessage[];
  /** Longest answer in tokens, the end-of-generation token not counted. */
  readonly maxTokens: number;
  /** 0 takes the most likely token, ties to the lowest id; 1 draws from the plain softmax of the raw logits. */
  readonly temperature: 0 | 1;
  /** Temperature 1 only: what the draw is a function of, besides the logits. */
  readonly seed?: string;
  /** Most likely tokens to report at the first answer position. */
  readonly topTokens: number;
  /** Neighbours with the same key share a long beginning and are asked one after another on one sequence. */
  readonly shares?: string;
}

/** A prompt exactly as the model reads it. */
export interface RenderedPrompt {
  readonly text: string;
  readonly tokenIds: readonly number[];
}

export interface AskOptions {
  /** Called as each reply is complete, in any order. */
  readonly onReply?: (index: number, reply: Reply) => void;
  readonly signal?: AbortSignal;
  /** Sequences at once, instead of the engine's own number; the noise floor asks with another batch composition. */
  readonly sequences?: number;
}

/**
 * A model that answers prompts. Every engine implements this; scripted ones in tests too.
 * The requests of one `ask` are one group: the same group gives the same bytes on the same machine.
 */
export interface LanguageModel {
  readonly manifest: EngineManifest;
  render(messages: readonly ChatMessage[]): Promise<RenderedPrompt>;
  /**
   * Tokenizes every request and throws before anything runs: ENGINE_CONTEXT when one cannot fit, CHAT_* when its text is unsafe.
   * @returns prompt tokens of each request
   */
  check(requests: readonly AskRequest[]): Promise<number[]>;
  /** Replies in the order of the requests. */
  ask(requests: readonly AskRequest[], options?: AskOptions): Promise<Reply[]>;
  dispose(): Promise<void>;
}
