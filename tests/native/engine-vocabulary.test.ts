/** The vocabulary that the addon gives, of an engine or alone, is the one that node-llama-cpp reads from the same file: every token, every text. */
import { cpSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { getLlama, type Llama, LlamaLogLevel, type Token } from "node-llama-cpp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { openTokenizer, readLoadWarnings, type TokenizerMethods } from "../../src/model/engines/start-engine.js";
import { findBinaries, loadAddon } from "../../src/model/native/addon.js";
import { engineVocabulary } from "../../src/model/native/engine-vocabulary.js";
import { WorkerProcess } from "../../src/model/worker-process.js";
import { defaultModelPath } from "../helpers/default-model.js";
import { openEngine } from "../helpers/native-engine.js";
import { type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-engine-vocabulary-"));
let llama: Llama;
beforeAll(async () => {
  llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });
});
afterAll(async () => {
  await llama.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const KINDS: readonly [string, TinyModelOptions | undefined][] = [
  ["the default model", undefined],
  ["byte-level BPE", { chat: "chatml" }],
  ["byte-level BPE with BOS", { chat: "llama3" }],
  ["SentencePiece", { chat: "sentencepiece" }],
  [
    "SentencePiece that sets no blank before a text, and a BOS and an EOS around it",
    {
      chat: "sentencepiece",
      addBos: true,
      metadata: {
        "tokenizer.ggml.add_space_prefix": { type: "bool", value: false },
        "tokenizer.ggml.add_eos_token": { type: "bool", value: true },
      },
    },
  ],
  ["an EOS that is an ordinary word", { metadata: { "tokenizer.ggml.eos_token_id": { type: "u32", value: 70 } } }],
];
const TEXTS = [
  "",
  " ",
  "\n\n",
  "a\u0000b",
  "naïve Ångström ﬁne",
  "<|im_end|></s>",
  "👩‍👩‍👧 東京 1234567",
  "don't  I'LL\t",
  " a ",
  "\u2581a",
];

test.each(KINDS)("%s", async (name, options) => {
  const path = options === undefined ? await defaultModelPath() : join(folder, `${name}.gguf`);
  if (options !== undefined) await writeTinyModel(path, options);
  const engine = await openEngine(path, { forward: "own" });
  const model = await llama.loadModel({
    modelPath: path,
    vocabOnly: true,
    gpuLayers: 0,
    ignoreMemorySafetyChecks: true,
  });
  try {
    const own = engineVocabulary(engine, await readGguf(path));
    for (const key of ["bos", "eos", "eot", "shouldPrependBosToken", "shouldAppendEosToken"] as const) {
      expect([key, own.tokens[key]]).toEqual([key, model.tokens[key]]);
    }
    const { ggml } = model.fileInfo.metadata.tokenizer;
    const ours = own.fileInfo.metadata.tokenizer.ggml;
    for (const key of ["model", "pre", "add_space_prefix", "bos_token_id", "eos_token_id"] as const) {
      expect([key, ours[key]]).toEqual([key, ggml[key]]);
    }
    expect(ours.tokens).toEqual(ggml.tokens);
    expect(ours.scores).toEqual(ggml.scores);
    let controls = 0;
    const differing: number[] = [];
    for (const id of ggml.tokens.keys() as Iterable<Token>) {
      const [mine, theirs] = [own.getTokenAttributes(id), model.getTokenAttributes(id)];
      if (mine.control) controls++;
      const kinds = ["normal", "unknown", "control", "userDefined", "byte", "rstrip"] as const;
      const same =
        kinds.every((kind) => mine[kind] === theirs[kind]) &&
        own.isEogToken(id) === model.isEogToken(id) &&
        own.detokenize([id], true) === model.detokenize([id], true);
      if (!same) differing.push(id);
    }
    expect(controls).toBeGreaterThan(1);
    expect(differing).toEqual([]);
    const same = (text: string) => {
      const ids = model.tokenize(text, false);
      expect([text, own.tokenize(text, false)]).toEqual([text, ids]);
      expect(own.detokenize(ids, true)).toBe(model.detokenize(ids, true));
    };
    for (const text of TEXTS) same(text);
    same("\n".repeat(100_000));
    fc.assert(fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), same), { seed: 1, numRuns: 150 });
    // Read without its weights it is the same.
    const { folder: binariesFolder } = findBinaries("cpu");
    const alone = new (await loadAddon(binariesFolder)).Vocabulary({ modelPath: path, binariesFolder });
    expect(alone.vocabulary()).toEqual(engine.vocabulary?.());
    expect(alone.loadLog()).toBe(engine.describe().loadLog);
    for (const text of TEXTS) expect(alone.tokenize(text)).toEqual(engine.tokenize(text));
    const every = Int32Array.from(ggml.tokens.keys());
    expect(alone.detokenize(every)).toBe(engine.detokenize(every));
    alone.dispose();
    expect(() => alone.tokenize("a")).toThrow(expect.objectContaining({ code: "ENGINE_UNAVAILABLE" }));
    expect(() => engine.detokenize(Int32Array.of(ggml.tokens.length))).toThrow("no such token");
    expect(() => engine.detokenize(Int32Array.of(-1))).toThrow("no such token");
  } finally {
    await model.dispose();
    engine.dispose();
  }
});

