/** Prompts as sequences whose lengths and common beginnings count: token ids, or characters where there is no tokenizer. */
import { openTokenizer } from "../model/engine/open-tokenizer.js";
import type { ChatMessage } from "../records/answer.js";
import type { TokenBasis } from "./plan-estimate.js";

export type Prompts = readonly (readonly ChatMessage[])[];

export interface TokenCounter {
  readonly basis: TokenBasis;
  /** Elements of a sequence that make a token. */
  readonly elementsPerToken: number;
  sequences(prompts: Prompts): Promise<readonly (readonly number[])[]>;
  dispose(): Promise<void>;
}

/** English text in vocabularies of 50,000 to 130,000 tokens has 4 to 4.5; the lower one asks for more time, not for less. */
export const CHARACTERS_PER_TOKEN = 4;
/** A template's words around one message. */
export const TEMPLATE_TOKENS_PER_MESSAGE = 5;

export async function tokenCounter(modelPath: string): Promise<TokenCounter> {
  const tokenizer = await openTokenizer(modelPath);
  return {
    basis: "exact",
    elementsPerToken: 1,
    sequences: (prompts) => tokenizer.tokenize(prompts),
    dispose: () => tokenizer.dispose(),
  };
}

export function characterCounter(): TokenCounter {
  const frame = TEMPLATE_TOKENS_PER_MESSAGE * CHARACTERS_PER_TOKEN;
  return {
    basis: "estimate",
    elementsPerToken: CHARACTERS_PER_TOKEN,
    sequences: async (prompts) =>
      prompts.map((messages) =>
        messages.flatMap(({ role, content }) => [
          // No character's number is negative, so that a turn never looks like text.
          ...new Array<number>(frame).fill(-role.length),
          ...Array.from(content, (character) => character.codePointAt(0) as number),
        ]),
      ),
    dispose: async () => {},
  };
}
