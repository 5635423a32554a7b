/** Which architectures are asked: all names are llama.cpp's own, what is not asked says why, and headers that llama.cpp aborts at are refused. */
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ARCHITECTURES, keepsState, looksUpGelu, requireKnownArchitecture } from "../../src/gguf/architectures.js";
import { inspectGguf } from "../../src/gguf/inspect-gguf.js";
import { headerFault } from "../../src/gguf/judge-header.js";
import type { GgufValue } from "../../src/gguf/read-gguf.js";
import { requireFlashAttention } from "../../src/model/engines/settings.js";
import { findBinaries } from "../../src/model/native/addon.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const u32 = (value: number): GgufValue => ({ type: "u32", value });
const list = (...value: number[]): GgufValue => ({ type: "array", elementType: "u32", value });

test("every name is one that llama.cpp's library has, and none is in both lists", () => {
  const { folder } = findBinaries("cpu");
  const library = readdirSync(folder).find(
    (name) => /^(?:lib)?llama\.v/.test(name) || /^(?:lib)?llama\.(?:so|dylib|dll)/.test(name),
  );
  const bytes = readFileSync(join(folder, library as string));
  const names = [...ARCHITECTURES.asked.map(({ name }) => name), ...Object.keys(ARCHITECTURES.refused)];
  // Compilers keep short ones in the code that builds the table, without an end.
  expect(names.filter((name) => name.length > 8 && !bytes.includes(`\0${name}\0`))).toEqual([]);
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBeGreaterThan(150);
});

test.each([
  ["t5", /encoder with a decoder/],
  ["bert", /depends on what comes after/],
  ["llada", /diffusion/],
  ["eagle3", /along with another model/],
  ["qwen3tts", /codes of sound/],
  ["cogvlm", /logits of other tokens/],
  ["gptj", /name only/],
  ["constructor", /has no such one/],
  ["\u001b[2J", /has no such one/],
])("%s is refused with the reason", (name, why) => {
  expect(() => requireKnownArchitecture(name, "a.gguf")).toThrow(
    expect.objectContaining({ code: "MODEL_ARCHITECTURE", message: expect.stringMatching(why) }),
  );
});

test("what a model keeps of a text, and what it needs", () => {
  expect(["mamba", "lfm2", "qwen3next", "deepseek4"].map(keepsState)).toEqual([true, true, true, true]);
  expect(["llama", "gemma3", "deepseek2", "nobody"].map(keepsState)).toEqual([false, false, false, false]);
  const of = (name: string) => requireKnownArchitecture(name, "a.gguf");
  expect(() => requireFlashAttention(of("minimax-m3"), false)).toThrow(/set engine.flashAttention to true/);
  expect(() => requireFlashAttention(of("grok"), true)).toThrow(/set engine.flashAttention to false/);
  for (const set of [true, false]) expect(() => requireFlashAttention(of("llama"), set)).not.toThrow();
  // The two that llama.cpp has a SwiGLU for, and nobody, are not among those with a GELU.
  const gelu = ["gemma", "gemma3n", "gemma4", "grok", "phi2", "bloom", "spark2_5"];
  expect([...gelu, "phi3", "qwen2", "nobody"].map(looksUpGelu)).toEqual([...gelu.map(() => true), false, false, false]);
});

describe("headers of other architectures", () => {
  const header = (architecture: string, keys: Readonly<Record<string, GgufValue>>) => ({
    metadata: new Map<string, GgufValue>([
      ["general.architecture", { type: "string", value: architecture }],
      ...Object.entries({
        block_count: u32(4),
        embedding_length: u32(64),
        "attention.head_count": u32(4),
        ...keys,
      }).map(([key, value]): [string, GgufValue] => [`${architecture}.${key}`, value]),
    ]),
    encodedMetadata: new Map<string, Uint8Array>(),
  });

  test.each<[string, Readonly<Record<string, GgufValue>>, RegExp]>([
    ["qwen2", { "rope.dimension_count": u32(8) }, /rope.dimension_count is 8, and its heads are 16 wide/],
    [
      "gemma3",
      { "attention.sliding_window": u32(8), "attention.sliding_window_pattern": list(0, 0, 0, 0) },
      /none of its layers/,
    ],
    [
      "gemma3",
      { "attention.sliding_window": u32(8), "attention.sliding_window_pattern": u32(1) },
      /none of its layers/,
    ],
    ["phi3", { "attention.key_length": u32(16), "attention.value_length": u32(8) }, /one width for both/],
    ["qwen2", { "attention.head_count_kv": list(4, 2, 4, 4) }, /4 for one layer and 2 for another/],
    ["qwen3moe", { expert_count: u32(4), expert_used_count: u32(8) }, /8 of 4 experts/],
    ["qwen3moe", { expert_count: u32(2048), expert_used_count: u32(8) }, /holds 1024/],
    [
      "deepseek2",
      { expert_count: u32(8), expert_used_count: u32(2), expert_group_count: u32(3), expert_group_used_count: u32(1) },
      /of 3 groups/,
    ],
    ["glm4moe", {}, /expert_count is 0/],
    ["jamba", { "ssm.inner_size": u32(100) }, /not twice the embedding/],
    ["mamba2", { "ssm.inner_size": u32(128), "ssm.time_step_rank": u32(5) }, /5 heads cannot share/],
    ["llama", { block_count: u32(600) }, /holds 512/],
    ["glm4moe", { nextn_predict_layers: u32(5), expert_count: u32(4), expert_used_count: u32(2) }, /5 of 4 layers/],
    ["lfm2", { "attention.head_count_kv": list(0, 3, 0, 0) }, /4 heads cannot share 3/],
    ["llama", { "attention.head_count_kv": list(4, 0, 4, 4) }, /is 0/],
  ])("%s: what llama.cpp aborts at is found", (architecture, keys, words) => {
    expect(headerFault({ ...header(architecture, keys) })).toMatch(words);
  });

  test.each<[string, Readonly<Record<string, GgufValue>>]>([
    ["phi3", { "rope.dimension_count": u32(8) }],
    ["gemma3", { "attention.sliding_window": u32(8), "attention.sliding_window_pattern": list(1, 1, 1, 0) }],
    ["mamba", { "attention.head_count": u32(0), feed_forward_length: u32(0) }],
    ["lfm2", { "attention.head_count_kv": list(0, 2, 0, 2) }],
    ["nemotron_h", { feed_forward_length: list(0, 128, 0, 0), "attention.head_count_kv": list(0, 0, 2, 0) }],
    ["openelm", { "attention.head_count": list(4, 8, 4, 4), "attention.head_count_kv": list(2, 4, 2, 2) }],
    [
      "deepseek2",
      { "attention.key_length": u32(192), "attention.value_length": u32(128), "rope.dimension_count": u32(64) },
    ],
    ["hunyuan-dense", { expert_count: u32(1) }],
    ["qwen3moe", { expert_count: u32(8), expert_used_count: list(2, 2, 4, 2) }],
  ])("%s: what real models have is no fault", (architecture, keys) => {
    expect(headerFault({ ...header(architecture, keys) })).toBeUndefined();
  });
});

test("a file with RoPE factors for longer texts is asked within its original context", async () => {
  const path = join(mkdtempSync(join(tmpdir(), "inward-short-")), "phi3.gguf");
  await writeTinyModel(path, { seed: 1, architecture: "phi3" });
  expect(await inspectGguf(path)).toMatchObject({ contextLength: 256, shortContext: 256 });
});
