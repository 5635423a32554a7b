/**
 * A conversation as training reads it: prompt ids exactly as asking has them, the answer's plain ids, the end-of-turn token.
 * Not the ids of the whole conversation rendered at once. There the answer's beginning may merge with the text before it
 * ("assistant\n" and "\n…"), and the template may trim it; but a model that is asked continues a prompt whose ids stand
 * already, and nothing trims what it generates. What is trained must be what is asked, so the text is learnt as it is given.
 */

import { createHash } from "node:crypto";
import { InwardError } from "../../errors.js";
import { openedReasoning } from "../../properties/reasoning.js";
import type { EngineManifest } from "../../study/plan.js";
import type { ChatMessage, Reply } from "../../tasks/answer.js";
import type { AnswerPosition, MarkedToken, TokenText } from "../../tasks/answer-tokens.js";
import { LINE_END } from "../../tasks/plain-form.js";
import {
  requireTemperature,
  type TokenizedContinuation,
  type TokenizedRequest,
  type TokenizedScoreRequest,
} from "../engines/engine.js";
import type {
  AskRequest,
  Continuation,
  EncodedConversation,
  EncodeOptions,
  LocatedPrompt,
  ModelFacts,
  RenderedPrompt,
  ScoreRequest,
} from "../language-model.js";
import { type ChatFormat, formatOf, type PromptRendering, withSystem } from "./format.js";
import { lineEndIds, renderPlain, requireJoint, requireOneLine, upToLineEnd } from "./plain.js";
import { type PromptPart, renderChat, renderWhole, type TemplateTokens } from "./render.js";
import { cutAtSpecialTokens, locateTokens, tokenizeChat } from "./prompt-tokens.js";
import { type ChatVocabulary, type LlamaVocabulary, sameTokens, Vocabulary } from "./vocabulary.js";

/**
 * The ids that generation would have produced for a text that follows a prompt, whatever the prompt is: its ids stand already, and
 * no token reaches back over its end. So the text is tokenized alone, but as one that goes on: without the word's beginning that
 * SentencePiece sets before a text, since a blank that the model writes is in the text.
 * @throws CHAT_CONTROL_TOKEN, CHAT_UNWRITABLE
 */
export function continuationIds(text: string, vocabulary: ChatVocabulary): readonly number[] {
  return vocabulary.tokenizePlain(text, false);
}

/** What encoding an answer needs to know beside what a prompt does. */
export interface AnswerVocabulary extends ChatVocabulary {
  /** @returns the text that ids stand for, special tokens by their names */
  readonly writtenText: (ids: readonly number[]) => string;
  /** @returns the text that ids stand for, without control tokens */
  readonly text: (ids: readonly number[]) => string;
}

/**
 * @param conversations each with the assistant's answer as its last message
 * @param options how the answers are meant
 * @throws TRAIN_EXAMPLE when there is no answer or nothing before it · MODEL_TEMPLATE when the template does not end an answer
 * with a token at which generation stops · CHAT_*; all name the conversation by its number, from 1
 */
