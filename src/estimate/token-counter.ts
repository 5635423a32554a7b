/** Prompts as sequences whose lengths and common beginnings count: a model's token ids, or pieces of text where its file is not here. */
import { openTokenizer } from "../model/engine/open-tokenizer.js";
import type { ChatMessage } from "../records/answer.js";
import type { TokenBasis } from "./plan-estimate.js";

export type Prompts = readonly (readonly ChatMessage[])[];

export interface TokenCounter {
  readonly basis: TokenBasis;
  /** An element is a token, or stands for one. */
  sequences(prompts: Prompts): Promise<readonly (readonly number[])[]>;
  dispose(): Promise<void>;
}

export async function tokenCounter(modelPath: string): Promise<TokenCounter> {
  const tokenizer = await openTokenizer(modelPath);
  return {
    basis: "exact",
    sequences: (prompts) => tokenizer.tokenize(prompts),
    dispose: () => tokenizer.dispose(),
  };
}

/** What stands for a token: a word with its blank, every letters' worth of a long one, three digits, a run of marks, a blank. */
export const LETTERS_PER_TOKEN = 6;
const PIECES = new RegExp(` ?\\p{L}{1,${LETTERS_PER_TOKEN}}|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+|\\s`, "gu");
/** A template's words around one message. */
export const TEMPLATE_TOKENS_PER_MESSAGE = 5;

/** Pieces and not characters: where two prompts part, they part by whole tokens. */
export function pieceCounter(): TokenCounter {
  const ids = new Map<string, number>();
  const idOf = (piece: string) => {
    const id = ids.get(piece) ?? ids.size;
    ids.set(piece, id);
    return id;
  };
  const sequenceOf = (messages: readonly ChatMessage[]) => [
    ...messages.flatMap(({ role, content }) => [
      ...new Array<number>(TEMPLATE_TOKENS_PER_MESSAGE).fill(idOf(`<${role}>`)),
      ...(content.match(PIECES) ?? []).map(idOf),
    ]),
    // What a template writes before the answer; a prompt's end is never the beginning of a longer one.
    ...new Array<number>(TEMPLATE_TOKENS_PER_MESSAGE).fill(idOf("<answer>")),
  ];
  return {
    basis: "estimate",
    sequences: async (prompts) => prompts.map(sequenceOf),
    dispose: async () => {},
  };
}
