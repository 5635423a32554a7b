import type { ListsNextTokens } from "../model/next-tokens.js";
import type { ChatMessage } from "../records/answer.js";
import type { ContinuationSource } from "./continuation-source.js";
import { settledText } from "./settled-text.js";

export interface ModelSourceFacts {
  readonly vocabularySize: number;
  /** Of the rendered prompt. */
  readonly promptTokens: number;
  /** As ModelFacts has it. */
  readonly cleansSpaces: boolean;
}

/** The continuations that a model gives to a prompt. */
export function modelSource(
  model: ListsNextTokens,
  messages: readonly ChatMessage[],
  { vocabularySize, promptTokens, cleansSpaces }: ModelSourceFacts,
): ContinuationSource {
  // Whether the model still has the prompt from one group of paths to the next shows in what a group costs.
  let keepsPrompt = false;
  return {
    vocabularySize,
    next: async (paths, topTokens) => {
      const reply = await model.nextTokens(messages, paths, topTokens);
      keepsPrompt = reply.evaluatedTokens < promptTokens + countNodes(paths);
      return reply;
    },
    tokensFor: (paths) => (keepsPrompt ? 1 : promptTokens) + countNodes(paths),
    settled: (text) => settledText(text, cleansSpaces),
  };
}

/** Different beginnings of the paths, themselves included. */
function countNodes(paths: readonly (readonly number[])[]): number {
  const nodes = new Set<string>();
  for (const path of paths) {
    let node = "";
    for (const id of path) {
      node += `${id} `;
      nodes.add(node);
    }
  }
  return nodes.size;
}
