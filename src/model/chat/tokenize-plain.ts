import { InwardError } from "../../errors.js";
import type { ChatVocabulary } from "./tokenize-chat.js";

/**
 * Ids of text in which nothing is a control token, whatever it looks like.
 * @throws CHAT_CONTROL_TOKEN when the vocabulary makes one out of plain text all the same
 */
export function tokenizePlain(text: string, vocabulary: ChatVocabulary): readonly number[] {
  if (text === "") return [];
  const ids = vocabulary.tokenizePlain(text);
  const controlIds = new Set(vocabulary.controlTokens.values());
  const control = ids.find((id) => controlIds.has(id));
  if (control !== undefined) {
    throw new InwardError(
      "CHAT_CONTROL_TOKEN",
      `Plain text became control token ${control}: ${JSON.stringify(text.slice(0, 120))}`,
    );
  }
  return ids;
}
