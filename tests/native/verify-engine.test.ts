/** `inward verify engine` as a user meets it, on a tiny model. What counts as a mismatch: tests/unit/compare-engines.test.ts. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { verifyCommand } from "../../src/cli/verify.js";
import { startEngine } from "../../src/model/engines/start-engine.js";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { inward } from "../helpers/command-line.js";
import { printed } from "../helpers/printed.js";
import { type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;
let model: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "inward-verify-"));
  // Bytes are tokens here, so the solved examples are long.
  model = (await writeTinyModel(join(folder, "tiny.gguf"), { contextLength: 4096 })).path;
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the engines agree on a tiny model, strict and batched", async () => {
  const { code, stdout, stderr } = await inward(
    ["verify", "engine", "--model", model, "--device", "cpu", "--threads", "1", "--json"],
    {
      env: { INWARD_MODELS: join(folder, "models") },
    },
  );
  expect(stderr).not.toMatch(/INTERNAL/);
  const result = JSON.parse(stdout);
  expect(result.agrees).toBe(true);
  expect(code).toBe(0);
  for (const mode of ["strict", "batched"]) {
    const { questions, positions, maxLogprobDifference } = result.comparisons[mode];
    expect(questions).toBeGreaterThanOrEqual(55);
    expect(positions).toBeGreaterThan(questions);
    expect(maxLogprobDifference).toBeLessThan(result.tolerance.logprob);
  }
  // Two engines that both read nothing would agree too.
  expect(result.floors.map(({ state }: { state: string }) => state)).toEqual(["node-llama-cpp", "native"]);
}, 120_000);

describe("a native engine whose file is another", () => {
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

  /** @returns a copy of the model in which output_norm's first weight, 1 in the original, is another */
  async function spoilt(weight: number): Promise<string> {
    const path = join(folder, `spoilt-${weight}.gguf`);
    const { tensors, dataOffset } = await readGguf(model);
    const norm = tensors.find(({ name }) => name === "output_norm.weight");
    if (!norm) throw new Error("no output_norm.weight");
    const bytes = readFileSync(model);
    expect(bytes.readFloatLE(dataOffset + norm.offset)).toBe(1);
    bytes.writeFloatLE(weight, dataOffset + norm.offset);
    writeFileSync(path, bytes);
    return path;
  }

  /** Only the file that the native engine opens is another: everything from the questions to the exit code is the command's own. */
  async function verify(nativePath: string, ...options: string[]): Promise<string> {
    return verifyModel(model, nativePath, ...options);
  }

  async function verifyModel(named: string, nativePath: string, ...options: string[]): Promise<string> {
    const command = verifyCommand((path, settings, choices) =>
      startEngine(settings.engine === "native" ? nativePath : path, settings, choices),
    );
    return printed(command, "engine", "--model", named, "--device", "cpu", "--threads", "1", ...options);
  }

  test("ends with exit code 4 and says where: 1.1 instead of 1", async () => {
    const result = JSON.parse(await verify(await spoilt(1.1), "--json"));
    expect(process.exitCode).toBe(4);
    expect(result.agrees).toBe(false);
    for (const mode of ["strict", "batched"]) {
      const { agrees, differences } = result.comparisons[mode];
      expect(agrees).toBe(false);
      const beyond = differences.filter(({ allowed }: { allowed: boolean }) => !allowed);
      expect(beyond.length).toBeGreaterThan(50);
      for (const { kind, apart } of beyond) {
        if (kind === "length") continue;
        expect(apart).toBeGreaterThan(kind === "token" ? result.tolerance.margin : result.tolerance.logprob);
      }
    }
  });

  test("the table for people says so too", async () => {
    const text = await verify(await spoilt(1.1), "--questions", "2");
    expect(process.exitCode).toBe(4);
    expect(text).toMatch(/THE ENGINES DO NOT AGREE\.\s*$/);
    expect(text).toMatch(/ MISMATCH$/m);
  });

  test("one that rounding could have made is none: 1 + 1e-6", async () => {
    // All questions are asked of the sound file above: here the weight is another.
    expect(await verify(await spoilt(1 + 1e-6), "--questions", "8")).toMatch(/The engines agree\.\s*$/);
    expect(process.exitCode).toBeUndefined();
  });

  test("quantized weights that our own forward pass asks: the other engine asks their F32 copy", async () => {
    const path = join(folder, "quantized.gguf");
    await writeTinyModel(path, { contextLength: 4096, encoding: "Q8_0" });
    const result = JSON.parse(await verifyModel(path, path, "--questions", "2", "--json"));
    expect(process.exitCode).toBeUndefined();
    expect(result).toMatchObject({ model: { encoding: "Q8_0" }, reference: { encoding: "F32" }, agrees: true });
    // Activations that one of them rounded would be tenths of a nat.
    expect(result.tolerance.logprob).toBeLessThan(0.02);
  });

  describe("a Gemma, whose GELU llama.cpp rounds to halves", () => {
    const f32 = (value: number) => ({ type: "f32", value }) as const;
    const u32 = (value: number) => ({ type: "u32", value }) as const;
    const gemma = async (name: string, keys: TinyModelOptions["metadata"] = {}) => {
      const metadata = Object.fromEntries(Object.entries(keys).map(([key, value]) => [`gemma3.${key}`, value]));
      const path = join(folder, `gemma-${name}.gguf`);
      return (await writeTinyModel(path, { architecture: "gemma3", contextLength: 4096, metadata })).path;
    };

    test("the engines agree, and the tolerance says why it is more than usual", async () => {
      const path = await gemma("sound");
      const result = JSON.parse(await verifyModel(path, path, "--questions", "4", "--json"));
      expect(process.exitCode).toBeUndefined();
      expect(result.tolerance.because).toMatch(/GELU/);
      expect(result.comparisons.strict.questions).toBe(4);
    });

    test.each([
      ["a window of one token more", { "attention.sliding_window": u32(8) }],
      ["a base of RoPE that is 2 % off in local layers", { "rope.freq_base_swa": f32(306) }],
    ])("%s is a mismatch still", async (name, keys) => {
      const [sound, planted] = [await gemma("sound"), await gemma(name.replaceAll(/\W/g, "-"), keys)];
      const text = await verifyModel(sound, planted, "--questions", "4");
      expect(text).toMatch(/THE ENGINES DO NOT AGREE\.\s*$/);
      expect(text).toMatch(/tolerance: .*\ngemma3: .*half precision/);
      expect(process.exitCode).toBe(4);
    });
  });
});