test("where the addon is not built node-llama-cpp reads it: the same tokens, the same warnings", async () => {
  const path = join(folder, "without.gguf");
  // llama.cpp warns of an EOS that ends nothing.
  await writeTinyModel(path, { metadata: { "tokenizer.ggml.eos_token_id": { type: "u32", value: 70 } } });
  const root = join(import.meta.dirname, "../..");
  const bare = mkdtempSync(join(folder, "bare-"));
  cpSync(join(root, "dist"), join(bare, "dist"), { recursive: true });
  for (const name of ["package.json", "node_modules"]) symlinkSync(join(root, name), join(bare, name));
  const other = new WorkerProcess<TokenizerMethods>({
    script: join(bare, "dist/model/engines/tokenizer-worker.js"),
    owner: "tokenizer",
    crashCode: "ENGINE_CRASHED",
  });
  const own = await openTokenizer(path);
  try {
    const warnings = await readLoadWarnings(path);
    expect(warnings.join()).toContain("eos");
    expect(await other.remote.loadWarnings(path)).toEqual(warnings);
    await other.remote.open(path, undefined);
    expect(await other.remote.plainIds(TEXTS)).toEqual(await own.plainIds(TEXTS));
    expect(await other.remote.answerEndIds()).toEqual(await own.answerEndIds());
  } finally {
    await Promise.all([own.dispose(), other.end()]);
  }
});

test.each([
  ["no file", undefined, /failed to open/],
  ["a vocabulary of a kind that llama.cpp does not know", "none such", /tokenizer/],
])("%s: llama.cpp's own line, and the process lives", async (_, model, words) => {
  const path = join(folder, "bad.gguf");
  rmSync(path, { force: true });
  if (model) await writeTinyModel(path, { metadata: { "tokenizer.ggml.model": { type: "string", value: model } } });
  const { folder: binariesFolder } = findBinaries("cpu");
  const { Vocabulary } = await loadAddon(binariesFolder);
  expect(() => new Vocabulary({ modelPath: path, binariesFolder })).toThrow(
    expect.objectContaining({ code: "MODEL_LOAD", message: expect.stringMatching(words) }),
  );
});

test("an addon that was built before says so", async () => {
  const path = join(folder, "tiny.gguf");
  await writeTinyModel(path, {});
  const engine = await openEngine(path, { forward: "own" });
  Object.defineProperty(engine, "vocabulary", { value: undefined });
  const file = await readGguf(path);
  expect(() => engineVocabulary(engine, file)).toThrow(expect.objectContaining({ code: "ENGINE_UNAVAILABLE" }));
  engine.dispose();
});
