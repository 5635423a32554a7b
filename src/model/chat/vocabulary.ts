/**
 * A model's vocabulary as chats need it: text to tokens where nobody's text becomes a marker, and tokens to exactly the text that
 * they stand for. llama.cpp's own detokenizing is for people who read: it takes away a first blank, and blanks before marks.
 * Here the text of an answer is what its tokens say, so that the text leads back to them.
 */

import type { Token } from "node-llama-cpp";
import { InwardError } from "../../errors.js";
import { isReasoningToken } from "../../properties/reasoning.js";
import { mergeSentencePieces, type SentencePieces } from "./sentence-pieces.js";
import { TokenFinder } from "./token-finder.js";

/** What tokenizing needs to know of a model's vocabulary. */
export interface ChatVocabulary {
  /**
   * Ids of text in which nothing is a control token, nor a marker of the template, whatever it looks like.
   * @param wordStart whether the text stands where SentencePiece begins a word: at the beginning, or after a special token. What
   * goes on after other text does not
   * @throws CHAT_CONTROL_TOKEN when it becomes one all the same · CHAT_UNWRITABLE when no tokens stand for it
   */
  readonly tokenizePlain: (text: string, wordStart: boolean) => readonly number[];
  /** Tokens that a template writes by their texts: control tokens, and what the vocabulary's maker defined beside its words. */
  readonly controlTokens: ReadonlyMap<string, number>;
  /** Tokens that take the white space after them away. */
  readonly stripsAfter?: ReadonlySet<number>;
  /** The BOS id, when the vocabulary has one. */
  readonly bosId?: number;
  /** Whether the model was trained with BOS before every sequence (`tokenizer.ggml.add_bos_token`). */
  readonly addBos: boolean;
  /** Whether generation stops at this token: the one notion of what ends a turn. */
  readonly isEndOfGeneration: (id: number) => boolean;
}

/** Of several kinds that llama.cpp sets, the one that decides how a token is read and written. */
const Kind = { nothing: 0, normal: 1, byte: 2, defined: 3, unknown: 4, control: 5 } as const;

/** Byte-level vocabularies of these write a blank as SentencePiece does. */
const BLANK_AS_SENTENCEPIECE: readonly string[] = ["gemma4", "granite-embed-multi-311m", "sarvam-moe"];
const BLANK = "\u2581";
const BLANKS = /^\u2581+$/u;
/** Ordinary tokens whose texts are compared with llama.cpp's when a vocabulary is opened. */
const COMPARED = 64;

interface Finders {
  /** Defined tokens that any text may become. */
  readonly free: TokenFinder;
  /** Defined tokens that are reserved. */
  readonly defined: TokenFinder;
  readonly reserved: TokenFinder;
}

/** What llama.cpp has read of a vocabulary, and how it reads texts; node-llama-cpp's models are such. */
export interface LlamaVocabulary {
  readonly fileInfo: { readonly metadata: { readonly tokenizer: { readonly ggml: VocabularyMetadata } } };
  readonly tokens: {
    readonly bos: number | null;
    readonly eos: number | null;
    readonly eot: number | null;
    readonly shouldPrependBosToken: boolean;
    readonly shouldAppendEosToken: boolean;
  };
  getTokenAttributes(id: Token): TokenKinds;
  isEogToken(id: Token): boolean;
  /** Nothing in the text is a control token where `special` is false, and nothing is added. */
  tokenize(text: string, special: false): readonly number[];
  /** Control tokens by their names where `special` is true. */
  detokenize(ids: readonly Token[], special: true): string;
}

/** Keys of a GGUF header below `tokenizer.ggml`. */
export interface VocabularyMetadata {
  readonly model: string;
  readonly pre?: string;
  readonly tokens: readonly string[];
  readonly scores?: readonly number[];
  readonly add_space_prefix?: boolean;
  readonly bos_token_id?: number;
  readonly eos_token_id?: number;
}

/** Kinds that llama.cpp sets of a token; it may set several. */
export type TokenKinds = Readonly<
  Record<"normal" | "unknown" | "control" | "userDefined" | "byte" | "rstrip", boolean>
>;

/** A vocabulary that llama.cpp has read. */
export class Vocabulary implements ChatVocabulary {
  readonly controlTokens: ReadonlyMap<string, number>;
  readonly stripsAfter: ReadonlySet<number>;
  readonly bosId?: number;
  readonly addBos: boolean;
  /** Texts that a template gets as `bos_token` and `eos_token`; empty where the file names none. */
  readonly bosToken: string;
  readonly eosToken: string;

