/** The calls between a command that counts tokens and the worker process that holds a vocabulary. */
import type { ChatMessage } from "../../records/answer.js";

export type TokenizerCall =
  | { readonly call: "open"; readonly modelPath: string }
  | { readonly call: "tokenize"; readonly prompts: readonly (readonly ChatMessage[])[] };

export interface TokenizerResults {
  readonly open: null;
  /** [prompts] ids exactly as asking has them. */
  readonly tokenize: number[][];
}
