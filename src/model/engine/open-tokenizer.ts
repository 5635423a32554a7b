/** Opens a model's vocabulary in a worker process: tokens are counted without its weights. */
import type { ChatMessage } from "../../records/answer.js";
import { builtScript } from "../built-script.js";
import { WorkerProcess } from "../worker-process.js";
import type { TokenizerCall, TokenizerResults } from "./tokenizer-protocol.js";

export interface Tokenizer {
  /** @returns [prompts] ids exactly as asking has them @throws CHAT_* */
  tokenize(prompts: readonly (readonly ChatMessage[])[]): Promise<number[][]>;
  dispose(): Promise<void>;
}

/** @throws MODEL_*, ENGINE_CRASHED */
export async function openTokenizer(modelPath: string): Promise<Tokenizer> {
  const worker = new WorkerProcess<TokenizerCall, TokenizerResults>({
    script: builtScript("./tokenizer-worker.js", import.meta.url),
    owner: "tokenizer",
    crashCode: "ENGINE_CRASHED",
  });
  try {
    await worker.call({ call: "open", modelPath });
  } catch (error) {
    await worker.end();
    throw error;
  }
  return {
    tokenize: (prompts) => worker.call({ call: "tokenize", prompts }),
    dispose: () => worker.end(),
  };
}
