import type { ListsNextTokens } from "../model/next-tokens.js";
import type { ChatMessage } from "../records/answer.js";
import type { ContinuationSource } from "./continuation-source.js";
import { settledText } from "./settled-text.js";

export interface ModelSourceFacts {
  readonly vocabularySize: number;
  /** Of the rendered prompt: each group of paths evaluates it once. */
  readonly promptTokens: number;
  /** Whether detokenizing takes blanks away before marks; where it is not known, say true. */
  readonly cleansSpaces: boolean;
}

/** The continuations that a model gives to a prompt. */
export function modelSource(
  model: ListsNextTokens,
  messages: readonly ChatMessage[],
  { vocabularySize, promptTokens, cleansSpaces }: ModelSourceFacts,
): ContinuationSource {
  return {
    vocabularySize,
    next: (paths, topTokens) => model.nextTokens(messages, paths, topTokens),
    tokensFor: (paths) => promptTokens + countNodes(paths),
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
