import type { EngineManifest } from "../study/plan.js";
import type { ChatMessage, Reply } from "../tasks/answer.js";
import type { TokenText } from "../tasks/answer-tokens.js";
import type { PromptRendering } from "./chat/format.js";
import type { Intervened } from "./interventions.js";

/** One prompt to answer. */
export interface AskRequest extends PromptRendering, Intervened {
  readonly messages: readonly ChatMessage[];
  /** Longest answer in tokens, the end-of-generation token not counted. */
  readonly maxTokens: number;
  /**
   * 0 takes the most likely token, ties to the lowest id. Above 0 each token is drawn from softmax(logits / temperature), nothing cut
   * off; the logprobs of the reply are those at temperature 1 all the same. Finite.
   */
  readonly temperature: number;
  /** Above temperature 0: what the draw is a function of, besides the logits. */
  readonly seed?: string;
  /** Most likely tokens to report at the first answer position. */
  readonly topTokens: number;
  /** Most likely tokens to report at every position of the answer; 0 for the tokens' texts and log-sum-exps alone. Absent: none of it. */
  readonly positions?: number;
  /** Neighbours with the same key share a long beginning and are asked one after another on one sequence. */
  readonly shares?: string;
}

/** A prompt exactly as the model reads it. */
export interface RenderedPrompt {
  readonly text: string;
  readonly tokenIds: readonly number[];
  /** As a reply has it. */
  readonly opened?: string;
}

/** A prompt with the places of its tokens and messages, in UTF-16 code units of its text. */
export interface LocatedPrompt {
  readonly text: string;
  readonly tokenIds: readonly number[];
  /** [tokens] A token that holds a part of a character's bytes holds the character. BOS that was added is empty and stands at 0. */
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  /** Stretches of messages' contents, by the number of the message as it was given, from 0; −1 a system message that was put in. */
  readonly contents: readonly { readonly message: number; readonly start: number; readonly end: number }[];
}

/** A conversation as it is learnt, and whether the template, asked to write it whole, would have written other tokens. */
export interface EncodedConversation extends EncodedExample {
  /**
   * Absent when the template's own rendering of the whole conversation has the same ids up to the end of the answer.
   * `answer_trimmed`: the template strips white space off an answer that it puts into a history, and this answer has some.
   * `other_tokens`: its ids differ otherwise, mostly because the answer's beginning merges with the text before it.
   */
  readonly unlikeTemplate?: "answer_trimmed" | "other_tokens";
}

/** What others need to know of the model. */
export interface ModelFacts {
  /** Tokens in the vocabulary: ids are below it. */
  readonly vocabularySize: number;
  /** Tokens that prompt and answer can have together. */
  readonly contextTokens: number;
  /** What llama.cpp warned of while it read the file, such as a missing pre-tokenizer: its tokens may be other ones. */
  readonly warnings: readonly string[];
}

/** Token ids that a request of continuations comes to. */
export interface ScoredTokens {
  readonly promptIds: readonly number[];
  /** Each is evaluated after the prompt. */
  readonly answers: readonly (readonly number[])[];
}

/** Continuations of one prompt, whose probabilities are wanted. */
export interface ScoreRequest extends Intervened {
  readonly messages: readonly ChatMessage[];
  /** An answer's beginning; an empty one asks for the end of the turn alone. */
  readonly continuations: readonly Continuation[];
}

/**
 * What may follow a prompt. A string is what a model would have generated, from the first character after the prompt: many models
 * begin an answer with a blank, which is in it. `written` is an answer as people write it: what stands between prompt and answer in
 * the text that the model was trained on, such as a blank, is set before it. `tokenIds` are generated tokens, such as a Reply's: a
 * text alone does not tell them where a model writes a word with other tokens than its tokenizer; one that ends the answer may be last.
 */
export type Continuation = string | { readonly written: string } | { readonly tokenIds: readonly number[] };

export interface EncodeOptions {
  /** Whether the answers are what a model `generated`, learnt as they stand (the default), or were `written` by people: see Continuation. */
  readonly answers?: "generated" | "written";
  /** [conversations] the tokens of an answer that was asked, such as a Reply's, where there is one: learnt as they are. */
  readonly tokenIds?: readonly (readonly number[] | undefined)[];
}

/** How likely a continuation is: natural logs at temperature 1 over the full vocabulary, summed in double precision. */
export interface ContinuationScore {
  readonly tokenIds: readonly number[];
  /** Of each token given the prompt and the tokens before it: their sum is the log-probability that an answer begins so. */
  readonly logprobs: readonly number[];
  /**
   * Added to the sum, that the answer is exactly this. Of the end-of-turn token given the prompt and all of them; in plain text, where
   * the end of a line may be one token with the answer's last mark, the difference between both sums, which may be positive.
   */
  readonly endOfTurnLogprob: number;
}

/** A LoRA adapter to ask the base with. */
export interface AdapterChoice {
  /** A GGUF file. */
  readonly path: string;
  /** Multiplies the adapter's alpha / rank; default 1. At 0 the base alone answers. */
  readonly scale?: number;
}

/** What a group of questions, or of continuations that are scored, took. */
export interface AskCost {
  readonly evaluatedTokens: number;
  /** Nodes of the prefix tree of what is read, and generated tokens that were evaluated. */
  readonly distinctTokens: number;
  /** Answers in the making at once, at most. */
  readonly mostSequences: number;
  /** Of the KV cache; fewer than `wantedCells` where memory or a limit left fewer, so that fewer answers were made at once. */
  readonly cells: number;
  readonly wantedCells: number;
  /** Times an item had to wait for cells. */
  readonly waited: number;
  readonly decodeSeconds: number;
  /** Finding tokens, logprobs and entropies in the logits. */
  readonly readSeconds: number;
}

