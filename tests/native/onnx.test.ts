/** onnxruntime on graphs of tiny models: hidden states against float64, both engines against each other, and faults that are found. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { verifyCommand } from "../../src/cli/verify.js";
import { settleChat } from "../../src/model/chat/settled-chat.js";
import { inspectGguf } from "../../src/gguf/inspect-gguf.js";
import { compareWithOnnx } from "../../src/onnx/compare-with-onnx.js";
import { hiddenStateName } from "../../src/onnx/decoder-graph.js";
import { onnxVariant, openOnnx } from "../../src/onnx/onnx-engine.js";
import { hasOnnxPackages, installCommand } from "../../src/onnx/onnx-packages.js";
import { writeOnnx } from "../../src/onnx/write-onnx.js";
import { printed } from "../helpers/printed.js";
import { readReferenceModel } from "../helpers/reference/reference-model.js";
import { referenceHiddenStates, referenceLogits } from "../helpers/reference/reference-pass.js";
import { splitModel } from "../helpers/split-model.js";
import { type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";

const IS_HERE = hasOnnxPackages();
if (!IS_HERE)
  process.stderr.write(`\nSKIPPED, the second engine is not installed: npm run test:onnx (${installCommand()})\n`);

const threads = 1;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "inward-onnx-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const tiny = async (name: string, options: TinyModelOptions = {}) =>
  (await writeTinyModel(join(folder, `${name}.gguf`), { contextLength: 4096, normSpread: 0.2, ...options })).path;

describe.skipIf(!IS_HERE)("a graph against float64", () => {
  const IDS = Array.from({ length: 40 }, (_, at) => 60 + ((at * 11) % 90));

  test.each<[string, TinyModelOptions]>([
    ["llama, neighbours turn together", {}],
    ["llama 3's factors, positions divided", { ropeFreqs: true, ropeScale: 4 }],
    ["llama, biases, tied", { biases: true, tiedOutput: true }],
    ["llama, every head its own keys", { keyValueHeads: 4 }],
    ["llama, Q4_0, decoded", { encoding: "Q4_0" }],
    ["qwen2, biases of the output too", { architecture: "qwen2", outputBias: true }],
    ["qwen3, norms of heads, wide heads", { architecture: "qwen3" }],
  ])("%s: every layer's hidden states and the logits", async (name, options) => {
    const path = await tiny(name, options);
    const written = await writeOnnx(path, join(folder, name), { hiddenStates: true });
    const engine = await openOnnx(written, { threads });
    try {
      const model = await readReferenceModel(path);
      const states = referenceHiddenStates(model, IDS);
      const names = states.map((_, at) => hiddenStateName(at === states.length - 1 ? "norm" : at));
      const found = await engine.hiddenStates(IDS, names);
      for (const [at, state] of states.entries()) {
        const own = found[names[at] as string] as Float32Array;
        const size = Math.hypot(...state.values) / Math.sqrt(state.values.length);
        // Single precision beside double: some hundred roundings of 6e-8 each.
        const worst = own.reduce((most, value, i) => Math.max(most, Math.abs(value - (state.values[i] as number))), 0);
        expect(own).toHaveLength(state.values.length);
        expect(worst / size).toBeLessThan(1e-5);
      }
      const logits = referenceLogits(model, IDS);
      const last = Array.from({ length: logits.columns }, (_, id) => logits.at(IDS.length - 1, id));
      const most = Math.max(...last);
      const logSumExp = most + Math.log(last.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
      const distribution = await engine.distribution(IDS);
      const apart = last.map((logit, id) => Math.abs(logit - logSumExp - (distribution[id] as number)));
      expect(Math.max(...apart)).toBeLessThan(2e-5);
    } finally {
      await engine.dispose();
    }
  });
});

describe.skipIf(!IS_HERE)("files as they come", () => {
  const PROMPT = [60, 71, 82, 93, 64, 75];
  const distributionOf = async (path: string, name: string) => {
    const engine = await openOnnx(await writeOnnx(path, join(folder, name)), { threads });
    try {
      return await engine.distribution(PROMPT);
    } finally {
      await engine.dispose();
    }
  };

  test("a split model is one graph over its parts", async () => {
    const path = await tiny("whole");
    const parts = await splitModel(path, folder, "split", 3);
    expect(await distributionOf(parts[0] as string, "of parts")).toEqual(await distributionOf(path, "of whole"));
  });

  test("a token that is none, a graph that is cut off, and a process that is gone are coded errors", async () => {
    const written = await writeOnnx(await tiny("to damage"), join(folder, "damaged"));
    const bytes = readFileSync(written.path);
    const engine = await openOnnx(written, { threads });
    // A token that the vocabulary has not.
    await expect(engine.distribution([60, 1_000_000])).rejects.toMatchObject({ code: "ONNX_RUN" });
    writeFileSync(written.path, bytes.subarray(0, bytes.length >> 1));
    await expect(openOnnx(written, { threads })).rejects.toMatchObject({ code: "ONNX_RUN" });
    await engine.dispose();
    await expect(engine.distribution(PROMPT)).rejects.toMatchObject({ code: "ENGINE_CRASHED" });
  });
});

describe.skipIf(!IS_HERE)("both engines, item by item", () => {
  const compare = async (path: string, graphFrom: string, questions = 6) => {
    const chat = settleChat(await inspectGguf(path));
    const here = join(folder, `compare-${Math.random()}`);
    return compareWithOnnx(path, { chat, folder: here, threads, questions, graphFrom });
  };

  test.each<[string, TinyModelOptions]>([
    ["llama", {}],
    ["llama with BOS", { chat: "llama3" }],
    ["qwen2", { architecture: "qwen2" }],
    ["qwen3", { architecture: "qwen3" }],
  ])("%s: tokens, logprobs, prompts, and transformers.js' own answers", async (name, options) => {
    const path = await tiny(`same ${name}`, options);
    const result = await compare(path, path);
    expect(result.checks.filter(({ verdict }) => verdict === "mismatch")).toEqual([]);
    expect(result.agrees).toBe(true);
    expect(result.answers).toMatchObject({ questions: 6, sameTokens: 6 });
    expect(result.answers.positions).toBeGreaterThan(12);
    expect(result.answers.maxLogprobDifference).toBeGreaterThan(0);
    expect(result.checks.map(({ check }) => check)).toEqual([
      "answers, token by token",
      "answers, each text whole",
      "every token of the vocabulary",
      "hidden states, every layer",
      "tokens, transformers.js",
      "control tokens in text",
      "prompts, transformers.js' template",
      "prompts, as tokens",
      "answers, transformers.js",
    ]);
    const notes = Object.fromEntries(result.checks.map(({ check, found }) => [check, found]));
    const controls = name === "llama with BOS" ? 6 : 3;
    expect(notes["control tokens in text"]).toMatch(new RegExp(`^${controls} of ${controls} texts`));
    expect(Number(/of (\d+) texts/.exec(notes["tokens, transformers.js"] as string)?.[1])).toBeGreaterThan(500);
  });

  test.each<[string, TinyModelOptions]>([
    [
      "one weight of one matrix",
      {
        adjust: ({ name, values }) =>
          name === "blk.1.ffn_up.weight" ? values.map((value, at) => (at === 100 ? value + 0.05 : value)) : values,
      },
    ],
    ["RoPE's base, by a hundredth", { metadata: { "llama.rope.freq_base": { type: "f32", value: 10_100 } } }],
    ["positions divided by 1.01", { ropeScale: 1.01 }],
    ["the norm's epsilon", { metadata: { "llama.attention.layer_norm_rms_epsilon": { type: "f32", value: 1e-3 } } }],
  ])("a planted fault is found: %s", async (name, options) => {
    const path = await tiny("right");
    const result = await compare(path, await tiny(`wrong ${name}`, options), 3);
    expect(result.agrees).toBe(false);
    const wrong = result.checks.filter(({ verdict }) => verdict === "mismatch").map(({ check }) => check);
    expect(wrong).toEqual(
      expect.arrayContaining([
        "answers, token by token",
        "answers, each text whole",
        "every token of the vocabulary",
        "hidden states, every layer",
      ]),
    );
  });

  test.each([0, 1, 2])("a wrong layer is named: %i", async (layer) => {
    const path = await tiny("three layers", { blocks: 3 });
    const wrong = await tiny(`wrong in ${layer}`, {
      blocks: 3,
      adjust: ({ name, values }) =>
        name === `blk.${layer}.attn_v.weight` ? values.map((value, at) => (at === 5 ? value + 0.02 : value)) : values,
    });
    const { checks } = await compare(path, wrong, 2);
    const states = checks.find(({ check }) => check === "hidden states, every layer");
    expect(states?.verdict).toBe("mismatch");
    expect(states?.found).toMatch(new RegExp(`the first beyond is residual_after\\.${layer}$`));
    expect(states?.examples).toHaveLength(3 - layer);
  });

  test("a base model, in plain text, whose answers end with their line", async () => {
    const path = await tiny("base", { chat: "base" });
    const chat = settleChat(await inspectGguf(path), { format: "plain" });
    const result = await compareWithOnnx(path, { chat, folder: join(folder, "compare-base"), threads, questions: 4 });
    expect(result.agrees).toBe(true);
    expect(result.answers).toMatchObject({ questions: 4, sameTokens: 4 });
    expect(result.checks.map(({ check }) => check)).not.toContain("prompts, transformers.js' template");
    expect(result.checks.at(-1)?.found).toMatch(/^4 of 4 greedy answers/);
  });

  test("another vocabulary's tokens, and another template's prompts, are found", async () => {
    const path = await tiny("right");
    const { vocabulary } = await writeTinyModel(join(folder, "vocabulary.gguf"), {});
    const merges = { type: "array", elementType: "string", value: vocabulary.merges.toReversed().slice(2) } as const;
    const other = await tiny("other merges", { metadata: { "tokenizer.ggml.merges": merges } });
    const result = await compare(path, other, 2);
    const wrong = result.checks.filter(({ verdict }) => verdict === "mismatch").map(({ check }) => check);
    expect(wrong).toEqual(["tokens, transformers.js", "prompts, as tokens"]);
  });

  describe("as a user meets it", () => {
    const models = process.env.INWARD_MODELS;
    beforeAll(() => {
      process.env.INWARD_MODELS = join(folder, "models");
    });
    afterAll(() => {
      if (models === undefined) delete process.env.INWARD_MODELS;
      else process.env.INWARD_MODELS = models;
    });
    // The command ends with this code; the test's own process must not.
    afterEach(() => {
      process.exitCode = undefined;
    });
    const verify = (command: ReturnType<typeof verifyCommand>, model: string, ...more: string[]) =>
      printed(command, "engine", "--against", "onnx", "--model", model, "--threads", "1", "--questions", "3", ...more);

    test("one table, and nothing left behind; exit code 4 where they part", async () => {
      const path = await tiny("right");
      expect(await verify(verifyCommand(), path)).toMatch(
        /3 of 3 greedy answers have the same tokens[\s\S]*The engines agree\.\s*$/,
      );
      expect(process.exitCode).toBeUndefined();
      const wrong = await tiny("wrong", { metadata: { "llama.rope.freq_base": { type: "f32", value: 11_000 } } });
      const planted = verifyCommand(undefined, (model, options) =>
        compareWithOnnx(model, { ...options, graphFrom: wrong }),
      );
      expect(await verify(planted, path)).toMatch(/MISMATCH[\s\S]*THE ENGINES DO NOT AGREE\.\s*$/);
      expect(process.exitCode).toBe(4);
      expect(existsSync(join(folder, "models", `onnx.partial-${process.pid}`))).toBe(false);
    });

    test.each([
      ["--adapter", "a.gguf"],
      ["--device", "vulkan"],
      ["--forward", "llama.cpp"],
    ])("%s, which it would pass over, is refused", async (...option) => {
      await expect(verify(verifyCommand(), await tiny("right"), ...option)).rejects.toMatchObject({ code: "USAGE" });
    });
  });
});

describe.skipIf(!IS_HERE)("quantizations", () => {
  const PROMPT = Array.from({ length: 30 }, (_, at) => 60 + ((at * 7) % 90));
  const SEQUENCES = [{ promptIds: PROMPT, answerIds: [70, 81, 92, 65, 100, 77, 64, 90] }];
  const logprobsOf = async (
    path: string,
    options: Parameters<typeof onnxVariant>[2],
    how: "whole" | "steps" = "whole",
  ) => {
    const variant = await onnxVariant(path, join(folder, `variant-${Math.random()}`), options);
    const open = await variant.open({ threads });
    try {
      const [answer] = await open.logprobs(SEQUENCES, how);
      return { variant, logprobs: answer?.logprobs as readonly number[] };
    } finally {
      await open.dispose();
    }
  };
  const farthest = (one: readonly number[], other: readonly number[]) =>
    Math.max(...one.map((value, at) => Math.abs(value - (other[at] as number))));

  test.each(["Q4_0", "Q4_1", "Q8_0"] as const)("%s blocks are computed as the file's own weights", async (encoding) => {
    const path = await tiny(`blocks ${encoding}`, { encoding });
    const [floats, blocks] = [await logprobsOf(path, {}), await logprobsOf(path, { quantization: "blocks" })];
    expect(blocks.variant.written.matrices).toEqual({ float: 0, mapped: 15, rounded: 0 });
    expect(farthest(floats.logprobs, blocks.logprobs)).toBeLessThan(1e-4);
    expect(blocks.variant.bytes).toBeLessThan(0.7 * floats.variant.bytes);
  });

  test("rounding an F32 file loses something, more with fewer bits, and is said", async () => {
    const path = await tiny("right");
    const { logprobs } = await logprobsOf(path, {});
    const loss = async (quantization: "nbits4" | "nbits8" | "int8") => {
      const made = await logprobsOf(path, { quantization });
      expect(made.variant.written.matrices).toEqual({ float: 0, mapped: 0, rounded: 15 });
      expect(made.variant.name).toBe(`onnx ${quantization}`);
      return farthest(logprobs, made.logprobs);
    };
    const [four, eight, int8] = [await loss("nbits4"), await loss("nbits8"), await loss("int8")];
    expect(eight).toBeGreaterThan(1e-4);
    expect(four).toBeGreaterThan(3 * eight);
    expect(int8).toBeGreaterThan(1e-3);
  });

  test("dynamic int8 rounds activations by all rows of a run: a text read whole is not the text read token by token", async () => {
    const path = await tiny("right");
    const apart = async (options: Parameters<typeof onnxVariant>[2]) =>
      farthest(
        (await logprobsOf(path, options, "whole")).logprobs,
        (await logprobsOf(path, options, "steps")).logprobs,
      );
    expect(await apart({})).toBeLessThan(5e-5);
    expect(await apart({ quantization: "nbits8" })).toBeLessThan(5e-5);
    expect(await apart({ quantization: "int8" })).toBeGreaterThan(1e-3);
  });
});
