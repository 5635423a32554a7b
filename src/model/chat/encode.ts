/**
 * A conversation as training reads it: prompt ids exactly as asking has them, the answer's plain ids, the end-of-turn token.
 * Not the ids of the whole conversation rendered at once. There the answer's beginning may merge with the text before it
 * ("assistant\n" and "\n…"), and the template may trim it; but a model that is asked continues a prompt whose ids stand
 * already, and nothing trims what it generates. What is trained must be what is asked, so the text is learnt as it is given.
 */

import type { LlamaModel, Token } from "node-llama-cpp";
import { createHash } from "node:crypto";
import { InwardError } from "../../errors.js";
import type { EngineManifest } from "../../study/plan.js";
import type { ChatMessage, Reply } from "../../tasks/answer.js";
import { LINE_END } from "../../tasks/plain-form.js";
import type { TokenizedRequest } from "../engines/engine.js";
import type { AskRequest, EncodedConversation, ModelFacts, RenderedPrompt, ScoreRequest } from "../language-model.js";
import { type ChatFormat, withSystem } from "./format.js";
import { lineEndIds, renderPlain, requireJoint, requireOneLine, upToLineEnd } from "./plain.js";
import { cutAtControlTokens, type PromptPart, renderWhole, type TemplateTokens } from "./render.js";

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

// Turns prompt parts into token ids: control tokens only where the template wrote them, exactly one BOS, and a proof that
// no control id came out of a person's text.

/** What tokenizing needs to know of a model's vocabulary. */
export interface ChatVocabulary {
  /** Plain text to ids, special tokens never parsed, no BOS added. */
  readonly tokenizePlain: (text: string) => readonly number[];
  /** Text of every control token, by id. */
  readonly controlTokens: ReadonlyMap<string, number>;
  /** The BOS id, when the vocabulary has one. */
  readonly bosId?: number;
  /** Whether the model was trained with BOS before every sequence (`tokenizer.ggml.add_bos_token`). */
  readonly addBos: boolean;
}

/**
 * Text between two control tokens is tokenized as one piece, template words and content together, as the model's own
 * tokenizer would: cutting at the content's border would change merges there.
 * @throws CHAT_CONTROL_TOKEN, CHAT_BOS
 */
export function tokenizeChat(parts: readonly PromptPart[], vocabulary: ChatVocabulary): number[] {
  const ids: number[] = [];
  let plain = "";
  const flush = () => {
    for (const id of tokenizePlain(plain, vocabulary)) ids.push(id);
    plain = "";
  };
  for (const part of parts) {
    for (const piece of part.content ? [part.text] : cutAtControlTokens(part.text, vocabulary.controlTokens)) {
      if (typeof piece === "string") {
        plain += piece;
      } else {
        flush();
        ids.push(piece);
      }
    }
  }
  flush();
  return withOneBos(ids, vocabulary);
}

function withOneBos(ids: number[], { bosId, addBos }: ChatVocabulary): number[] {
  if (bosId === undefined || !addBos) {
    // ChatML models such as SmolLM2 use their BOS id as a turn marker: it may recur, but never twice at the beginning.
    if (bosId !== undefined && ids[0] === bosId && ids[1] === bosId) {
      throw new InwardError("CHAT_BOS", `The prompt begins with BOS token ${bosId} twice.`);
    }
    return ids;
  }
  const whole = ids[0] === bosId ? ids : [bosId, ...ids];
  const count = whole.filter((id) => id === bosId).length;
  if (count !== 1) throw new InwardError("CHAT_BOS", `The prompt holds BOS token ${bosId} ${count} times.`);
  return whole;
}

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
  format: ChatFormat,
  conversations: readonly (readonly ChatMessage[])[],
  tokens: TemplateTokens,
  vocabulary: AnswerVocabulary,
): EncodedConversation[] {
  return conversations.map((conversation, index) => {
    try {
      return encodeChat(format, conversation, tokens, vocabulary);
    } catch (error) {
      if (!(error instanceof InwardError)) throw error;
      throw new InwardError(error.code, `Conversation ${index + 1}: ${error.message}`, { cause: error });
    }
  });
}