  private readonly texts: readonly string[];
  private readonly kinds: Uint8Array;
  private readonly isSentencePiece: boolean;
  private readonly blankIsMarked: boolean;
  private readonly spacePrefix: boolean;
  /** Control tokens that mark reasoning. */
  private readonly reasoning = new Set<number>();
  /** Ids that no text but a template's becomes. */
  private readonly reserved: Set<number>;
  private readonly spelled: (Buffer | undefined)[] = [];
  private finders: Finders | undefined;
  private pieces: SentencePieces | undefined;
  private reach: Uint16Array | undefined;

  /** @param model its vocabulary at least is loaded @throws MODEL_TOKENIZER, CHAT_BOS */
  constructor(private readonly model: LlamaVocabulary) {
    const file = model.fileInfo.metadata.tokenizer.ggml;
    // llama.cpp gives such a token this name.
    this.texts = file.tokens.map((text, id) => (text === "" ? `[EMPTY_${id}]` : text));
    this.isSentencePiece = file.model === "llama";
    this.blankIsMarked = this.isSentencePiece || BLANK_AS_SENTENCEPIECE.includes(file.pre ?? file.model);
    this.spacePrefix = this.isSentencePiece && (file.add_space_prefix ?? true);
    this.kinds = new Uint8Array(this.texts.length);
    const special = new Map<string, number>();
    const reserved = new Set<number>();
    const strips = new Set<number>();
    for (let id = 0; id < this.texts.length; id++) {
      const attributes = model.getTokenAttributes(id as Token);
      const kind = kindOf(attributes);
      this.kinds[id] = kind;
      const text = this.texts[id] as string;
      if (attributes.rstrip) strips.add(id);
      if (kind === Kind.control && isReasoningToken(text)) this.reasoning.add(id);
      if (kind === Kind.control || kind === Kind.unknown) reserved.add(id);
      else if (kind !== Kind.defined || text.trim() === "") continue;
      else if (model.isEogToken(id as Token)) reserved.add(id);
      special.set(text, id);
    }
    // The end of a turn, and its beginning, may be typed as anything.
    for (const id of [file.bos_token_id, file.eos_token_id, model.tokens.eot ?? undefined]) {
      const text = id === undefined ? undefined : this.texts[id];
      if (id === undefined || text === undefined || !looksLikeMarker(text)) continue;
      special.set(text, id);
      reserved.add(id);
    }
    this.controlTokens = special;
    this.stripsAfter = strips;
    this.reserved = reserved;
    // Where a file names none, llama.cpp takes a number that means it in some vocabularies; in byte-level ones it is a comma.
    const bosId = file.bos_token_id ?? (this.isSentencePiece ? model.tokens.bos : null) ?? undefined;
    if (bosId !== undefined && bosId < this.texts.length) this.bosId = bosId;
    this.addBos = model.tokens.shouldPrependBosToken;
    if (this.addBos && this.bosId === undefined) {
      throw new InwardError("CHAT_BOS", "The vocabulary wants a BOS token before every prompt, and names none.");
    }
    this.bosToken = this.bosId === undefined ? "" : (this.texts[this.bosId] as string);
    const eosId = file.eos_token_id ?? (this.isSentencePiece ? model.tokens.eos : null);
    this.eosToken = this.texts[eosId ?? -1] ?? "";
    this.requireOwnSpelling();
  }

  isEndOfGeneration = (id: number): boolean => this.model.isEogToken(id as Token);

  /** Whether any text may become this token, which is no control token. */
  isFree(id: number): boolean {
    return !this.reserved.has(id);
  }

  /** From now on no text but a template's becomes these; control tokens never do. */
  reserve(markers: Iterable<number>): void {
    for (const id of markers) this.reserved.add(id);
    this.finders = undefined;
    this.pieces = undefined;
  }

  /** Whether an id that is no control token is set off as markup is: as a template's marker, if a template writes it. */
  isMarkup(id: number): boolean {
    const text = this.texts[id] ?? "";
    if (this.kinds[id] === Kind.defined) return /[^\p{L}\p{N}\s]/u.test(text);
    return this.kinds[id] === Kind.normal && looksLikeMarker(text);
  }

  /** Tokens that look like markers and are of a type that no template's text is read as, by their text. */
  ordinaryMarkers(): ReadonlyMap<string, number> {
    const found = new Map<string, number>();
    for (const [id, text] of this.texts.entries()) {
      if (looksLikeMarker(text) && !this.controlTokens.has(text)) found.set(text, id);
    }
    return found;
  }

