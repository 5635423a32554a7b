/** What every engine does with words: renders chats, tokenizes and detokenizes, through the vocabulary that node-llama-cpp has read. */
import { createHash } from "node:crypto";
import type { LlamaModel, Token } from "node-llama-cpp";
import { InwardError } from "../../errors.js";
import type { ChatMessage } from "../../records/answer.js";
import type { EngineManifest } from "../../records/model-state.js";
import { type AnswerVocabulary, encodeChats } from "../chat/encode-chat.js";
import { renderChat, type TemplateTokens } from "../chat/render-chat.js";
import { tokenizeChat } from "../chat/tokenize-chat.js";
import { tokenizePlain } from "../chat/tokenize-plain.js";
import type { AskRequest, EncodedConversation, ModelFacts, RenderedPrompt, ScoreRequest } from "../language-model.js";
import type { TokenizedRequest } from "./tokenized-request.js";

/** A prompt and what may follow it. */
export interface TokenizedScoreRequest {
  readonly promptIds: readonly number[];
  /** [continuations] may be empty: the end of the turn at once. */
  readonly continuations: readonly (readonly number[])[];
  readonly endOfTurnId: number;
}

/** The end-of-turn token does not depend on what is said before it. */
const ANY_ANSWER = "answer";
const SPACED = "a .";

export class ChatTokens {
  private readonly vocabulary: AnswerVocabulary;
  private readonly templateTokens: TemplateTokens;
  private readonly shown = new Map<number, string>();

  /**
   * @param model its vocabulary at least is loaded
   * @param template Jinja source of the GGUF
   */
  constructor(
    private readonly model: LlamaModel,
    private readonly template: string,
    private readonly facts: Pick<ModelFacts, "vocabularySize" | "contextTokens">,
  ) {
    this.vocabulary = answerVocabulary(model, facts.vocabularySize);
    this.templateTokens = { bosToken: model.tokens.bosString ?? "", eosToken: model.tokens.eosString ?? "" };
  }

  /** The manifest's part that tells how prompts are made. */
  manifest(): Pick<EngineManifest, "chatTemplateSha256" | "beginOfSequence"> {
    return {
      chatTemplateSha256: createHash("sha256").update(this.template).digest("hex"),
      beginOfSequence: this.vocabulary.addBos
        ? `one BOS token, id ${this.vocabulary.bosId}`
        : "none added: the model's vocabulary says add_bos_token = false",
    };
  }

  render(messages: readonly ChatMessage[]): RenderedPrompt {
    const parts = renderChat(this.template, messages, this.templateTokens);
    return { text: parts.map((part) => part.text).join(""), tokenIds: tokenizeChat(parts, this.vocabulary) };
  }

  encode(conversations: readonly (readonly ChatMessage[])[]): EncodedConversation[] {
    return encodeChats(this.template, conversations, this.templateTokens, this.vocabulary);
  }

  /** @throws ENGINE_EMPTY_PROMPT, ENGINE_CONTEXT, CHAT_* */
  tokenize(requests: readonly AskRequest[]): TokenizedRequest[] {
    return requests.map(({ messages, ...rest }, index) => {
      const promptIds = this.render(messages).tokenIds;
      this.requireFit(index, messages, promptIds.length, promptIds.length + rest.maxTokens);
      return { ...rest, promptIds };
    });
  }

  /** @throws ENGINE_EMPTY_PROMPT, ENGINE_CONTEXT, CHAT_*, MODEL_TEMPLATE */
  tokenizeContinuations(requests: readonly ScoreRequest[]): TokenizedScoreRequest[] {
    return requests.map(({ messages, continuations }, index) => {
      const [whole] = this.encode([[...messages, { role: "assistant", content: ANY_ANSWER }]]);
      const { tokenIds, answerStart } = whole as EncodedConversation;
      const ids = continuations.map((text) => tokenizePlain(text, this.vocabulary));
      const longest = ids.reduce((most, { length }) => Math.max(most, length), 0);
      this.requireFit(index, messages, answerStart, answerStart + longest + 1);
      return {
        promptIds: tokenIds.slice(0, answerStart),
        continuations: ids,
        endOfTurnId: tokenIds[tokenIds.length - 1] as number,
      };
    });
  }

  /** @returns the prompt's ids @throws ENGINE_EMPTY_PROMPT, ENGINE_CONTEXT, ENGINE_TOKEN, CHAT_* */
  tokenizePaths(messages: readonly ChatMessage[], paths: readonly (readonly number[])[]): readonly number[] {
    for (const id of paths.flat()) this.requireToken(id);
    const { tokenIds } = this.render(messages);
    const longest = paths.reduce((most, { length }) => Math.max(most, length), 0);
    this.requireFit(0, messages, tokenIds.length, tokenIds.length + longest + 1);
    return tokenIds;
  }

  /** @returns the text that these ids stand for, without control tokens */
  text(ids: readonly number[]): string {
    return this.model.detokenize(ids as Token[], false);
  }

  /** @returns one token as it looks in a prompt, control tokens by their names */
  tokenText(id: number): string {
    const known = this.shown.get(id);
    if (known !== undefined) return known;
    const text = this.model.detokenize([id as Token], true);
    this.shown.set(id, text);
    return text;
  }

  /** The vocabulary's own flag has no public reader: what becomes of a blank before a mark shows it. */
  cleansSpaces(): boolean {
    return this.text(this.vocabulary.tokenizePlain(SPACED)) !== SPACED;
  }

  isEndOfGeneration(id: number): boolean {
    return this.vocabulary.isEndOfGeneration(id);
  }

  /** A typed array would make another id of one that is not whole, or too large for 32 bits. */
  private requireToken(id: number): void {
    const { vocabularySize } = this.facts;
    if (Number.isInteger(id) && id >= 0 && id < vocabularySize) return;
    throw new InwardError("ENGINE_TOKEN", `token id ${id} is not in the vocabulary of ${vocabularySize}`);
  }

  private requireFit(index: number, messages: readonly ChatMessage[], promptTokens: number, needed: number): void {
    if (promptTokens === 0) throw new InwardError("ENGINE_EMPTY_PROMPT", `Question ${index + 1} has no tokens.`);
    if (needed <= this.facts.contextTokens) return;
    const start = JSON.stringify((messages.at(-1)?.content ?? "").slice(0, 80));
    throw new InwardError(
      "ENGINE_CONTEXT",
      `Question ${index + 1} (${start}…) needs ${needed} tokens with its answer; the model's context holds ${this.facts.contextTokens}.`,
    );
  }
}

function answerVocabulary(model: LlamaModel, vocabularySize: number): AnswerVocabulary {
  const controlTokens = new Map<string, number>();
  for (let id = 0; id < vocabularySize; id++) {
    if (model.getTokenAttributes(id as Token).control) controlTokens.set(model.detokenize([id as Token], true), id);
  }
  return {
    tokenizePlain: (text) => model.tokenize(text, false),
    controlTokens,
    isEndOfGeneration: (id) => model.isEogToken(id as Token),
    addBos: model.tokens.shouldPrependBosToken,
    ...(model.tokens.bos === null ? {} : { bosId: model.tokens.bos }),
  };
}