function encodeChat(
  format: ChatFormat,
  conversation: readonly ChatMessage[],
  tokens: TemplateTokens,
  vocabulary: AnswerVocabulary,
): EncodedConversation {
  if (format.kind === "plain") return encodePlain(format, conversation, vocabulary);
  const { question, answer } = partsOf(conversation);
  const promptIds = tokenizeChat(renderWhole(format, withSystem(format, question), tokens), vocabulary);
  const whole = renderWhole(format, withSystem(format, conversation), tokens, { generationPrompt: false });
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

/** The answer and the end of its line are tokenized together, as they were written in the texts that the model has read. */
function encodePlain(
  format: ChatFormat,
  conversation: readonly ChatMessage[],
  vocabulary: AnswerVocabulary,
): EncodedConversation {
  const { question, answer } = partsOf(conversation);
  requireOneLine(answer);
  requireJoint(question.at(-1)?.content ?? "", answer);
  const promptIds = tokenizeChat(renderPlain(withSystem(format, question)), vocabulary);
  const tokenIds = [...promptIds, ...tokenizePlain(answer + LINE_END, vocabulary)];
  const wholeIds = tokenizeChat(renderPlain(withSystem(format, conversation)), vocabulary);
  const same = wholeIds.length === tokenIds.length && wholeIds.every((id, at) => id === tokenIds[at]);
  return { tokenIds, answerStart: promptIds.length, ...(same ? {} : { unlikeTemplate: "other_tokens" }) };
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

// What every engine does with words: renders chats, tokenizes and detokenizes, through the vocabulary that node-llama-cpp has read.

/** A prompt and what may follow it. */
export interface TokenizedScoreRequest {
  readonly promptIds: readonly number[];
  readonly continuations: readonly TokenizedContinuation[];
}

interface TokenizedContinuation {
  /** May be empty: the end of the turn at once. */
  readonly ids: readonly number[];
  /**
   * The answer that is exactly this, up to the token that ends it. In plain text the end may be one token with the answer's last
   * mark: then these do not begin with `ids`.
   */
  readonly ended: readonly number[];
}

/** The end-of-turn token does not depend on what is said before it. */
const ANY_ANSWER = "answer";
const SPACED = "a .";

export class ChatTokens {
  private readonly vocabulary: AnswerVocabulary;
  private readonly templateTokens: TemplateTokens;
  /** Tokens at which an answer ends because its line does; none where a template marks turns. */
  private readonly lineEnds: ReadonlySet<number> = new Set();
  private readonly shown = new Map<number, string>();
  private longest: number | undefined;

  /**
   * @param model its vocabulary at least is loaded
   * @param format as it was settled for this model
   */
  constructor(
    private readonly model: LlamaModel,
    private readonly format: ChatFormat,
    private readonly facts: Pick<ModelFacts, "vocabularySize" | "contextTokens">,
  ) {
    this.vocabulary = answerVocabulary(model, facts.vocabularySize);
    if (format.kind === "plain") {
      this.lineEnds = lineEndIds(facts.vocabularySize, (id) => model.detokenize([id as Token], false));
    }
    this.templateTokens = { bosToken: model.tokens.bosString ?? "", eosToken: model.tokens.eosString ?? "" };
  }

  /** The manifest's part that tells how prompts are made. */
  manifest(): Pick<EngineManifest, "chatTemplateSha256" | "beginOfSequence"> {
    return {
      chatTemplateSha256: createHash("sha256")
        .update(this.format.template ?? "")
        .digest("hex"),
      beginOfSequence: this.vocabulary.addBos
        ? `one BOS token, id ${this.vocabulary.bosId}`
        : "none added: the model's vocabulary says add_bos_token = false",
    };
  }

  render(messages: readonly ChatMessage[]): RenderedPrompt {
    this.requireRoom(messages, "ENGINE_CONTEXT", "The prompt");
    const whole = withSystem(this.format, messages);
    const parts =
      this.format.kind === "plain" ? renderPlain(whole) : renderWhole(this.format, whole, this.templateTokens);
    return { text: parts.map((part) => part.text).join(""), tokenIds: tokenizeChat(parts, this.vocabulary) };
  }

  encode(conversations: readonly (readonly ChatMessage[])[]): EncodedConversation[] {
    for (const [index, one] of conversations.entries())
      this.requireRoom(one, "TRAIN_CONTEXT", `Conversation ${index + 1}`);
    return encodeChats(this.format, conversations, this.templateTokens, this.vocabulary);
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
      const { promptIds, endIds } = this.promptAndEnd(messages);
      const tokenized = continuations.map((text) => {
        const ids = tokenizePlain(text, this.vocabulary);
        return { ids, ended: endIds === undefined ? this.endedLine(text) : [...ids, ...endIds] };
      });
      const longest = tokenized.reduce((most, { ended }) => Math.max(most, ended.length), 1);
      this.requireFit(index, messages, promptIds.length, promptIds.length + longest);
      return { promptIds, continuations: tokenized };
    });
  }

  /** The tokens of a prompt, and the one that ends a turn; in plain text this depends on what it ends. */
  private promptAndEnd(messages: readonly ChatMessage[]): {
    readonly promptIds: readonly number[];
    readonly endIds?: readonly number[];
  } {
    if (this.format.kind === "plain") return { promptIds: this.render(messages).tokenIds };
    const [whole] = this.encode([[...messages, { role: "assistant", content: ANY_ANSWER }]]);
    const { tokenIds, answerStart } = whole as EncodedConversation;
    return { promptIds: tokenIds.slice(0, answerStart), endIds: tokenIds.slice(-1) };
  }

  private endedLine(answer: string): readonly number[] {
    requireOneLine(answer);
    return tokenizePlain(answer + LINE_END, this.vocabulary);
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

  /** Tokens that end an answer whatever the vocabulary says of them, for an engine that knows its vocabulary only. */
  endIds(): readonly number[] {
    return [...this.lineEnds];
  }

  endsAnswer(id: number): boolean {
    return this.vocabulary.isEndOfGeneration(id) || this.lineEnds.has(id);
  }

  /**
   * What was said, and why it ended.
   * @param ids as generated, the one that ended it included
   */
  answer(ids: readonly number[]): Pick<Reply, "text" | "stop"> {
    const last = ids[ids.length - 1];
    if (last === undefined || !this.endsAnswer(last)) return { text: this.text(ids), stop: "max_tokens" };
    if (this.lineEnds.has(last)) return { text: upToLineEnd(this.text(ids)), stop: "end_of_line" };
    return { text: this.text(ids.slice(0, -1)), stop: "end_of_generation" };
  }

  /** A typed array would make another id of one that is not whole, or too large for 32 bits. */
  private requireToken(id: number): void {
    const { vocabularySize } = this.facts;
    if (Number.isInteger(id) && id >= 0 && id < vocabularySize) return;
    throw new InwardError("ENGINE_TOKEN", `token id ${id} is not in the vocabulary of ${vocabularySize}`);
  }

  /**
   * Refuses what cannot fit before it is rendered and tokenized, which takes minutes for megabytes and for thousands of turns.
   * Templates may trim a content, and mark each turn with a token at least.
   */
  private requireRoom(messages: readonly ChatMessage[], code: "ENGINE_CONTEXT" | "TRAIN_CONTEXT", which: string): void {
    const { contextTokens } = this.facts;
    const bytes = messages.reduce((sum, { content }) => sum + Buffer.byteLength(content.trim()), 0);
    if (bytes <= contextTokens && messages.length <= contextTokens) return;
    const least = Math.max(messages.length, Math.ceil(bytes / this.longestTokenBytes()));
    if (least <= contextTokens) return;
    throw new InwardError(
      code,
      `${which} has ${messages.length} messages of ${bytes} bytes, at least ${least} tokens; the model's context holds ${contextTokens}.`,
    );
  }

  /** Bytes of text that no token of the vocabulary exceeds. */
  private longestTokenBytes(): number {
    if (this.longest === undefined) {
      this.longest = 4;
      for (let id = 0; id < this.facts.vocabularySize; id++) {
        // A space at its beginning may be left out where a token stands alone.
        const bytes = 1 + Buffer.byteLength(this.model.detokenize([id as Token], true));
        if (bytes > this.longest) this.longest = bytes;
      }
    }
    return this.longest;
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
