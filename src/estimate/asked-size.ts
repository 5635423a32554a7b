/** How much there is to ask: counts over the groups in which the engine gets the questions. Pure but for the tokenizer. */
import { prefixOrder } from "../finetune/prefix-order.js";
import type { ChatMessage } from "../records/answer.js";
import type { AskedSize } from "./plan-estimate.js";
import type { TokenCounter } from "./token-counter.js";

export interface CountedQuestion {
  readonly task: string;
  readonly item: string;
  readonly messages: readonly ChatMessage[];
  readonly maxTokens: number;
}

/** Nodes of the sequences' prefix tree: each shared beginning once. */
export function treeSize(sequences: readonly (readonly number[])[]): number {
  const { shared } = prefixOrder(sequences);
  const all = sequences.reduce((sum, { length }) => sum + length, 0);
  return all - shared.reduce((sum, length) => sum + length, 0);
}

/** @param shares whether the engine evaluates a shared beginning once */
export async function askedSize(
  groups: readonly (readonly CountedQuestion[])[],
  counter: Pick<TokenCounter, "sequences">,
  shares: boolean,
): Promise<AskedSize> {
  let [all, distinct, generated, longest, questions] = [0, 0, 0, 0, 0];
  const items = new Set<string>();
  for (const group of groups) {
    const sequences = await counter.sequences(group.map(({ messages }) => messages));
    const tokens = sequences.reduce((sum, { length }) => sum + length, 0);
    all += tokens;
    distinct += shares ? treeSize(sequences) : tokens;
    for (const [index, { task, item, maxTokens }] of group.entries()) {
      items.add(`${task}/${item}`);
      generated += maxTokens;
      longest = Math.max(longest, (sequences[index] as readonly number[]).length + maxTokens);
    }
    questions += group.length;
  }
  return {
    questions,
    items: items.size,
    promptTokens: all,
    distinctTokens: distinct,
    generatedTokensAtMost: generated,
    longestTokens: longest,
  };
}
