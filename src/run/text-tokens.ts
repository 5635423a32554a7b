/** A text as a model's tokens, by its vocabulary alone. */

import { InwardError } from "../errors.js";
import { openTokenizer } from "../model/engines/start-engine.js";
import type { TokenText } from "../tasks/answer-tokens.js";
import { findModel, type FindModelOptions, type FoundModel, turns } from "./open-model.js";

export interface TokenizeOptions extends Omit<FindModelOptions, "adapter" | "adapterScale" | "forceAdapter"> {
  /** The whole prompt that asking the text would be, with the chat template's own tokens. Default false: the text inside a message. */
  readonly asPrompt?: boolean;
  readonly onFound?: (model: FoundModel) => void;
}

export interface TokenizedText {
  /** As the model was named. */
  readonly model: string;
  /** Of its file. */
  readonly sha256: string;
  /** What the tokens stand for together, control tokens by their names. */
  readonly text: string;
  readonly tokens: readonly (TokenText & { readonly id: number })[];
}

/**
 * @param what a text, or token ids to read
 * @param source registry name, `hf:` URI, or path of a GGUF
 * @throws InwardError MODEL_* · CHAT_* a text that no tokens stand for · USAGE an id that is none
 */
export async function tokenizeText(
  what: string | readonly number[],
  source: string,
  { asPrompt = false, onFound, ...options }: TokenizeOptions = {},
): Promise<TokenizedText> {
  const found = await findModel(source, options);
  onFound?.(found);
  const tokenizer = await openTokenizer(found.file.path, found.chat);
  try {
    const [ids = []] =
      typeof what !== "string"
        ? [what]
        : asPrompt
          ? await tokenizer.tokenize([turns("", what)])
          : await tokenizer.plainIds([what]);
    const { texts, whole } = await tokenizer.tokenTexts(ids).catch((error) => {
      // An id of the caller's own, and no defect.
      if (typeof what === "string" || !(error instanceof InwardError) || error.code !== "ENGINE_TOKEN") throw error;
      throw new InwardError("USAGE", `${error.message}.`, { cause: error });
    });
    const tokens = ids.map((id, at) => ({ id, ...(texts[at] as TokenText) }));
    return { model: found.file.source, sha256: found.file.sha256, text: whole, tokens };
  } finally {
    await tokenizer.dispose();
  }
}