  tokenizePlain = (text: string, wordStart: boolean): number[] => {
    if (text === "") return [];
    if (/\p{Surrogate}/u.test(text)) throw unwritable(text, "it holds half a character (a lone surrogate)");
    this.finders ??= this.findTokens();
    const ids: number[] = [];
    let prefix = wordStart && this.spacePrefix;
    for (const piece of this.finders.free.cut(text)) {
      if (typeof piece === "number") {
        ids.push(piece);
        prefix = wordStart && this.spacePrefix;
        continue;
      }
      const stretch = prefix ? ` ${piece}` : piece;
      for (const id of this.isSentencePiece ? this.merge(stretch) : this.split(stretch, this.finders)) ids.push(id);
      prefix = false;
    }
    return ids;
  };

  /** @returns the text that these ids stand for, nothing added and nothing taken away, without control tokens but marks of reasoning */
  text = (ids: readonly number[]): string =>
    Buffer.concat(ids.map((id) => (this.isSaid(id) ? this.spelling(id) : NOTHING))).toString("utf8");

  /** @returns the text that ids stand for, special tokens by their names */
  writtenText = (ids: readonly number[]): string => Buffer.concat(ids.map((id) => this.spelling(id))).toString("utf8");

  /** @returns what a token stands for, control tokens by their names */
  bytes(id: number): Buffer {
    return this.spelling(id);
  }

  /** Fewest tokens that could spell a text of these bytes: found in one pass, by how far each could reach at most. */
  fewestTokens(bytes: Uint8Array): number {
    this.reach ??= this.reaches();
    let tokens = 0;
    let reached = 0;
    let farthest = 0;
    for (let at = 0; at < bytes.length; at++) {
      const key = ((bytes[at] as number) << 8) | (bytes[at + 1] ?? 0);
      farthest = Math.max(farthest, at + (this.reach[key] as number));
      if (at < reached) continue;
      tokens++;
      reached = farthest;
    }
    return tokens;
  }

  /** A mark of reasoning is part of what was said, whatever its type: without it, reasoning would be read as the answer. */
  private isSaid(id: number): boolean {
    const kind = this.kinds[id];
    return (kind !== Kind.control && kind !== Kind.unknown) || this.reasoning.has(id);
  }

  private spelling(id: number): Buffer {
    const known = this.spelled[id];
    if (known !== undefined) return known;
    const bytes = this.spell(id);
    this.spelled[id] = bytes;
    return bytes;
  }

  private spell(id: number): Buffer {
    const text = this.texts[id];
    const kind = this.kinds[id];
    if (text === undefined || kind === Kind.nothing) return NOTHING;
    if (kind === Kind.byte) return Buffer.of(Number.parseInt(text.slice(3, 5), 16));
    // Runs of blanks that a vocabulary's maker defined, as Gemma's: older files have them in SentencePiece's writing.
    if (kind === Kind.defined && this.isSentencePiece && BLANKS.test(text)) return Buffer.alloc(text.length, " ");
    if (kind !== Kind.normal) return Buffer.from(text);
    return this.blankIsMarked ? Buffer.from(text.replaceAll(BLANK, " ")) : fromByteAlphabet(text);
  }

  /** What would merge into a reserved token stays apart. */
  private merge(text: string): number[] {
    this.pieces ??= this.sentencePieces();
    const ids = mergeSentencePieces(text, this.pieces);
    if (ids === undefined)
      throw unwritable(text, "the vocabulary has no token for one of its characters, nor for its bytes");
    return ids;
  }

  private split(text: string, { defined, reserved }: Finders): number[] {
    let ids = this.splitApart(text, defined);
    if (ids.some((id) => this.reserved.has(id))) ids = this.splitApart(text, reserved);
    const taken = ids.find((id) => this.reserved.has(id));
    if (taken !== undefined) {
      throw new InwardError(
        "CHAT_CONTROL_TOKEN",
        `Plain text became token ${taken}, ${JSON.stringify(this.texts[taken])}: ${JSON.stringify(text.slice(0, 120))}`,
      );
    }
    const read = this.text(ids);
    if (read === (this.blankIsMarked ? text.replaceAll(BLANK, " ") : text)) return ids;
    throw unwritable(text, `its tokens stand for ${JSON.stringify(read.slice(0, 120))}`);
  }

  /** llama.cpp finds a defined token in any text: these are cut before their last marks, where a word ends anyway. */
  private splitApart(text: string, markers: TokenFinder): number[] {
    const ids: number[] = [];
    let plain = "";
    const flush = () => {
      if (plain !== "") for (const id of this.model.tokenize(plain, false)) ids.push(id);
    };
    for (const piece of markers.cut(text)) {
      if (typeof piece === "string") {
        plain += piece;
        continue;
      }
      const characters = [...(this.texts[piece] as string)];
      const lastLetter = characters.findLastIndex((character) => /[\p{L}\p{N}]/u.test(character));
      const cut =
        lastLetter >= 0 && lastLetter + 1 < characters.length ? lastLetter + 1 : Math.ceil(characters.length / 2);
      plain += characters.slice(0, cut).join("");
      flush();
      plain = characters.slice(cut).join("");
    }
    flush();
    return ids;
  }