export function encodeChats(
  format: ChatFormat,
  conversations: readonly (readonly ChatMessage[])[],
  tokens: TemplateTokens,
  vocabulary: AnswerVocabulary,
  options: EncodeOptions = {},
): EncodedConversation[] {
  return conversations.map((conversation, index) => {
    try {
      return format.kind === "plain"
        ? encodePlain(format, conversation, vocabulary, options.tokenIds?.[index])
        : encodeChat(format, conversation, tokens, vocabulary, options.answers, options.tokenIds?.[index]);
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
  answers: EncodeOptions["answers"],
  asked: readonly number[] | undefined,
): EncodedConversation {
  const { answer } = partsOf(conversation);
  const turn = turnIn(format, conversation, tokens, vocabulary);
  const { promptIds, endId, templateIds, trimmed } = turn;
  const text = answers === "written" ? asWritten(answer, turn.lead) : answer;
  const said = asked === undefined ? continuationIds(text, vocabulary) : askedIds(asked, answer, vocabulary);
  const tokenIds = [...promptIds, ...said, endId];
  const same = sameTokens(templateIds, tokenIds);
  return {
    tokenIds,
    answerStart: promptIds.length,
    ...(same ? {} : { unlikeTemplate: trimmed ? "answer_trimmed" : "other_tokens" }),
  };
}

/** @returns tokens of an answer without the one that ended it @throws TRAIN_EXAMPLE when they say something else */
function askedIds(ids: readonly number[], answer: string, vocabulary: AnswerVocabulary): readonly number[] {
  const said = vocabulary.isEndOfGeneration(ids[ids.length - 1] ?? -1) ? ids.slice(0, -1) : ids;
  const text = vocabulary.text(said);
  if (text === answer) return said;
  throw new InwardError(
    "TRAIN_EXAMPLE",
    `its tokens say ${JSON.stringify(text.slice(0, 80))}, and its text is ${JSON.stringify(answer.slice(0, 80))}.`,
  );
}

/** An answer that begins with white space of its own is meant as it stands. */
function asWritten(answer: string, lead: string): string {
  return /^\s/.test(answer) ? answer : lead + answer;
}

interface AnswerTurn {
  readonly promptIds: readonly number[];
  /**
   * White space that stands between the prompt and an answer in the text that a model was trained on: set by the template
   * (`[/INST] teal`), or by SentencePiece at a word's beginning after a special token. The model generates it.
   */
  readonly lead: string;
  readonly endId: number;
  /** The template's own rendering of the whole, up to the end of the answer. */
  readonly templateIds: readonly number[];
  /** Whether the template writes the answer without the white space around it. */
  readonly trimmed: boolean;
}

/** @param conversation with an answer as its last message */
function turnIn(
  format: ChatFormat,
  conversation: readonly ChatMessage[],
  tokens: TemplateTokens,
  vocabulary: AnswerVocabulary,
): AnswerTurn {
  const { question, answer } = partsOf(conversation);
  const promptIds = tokenizeChat(renderWhole(format, withSystem(format, question), tokens), vocabulary);
  const whole = renderWhole(format, withSystem(format, conversation), tokens, { generationPrompt: false });
  const { upToAnswer, ending, endId } = endOfTurn(whole, answer, vocabulary);
  const templateIds = tokenizeChat([...upToAnswer, { text: ending, content: false }], vocabulary);
  const written = upToAnswer.at(-1)?.text ?? "";
  const prompt = vocabulary.writtenText(promptIds);
  const upTo = vocabulary.writtenText(tokenizeChat(upToAnswer, vocabulary));
  const between = upTo.startsWith(prompt) && upTo.endsWith(written) ? upTo.slice(prompt.length, -written.length) : "";
  return { promptIds, lead: between.trim() === "" ? between : "", endId, templateIds, trimmed: written !== answer };
}

/** The answer and the end of its line are tokenized together, as they were written in the texts that the model has read. */
function encodePlain(
  format: ChatFormat,
  conversation: readonly ChatMessage[],
  vocabulary: AnswerVocabulary,
  asked: readonly number[] | undefined,
): EncodedConversation {
  const { question, answer } = partsOf(conversation);
  requireOneLine(answer);
  requireJoint(question.at(-1)?.content ?? "", answer);
  const promptIds = tokenizeChat(renderPlain(withSystem(format, question)), vocabulary);
  const ended = answer + LINE_END;
  // A token that ended the line may hold more than its end.
  const isWhole = asked !== undefined && vocabulary.text(asked).startsWith(ended);
  const tokenIds = [...promptIds, ...(isWhole ? asked : continuationIds(ended, vocabulary))];
  const wholeIds = tokenizeChat(renderPlain(withSystem(format, conversation)), vocabulary);
  const same = sameTokens(wholeIds, tokenIds);
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
  const pieces = cutAtSpecialTokens(after.join(""), vocabulary);
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

// What every engine does with words: renders chats, tokenizes and detokenizes, through the vocabulary that llama.cpp has read.

interface AskedTurn {
  readonly promptIds: readonly number[];
  /** As AnswerTurn has it. */
  readonly lead: string;
  /** Absent in plain text. */
  readonly endId?: number;
}

/** The end-of-turn token does not depend on what is said before it. */
const ANY_ANSWER = "answer";

/** A conversation in which a template writes the markers of every role. */
const ALL_ROLES: readonly ChatMessage[] = [
  { role: "system", content: "a" },
  { role: "user", content: "a" },
  { role: "assistant", content: "a" },
  { role: "user", content: "a" },
];

const ANSWERED: readonly ChatMessage[] = [
  { role: "user", content: "a" },
  { role: "assistant", content: ANY_ANSWER },
];

export class ChatTokens {
  private readonly vocabulary: Vocabulary;
  private readonly templateTokens: TemplateTokens;
  /** Tokens at which an answer ends because its line does; none where a template marks turns. */
  private readonly lineEnds: ReadonlySet<number> = new Set();
  private readonly shown = new Map<number, string>();

  /**
   * @param model its vocabulary at least is loaded
   * @param format as it was settled for this model
   * @throws MODEL_TOKENIZER, CHAT_BOS, CHAT_PLAIN
   */
  constructor(
    model: LlamaVocabulary,
    private readonly format: ChatFormat,
    private readonly facts: Pick<ModelFacts, "vocabularySize" | "contextTokens">,
  ) {
    this.vocabulary = new Vocabulary(model);
    const { bosToken, eosToken } = this.vocabulary;
    this.templateTokens = { bosToken, eosToken };
    if (format.kind === "plain") this.lineEnds = lineEndIds(facts.vocabularySize, (id) => this.text([id]));
    this.vocabulary.reserve(this.markers());
  }

  /**
   * Tokens that are no control tokens and that the template marks turns with: those of its source, and those that it puts together
   * from parts while it renders.
   */
  private markers(): ReadonlySet<number> {
    const { template } = this.format;
    const markers = new Set<number>();
    if (template === undefined) return markers;
    const add = (ids: Iterable<string | number>) => {
      for (const id of ids) if (typeof id === "number" && this.vocabulary.isMarkup(id)) markers.add(id);
    };
    add(cutAtSpecialTokens(template, this.vocabulary));
    for (const parts of this.trialRenderings()) {
      try {
        add(tokenizeChat(parts, this.vocabulary));
      } catch (error) {
        if (!(error instanceof InwardError)) throw error;
      }
    }
    return markers;
  }

  /** What people must know of how the template's markers are read. */
  warnings(): string[] {
    if (this.format.template === undefined) return [];
    const ordinary = this.vocabulary.ordinaryMarkers();
    const spelled = new Map<string, number>();
    for (const parts of this.trialRenderings()) {
      const ids = new Set(tokenizeChat(parts, this.vocabulary));
      const written = parts.map(({ text, content }) => (content ? " " : text)).join("");
      for (const [text, id] of ordinary) if (!ids.has(id) && written.includes(text)) spelled.set(text, id);
    }
    const warnings = Array.from(
      spelled,
      ([text, id]) =>
        `the chat template writes ${JSON.stringify(text)}, which is token ${id}; its type is that of an ordinary word, so the model reads it spelled out`,
    );
    try {
      turnIn(this.format, ANSWERED, this.templateTokens, this.vocabulary);
    } catch (error) {
      if (!(error instanceof InwardError)) throw error;
      warnings.push(`an answer may run on past its end, and is neither scored nor trained: ${error.message}`);
    }
    return warnings;
  }

  /** Conversations in which a template writes the markers of every role, as far as it takes them. */
  private trialRenderings(): PromptPart[][] {
    const tried = [ALL_ROLES, ALL_ROLES.slice(1)].flatMap((messages) =>
      [...new Set([this.format, formatOf(this.format, { thinking: true })])].map((format) => ({ messages, format })),
    );
    return tried.flatMap(({ messages, format }) => {
      try {
        return [renderChat(format, withSystem(format, messages), this.templateTokens)];
      } catch (error) {
        // A template without a system role refuses one; whatever else it refuses, it says when it is asked.
        if (error instanceof InwardError) return [];
        throw error;
      }
    });
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

  /** @param which the prompt, in messages */
  render(messages: readonly ChatMessage[], options?: PromptRendering, which = "The prompt"): RenderedPrompt {
    this.requireRoom(messages, "ENGINE_CONTEXT", which);
    const format = formatOf(this.format, options);
    const whole = withSystem(format, messages);
    const parts = format.kind === "plain" ? renderPlain(whole) : renderWhole(format, whole, this.templateTokens);
    const written = parts.slice(parts.findLastIndex(({ content }) => content) + 1).map(({ text }) => text);
    const opened = openedReasoning(written.join(""));
    return {
      text: parts.map((part) => part.text).join(""),
      tokenIds: tokenizeChat(parts, this.vocabulary),
      ...(opened === undefined ? {} : { opened }),
    };
  }

  /** The same prompt, and where in its text each token and each message stands. @throws as render · CHAT_UNWRITABLE */
  locate(messages: readonly ChatMessage[], options?: PromptRendering): LocatedPrompt {
    const { tokenIds } = this.render(messages, options);
    const format = formatOf(this.format, options);
    const whole = withSystem(format, messages);
    const parts = format.kind === "plain" ? renderPlain(whole) : renderWhole(format, whole, this.templateTokens);
    const located = locateTokens(parts, this.vocabulary, whole.length - messages.length);
    if (sameTokens(located.tokenIds, tokenIds)) return located;
    throw new InwardError("INTERNAL", "The tokens of a prompt that was located are not those that are asked.");
  }

  encode(conversations: readonly (readonly ChatMessage[])[], options?: EncodeOptions): EncodedConversation[] {
    for (const [index, one] of conversations.entries())
      this.requireRoom(one, "TRAIN_CONTEXT", `Conversation ${index + 1}`);
    return encodeChats(this.format, conversations, this.templateTokens, this.vocabulary, options);
  }

  /** @throws ENGINE_EMPTY_PROMPT, ENGINE_CONTEXT, CHAT_* */
  tokenize(requests: readonly AskRequest[]): TokenizedRequest[] {
    return requests.map(({ messages, thinking, ...rest }, index) => {
      requireTemperature(rest.temperature);
      const { tokenIds: promptIds, opened } = this.render(messages, { thinking }, questionAt(index, messages));
      this.requireFit(index, messages, promptIds.length, promptIds.length + rest.maxTokens);
      return { ...rest, promptIds, ...(opened === undefined ? {} : { opened }) };
    });
  }

  /** @throws ENGINE_EMPTY_PROMPT, ENGINE_CONTEXT, ENGINE_TOKEN, CHAT_*, MODEL_TEMPLATE */
  tokenizeContinuations(requests: readonly ScoreRequest[]): TokenizedScoreRequest[] {
    return requests.map(({ messages, continuations, interventions }, index) => {
      const turn = this.turnAfter(messages, questionAt(index, messages));
      const tokenized = continuations.map((continuation) => this.continuation(continuation, turn));
      const longest = tokenized.reduce((most, { ended }) => Math.max(most, ended.length), 1);
      this.requireFit(index, messages, turn.promptIds.length, turn.promptIds.length + longest);
      return { promptIds: turn.promptIds, continuations: tokenized, interventions };
    });
  }

  /** A prompt and what belongs to an answer of it; in plain text the end depends on what it ends. */
  private turnAfter(messages: readonly ChatMessage[], which: string): AskedTurn {
    this.requireRoom(messages, "ENGINE_CONTEXT", which);
    if (this.format.kind === "plain") return { promptIds: this.render(messages).tokenIds, lead: "" };
    const conversation: ChatMessage[] = [...messages, { role: "assistant", content: ANY_ANSWER }];
    return turnIn(this.format, conversation, this.templateTokens, this.vocabulary);
  }

  private continuation(continuation: Continuation, { lead, endId }: AskedTurn): TokenizedContinuation {
    if (typeof continuation === "object" && "tokenIds" in continuation) {
      for (const id of continuation.tokenIds) this.requireToken(id);
      const said = [...continuation.tokenIds];
      const last = said[said.length - 1];
      if (last === undefined || !this.endsAnswer(last)) {
        return {
          ids: said,
          ended: [...said, ...(endId === undefined ? continuationIds(LINE_END, this.vocabulary) : [endId])],
        };
      }
      return { ids: said.slice(0, -1), ended: said };
    }
    const text = typeof continuation === "string" ? continuation : asWritten(continuation.written, lead);
    const ids = continuationIds(text, this.vocabulary);
    if (endId !== undefined) return { ids, ended: [...ids, endId] };
    requireOneLine(text);
    return { ids, ended: continuationIds(text + LINE_END, this.vocabulary) };
  }

  /** @returns the prompt's ids @throws ENGINE_EMPTY_PROMPT, ENGINE_CONTEXT, ENGINE_TOKEN, CHAT_* */
  tokenizePaths(
    messages: readonly ChatMessage[],
    paths: readonly (readonly number[])[],
    options?: PromptRendering,
  ): readonly number[] {
    for (const id of paths.flat()) this.requireToken(id);
    const { tokenIds } = this.render(messages, options);
    const longest = paths.reduce((most, { length }) => Math.max(most, length), 0);
    this.requireFit(0, messages, tokenIds.length, tokenIds.length + longest + 1);
    return tokenIds;
  }

  /** @returns the text that these ids stand for, nothing added and nothing taken away, without control tokens */
  text(ids: readonly number[]): string {
    return this.vocabulary.text(ids);
  }

  /** @returns the text that these ids stand for, control tokens by their names */
  writtenText(ids: readonly number[]): string {
    return this.vocabulary.writtenText(ids);
  }

  /** @returns one token as it looks in a prompt, control tokens by their names */
  tokenText(id: number): string {
    const known = this.shown.get(id);
    if (known !== undefined) return known;
    const text = this.vocabulary.writtenText([id]);
    this.shown.set(id, text);
    return text;
  }

  /** Text as it stands in a message: nothing in it is a control token. */
  plainIds(text: string): number[] {
    return this.vocabulary.tokenizePlain(text, true);
  }

  /** @throws ENGINE_TOKEN */
  tokenTexts(ids: readonly number[]): TokenText[] {
    return ids.map((id) => {
      this.requireToken(id);
      return this.token(id);
    });
  }

  /** One token as people read it. */
  private token(id: number): TokenText {
    const text = this.tokenText(id);
    if (!text.includes("\ufffd")) return { text };
    const bytes = this.vocabulary.bytes(id);
    return Buffer.from(text).equals(bytes) ? { text } : { text, bytes: bytes.toString("hex") };
  }

  /** The same, and whether no text of a message becomes it. */
  private marked(id: number): MarkedToken {
    return { ...this.token(id), ...(this.isControl(id) ? { control: true } : {}) };
  }

  /** Whether a token is one that text of a message never becomes. */
  isControl(id: number): boolean {
    return !this.vocabulary.isFree(id);
  }

  /** @param ids the most likely tokens where `id` stands, and their logprobs */
  position(id: number, logSumExp: number, ids: readonly number[], logprobs: readonly number[]): AnswerPosition {
    return { ...this.marked(id), logSumExp, tokenIds: ids, ...this.listed(ids), logprobs };
  }

  /** Tokens of a list, with what marks those of them whose text is not all that they are. */
  private listed(ids: readonly number[]): Pick<AnswerPosition, "texts" | "marks"> {
    const tokens = ids.map((id) => this.marked(id));
    const marks = tokens.flatMap(({ text: _, ...mark }, at) => (Object.keys(mark).length > 0 ? [{ at, ...mark }] : []));
    return { texts: tokens.map(({ text }) => text), ...(marks.length > 0 ? { marks } : {}) };
  }

  /**
   * The likeliest tokens at an answer's first position.
   * @param isMarked whether what marks them is wanted
   */
  first(
    tokenIds: readonly number[],
    logprobs: readonly number[],
    logSumExp: number,
    isMarked: boolean,
  ): Reply["first"] {
    const { texts, marks } = this.listed(tokenIds);
    const { vocabularySize } = this.facts;
    return { tokenIds, texts, logprobs, logSumExp, vocabularySize, ...(isMarked && marks ? { marks } : {}) };
  }

  /** Tokens that end an answer whatever the vocabulary says of them, for an engine that knows its vocabulary only. */
  endIds(): readonly number[] {
    return [...this.lineEnds];
  }

  /** All tokens at which generation stops. */
  endOfGenerationIds(): number[] {
    return Array.from({ length: this.facts.vocabularySize }, (_, id) => id).filter(this.vocabulary.isEndOfGeneration);
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
   * Templates may trim a content, and mark each turn with a token at least. A token at a content's border may hold more than it.
   */
  private requireRoom(messages: readonly ChatMessage[], code: "ENGINE_CONTEXT" | "TRAIN_CONTEXT", which: string): void {
    const { contextTokens } = this.facts;
    const contents = messages.map(({ content }) => Buffer.from(content.trim()));
    const bytes = contents.reduce((sum, { length }) => sum + length, 0);
    if (bytes <= contextTokens && messages.length <= contextTokens) return;
    const inContents = contents.reduce((sum, one) => sum + Math.max(0, this.vocabulary.fewestTokens(one) - 2), 0);
    const least = Math.max(messages.length, inContents);
    if (least <= contextTokens) return;
    throw new InwardError(
      code,
      `${which} has ${messages.length} messages of ${bytes} bytes, at least ${least} tokens; the model's context holds ${contextTokens}.`,
    );
  }

  private requireFit(index: number, messages: readonly ChatMessage[], promptTokens: number, needed: number): void {
    if (promptTokens === 0) throw new InwardError("ENGINE_EMPTY_PROMPT", `Question ${index + 1} has no tokens.`);
    if (needed <= this.facts.contextTokens) return;
    throw new InwardError(
      "ENGINE_CONTEXT",
      `${questionAt(index, messages)} needs ${needed} tokens with its answer; the model's context holds ${this.facts.contextTokens}.`,
    );
  }
}

/** A question of a group, in messages. */
function questionAt(index: number, messages: readonly ChatMessage[]): string {
  return `Question ${index + 1} (${JSON.stringify((messages.at(-1)?.content ?? "").slice(0, 80))}…)`;
}
