/**
 * A conversation as training reads it: prompt ids exactly as asking has them, the answer's plain ids, the end-of-turn token.
 * Not the ids of the whole conversation rendered at once. There the answer's beginning may merge with the text before it
 * ("assistant\n" and "\n…"), and the template may trim it; but a model that is asked continues a prompt whose ids stand
 * already, and nothing trims what it generates. What is trained must be what is asked, so the text is learnt as it is given.
 */
import { InwardError } from "../../errors.js";
import type { ChatMessage } from "../../records/answer.js";
import type { EncodedConversation } from "../language-model.js";
import { cutAtControlTokens } from "./control-tokens.js";
import { type PromptPart, renderChat, type TemplateTokens } from "./render-chat.js";
import { type ChatVocabulary, tokenizeChat } from "./tokenize-chat.js";
import { tokenizePlain } from "./tokenize-plain.js";

/** What encoding an answer needs to know beside what a prompt does. */
export interface AnswerVocabulary extends ChatVocabulary {
  /** Whether generation stops at this token. */
  readonly isEndOfGeneration: (id: number) => boolean;
}

/**
 * @param conversations each with the assistant's answer as its last message
 * @throws TRAIN_EXAMPLE when there is no answer or nothing before it · MODEL_TEMPLATE when the template does not end an answer
 * with a token at which generation stops · CHAT_*; all name the conversation by its number, from 1
 */
export function encodeChats(
  template: string,
  conversations: readonly (readonly ChatMessage[])[],
  tokens: TemplateTokens,
  vocabulary: AnswerVocabulary,
): EncodedConversation[] {
  return conversations.map((conversation, index) => {
    try {
      return encodeChat(template, conversation, tokens, vocabulary);
    } catch (error) {
      if (!(error instanceof InwardError)) throw error;
      throw new InwardError(error.code, `Conversation ${index + 1}: ${error.message}`, { cause: error });
    }
  });
}

function encodeChat(
  template: string,
  conversation: readonly ChatMessage[],
  tokens: TemplateTokens,
  vocabulary: AnswerVocabulary,
): EncodedConversation {
  const { question, answer } = partsOf(conversation);
  const promptIds = tokenizeChat(renderChat(template, question, tokens), vocabulary);
  const whole = renderChat(template, conversation, tokens, { generationPrompt: false });
  const { upToAnswer, ending, endId } = endOfTurn(whole, answer, vocabulary);
  const tokenIds = [...promptIds, ...tokenizePlain(answer, vocabulary), endId];
  const templateIds = tokenizeChat([...upToAnswer, { text: ending, content: false }], vocabulary);
  const same = templateIds.length === tokenIds.length && templateIds.every((id, at) => id === tokenIds[at]);
  const trimmed = upToAnswer.at(-1)?.text !== answer;
  return {
    tokenIds,
    answerStart: promptIds.length,
    ...(same ? {} : { unlikeTemplate: trimmed ? "answer_trimmed" : "other_tokens" }),
  };
}

function partsOf(conversation: readonly ChatMessage[]): { question: readonly ChatMessage[]; answer: string } {
  const last = conversation.at(-1);
  if (last?.role !== "assistant") {
    throw new InwardError(
      "TRAIN_EXAMPLE",
      `it ends with ${last ? `a ${last.role} message` : "nothing"}, not with an answer.`,
    );
  }
  if (last.content.trim() === "") throw new InwardError("TRAIN_EXAMPLE", "its answer is empty.");
  if (conversation.length === 1) throw new InwardError("TRAIN_EXAMPLE", "nothing stands before its answer.");
  return { question: conversation.slice(0, -1), answer: last.content };
}

interface EndOfTurn {
  /** The template's rendering up to the answer's last character. */
  readonly upToAnswer: readonly PromptPart[];
  /** What the template writes from there up to and including the end-of-turn token. */
  readonly ending: string;
  readonly endId: number;
}

function endOfTurn(whole: readonly PromptPart[], answer: string, vocabulary: AnswerVocabulary): EndOfTurn {
  const at = whole.findLastIndex((part) => part.content);
  const written = whole[at]?.text;
  if (written !== answer && written !== answer.trim()) {
    throw new InwardError("MODEL_TEMPLATE", "The chat template does not put the answer last.");
  }
  const after = whole.slice(at + 1).map((part) => part.text);
  const pieces = cutAtControlTokens(after.join(""), vocabulary.controlTokens);
  const control = pieces.findIndex((piece) => typeof piece === "number");
  const endId = pieces[control];
  const between = pieces.slice(0, Math.max(control, 0)).join("");
  // White space that a template sets before the token is left out as it is in asking: nobody waits for the model to write it.
  if (typeof endId !== "number" || between.trim() !== "") {
    const ending = JSON.stringify(after.join("").slice(0, 80));
    throw new InwardError(
      "MODEL_TEMPLATE",
      `The chat template ends an answer with ${ending}, not with a control token.`,
    );
  }
  const endText = [...vocabulary.controlTokens].find(([, id]) => id === endId)?.[0] ?? "";
  if (!vocabulary.isEndOfGeneration(endId)) {
    throw new InwardError(
      "MODEL_TEMPLATE",
      `The chat template ends an answer with ${JSON.stringify(endText)} (token ${endId}), at which generation does not stop.`,
    );
  }
  return { upToAnswer: whole.slice(0, at + 1), ending: between + endText, endId };
}