  private findTokens(): Finders {
    const [free, defined, reserved] = [new Map<string, number>(), new Map<string, number>(), new Map<string, number>()];
    for (let id = 0; id < this.texts.length; id++) {
      const text = this.texts[id] as string;
      const isReserved = this.reserved.has(id);
      if (isReserved) reserved.set(text, id);
      if (this.kinds[id] === Kind.defined) (isReserved ? defined : free).set(text, id);
    }
    return { free: new TokenFinder(free), defined: new TokenFinder(defined), reserved: new TokenFinder(reserved) };
  }

  private sentencePieces(): SentencePieces {
    const { scores = [] } = this.model.fileInfo.metadata.tokenizer.ggml;
    const ids = new Map<string, number>();
    const byteIds: (number | undefined)[] = [];
    let longest = 1;
    for (let id = 0; id < this.texts.length; id++) {
      const text = this.texts[id] as string;
      const kind = this.kinds[id];
      if (kind === Kind.byte) byteIds[Number.parseInt(text.slice(3, 5), 16)] = id;
      if ((kind !== Kind.normal && kind !== Kind.defined) || this.reserved.has(id)) continue;
      ids.set(text, id);
      longest = Math.max(longest, text.length);
    }
    return { ids, scores: Float32Array.from(this.texts, (_, id) => scores[id] ?? 0), byteIds, longest };
  }

  /** By a token's first two bytes, the bytes of the longest that begins so. */
  private reaches(): Uint16Array {
    const reach = new Uint16Array(0x10000).fill(1);
    for (let id = 0; id < this.texts.length; id++) {
      const bytes = this.spelling(id);
      const [first, second] = bytes;
      if (first === undefined) continue;
      const length = Math.min(bytes.length, 0xffff);
      if (second !== undefined) reach[(first << 8) | second] = Math.max(reach[(first << 8) | second] as number, length);
    }
    return reach;
  }

  /** What the tokens stand for is read from the file: llama.cpp must read the same, but for the blanks that it takes away. */
  private requireOwnSpelling(): void {
    const step = Math.max(1, Math.floor(this.texts.length / COMPARED));
    for (let id = 0; id < this.texts.length; id += step) {
      const own = this.writtenText([id]);
      const theirs = this.model.detokenize([id as Token], true);
      if (own.replaceAll(/[ \u2581]/gu, "") === theirs.replaceAll(/[ \u2581]/gu, "")) continue;
      throw new InwardError(
        "MODEL_TOKENIZER",
        `its token ${id} stands for ${JSON.stringify(own)}, and llama.cpp reads it as ${JSON.stringify(theirs)}`,
      );
    }
  }
}

const NOTHING = Buffer.alloc(0);

function kindOf(attributes: TokenKinds): number {
  if (attributes.control) return Kind.control;
  if (attributes.unknown) return Kind.unknown;
  if (attributes.userDefined) return Kind.defined;
  if (attributes.normal) return Kind.normal;
  return attributes.byte ? Kind.byte : Kind.nothing;
}

/** Whether a token's text is set off as markup is, and no word or mark that people write. */
export function looksLikeMarker(text: string): boolean {
  return /^\s*(?:<.+>|\[.+\]|\{.+\})\s*$/su.test(text);
}

/** Whether two texts are the same to the model. */
export function sameTokens(ids: readonly number[], others: readonly number[]): boolean {
  return ids.length === others.length && ids.every((id, at) => id === others[at]);
}

function unwritable(text: string, why: string): InwardError {
  return new InwardError(
    "CHAT_UNWRITABLE",
    `${JSON.stringify(text.slice(0, 120))} cannot be given to the model: ${why}.`,
  );
}

const byteOfStandIn = new Map(byteStandIns().map((standIn, byte) => [standIn, byte]));

/** GPT-2's printable stand-in for each byte: itself where Latin-1 has a visible character, else one from 256 up. */
export function byteStandIns(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const visible = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCodePoint(visible ? byte : next++);
  });
}

/** What llama.cpp writes for a character that stands for no byte says so; no text is spelled with it. */
function fromByteAlphabet(text: string): Buffer {
  const bytes: number[] = [];
  for (const character of text) {
    const byte = byteOfStandIn.get(character);
    if (byte !== undefined) bytes.push(byte);
    else bytes.push(...Buffer.from(`[UNK_BYTE_0x${Buffer.from(character).toString("hex")}${text}]`));
  }
  return Buffer.from(bytes);
}