export interface AskOptions {
  /** Called as each reply is complete, in any order. */
  readonly onReply?: (index: number, reply: Reply) => void;
  readonly signal?: AbortSignal;
  /** Called once, after the last reply, by an engine that counts. */
  readonly onCost?: (cost: AskCost) => void;
  /** Sequences at once, instead of the engine's own number; the noise floor asks with another batch composition. */
  readonly sequences?: number;
}

export interface ScoreOptions {
  /** Called now and then, with the continuations that are scored so far. */
  readonly onScored?: (done: number) => void;
  /** Called once, after the last continuation, by an engine that counts. */
  readonly onCost?: (cost: AskCost) => void;
  readonly signal?: AbortSignal;
}

/**
 * A model that answers prompts. Every engine implements this; scripted ones in tests too.
 * The requests of one `ask` are one group: the same group gives the same bytes on the same machine.
 */
export interface LanguageModel extends ListsNextTokens {
  readonly manifest: EngineManifest;
  readonly facts: ModelFacts;
  render(messages: readonly ChatMessage[], options?: PromptRendering): Promise<RenderedPrompt>;
  /** @returns each token as people read it @throws ENGINE_TOKEN */
  tokenTexts(ids: readonly number[]): Promise<TokenText[]>;
  /**
   * Conversations as training reads them: the prompt's ids exactly as `render` gives them for the messages before the last
   * one, the ids of the answer's text as it stands, and the token that ends a turn.
   * @param conversations each with the assistant's answer as its last message
   * @throws TRAIN_EXAMPLE, MODEL_TEMPLATE, CHAT_*, each with the number of the conversation, from 1
   */
  encode(conversations: readonly (readonly ChatMessage[])[], options?: EncodeOptions): Promise<EncodedConversation[]>;
  /**
   * Tokenizes every request and throws before anything runs: ENGINE_CONTEXT when one cannot fit, CHAT_* when its text is unsafe.
   * @returns prompt tokens of each request
   */
  check(requests: readonly AskRequest[]): Promise<number[]>;
  /** Replies in the order of the requests. */
  ask(requests: readonly AskRequest[], options?: AskOptions): Promise<Reply[]>;
  /**
   * Exact log-probabilities of given continuations; what they and their prompts share is evaluated once.
   * @returns [requests][continuations]
   * @throws ENGINE_UNAVAILABLE by an engine that cannot · ENGINE_CONTEXT, CHAT_*, MODEL_TEMPLATE · INTERRUPTED
   */
  score(requests: readonly ScoreRequest[], options?: ScoreOptions): Promise<ContinuationScore[][]>;
  /**
   * The same weights under another adapter, or under none, without reading them again: what comes back takes this one's place.
   * Absent where an engine has to be opened anew.
   * @throws ADAPTER_NOT_FOUND, ADAPTER_INVALID, ADAPTER_SHAPE; this one is then as it was
   */
  withAdapter?(adapter?: AdapterChoice): Promise<LanguageModel>;
  dispose(): Promise<void>;
}

/** What may come next after one text, most likely first, equal ones by id. All arrays have one entry a token. */
export interface NextTokens {
  readonly ids: ArrayLike<number>;
  /** Natural log of the probability at temperature 1, over the full vocabulary. */
  readonly logprobs: ArrayLike<number>;
  /** 1 where the token ends the answer. */
  readonly ends: ArrayLike<number>;
  /** The answer with this token as its last, exactly as asking would have it; without a token, or a token's rest, that ends it. */
  readonly texts: readonly string[];
}

export interface NextTokensReply {
  /** In the order of the paths. */
  readonly steps: readonly NextTokens[];
  readonly evaluatedTokens: number;
}

/** What an engine must offer besides LanguageModel for exact distributions. */
export interface ListsNextTokens {
  /**
   * @param messages rendered as `ask` renders them
   * @param paths answers so far as generated token ids, evaluated together in one group; an empty path is the answer's beginning
   * @param topTokens most tokens listed, of all paths alike or [paths] of each; the whole vocabulary when it is as large
   * @throws ENGINE_*, CHAT_*
   */
  nextTokens(
    messages: readonly ChatMessage[],
    paths: readonly (readonly number[])[],
    topTokens: number | readonly number[],
    options?: PromptRendering & Intervened,
  ): Promise<NextTokensReply>;
  /**
   * The same of many prompts in one group, whose prompts stay evaluated for the group after it. Only where no number depends on who else is
   * asked: absent elsewhere.
   * @returns [requests][paths]
   */
  nextTokensTogether?(requests: readonly NextTokensRequest[]): Promise<(readonly NextTokens[])[]>;
}

/** As nextTokens has it. */
export interface NextTokensRequest extends PromptRendering, Intervened {
  readonly messages: readonly ChatMessage[];
  readonly paths: readonly (readonly number[])[];
  /** [paths] */
  readonly topTokens: readonly number[];
}

/** An example as the model reads it. The loss is on tokenIds[answerStart…]: the answer and its end-of-turn token. */
export interface EncodedExample {
  readonly tokenIds: readonly number[];
  readonly answerStart: number;
}

/** `note`: true and worth knowing, and nothing is wrong with the file. */
export interface ModelCheck {
  readonly check: string;
  readonly verdict: "ok" | "note" | "mismatch";
  /** In words, with numbers. */
  readonly found: string;
  /** The first few that went wrong, or that were noted. */
  readonly examples?: readonly string[];
}
