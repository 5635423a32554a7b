/** PEFT adapters of many shapes, asked: every token's logprob is what transformers with PEFT computes in float64 (fixtures/peft-variants). */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { askCommand } from "../../src/cli/ask.js";
import { findAdapter } from "../../src/finetune/adapter/found-adapter.js";
import { startEngine } from "../../src/model/engines/start-engine.js";
import type { AskRequest, LanguageModel } from "../../src/model/language-model.js";
import { sha256OfFile } from "../../src/model/model-file.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import { ENGINES } from "../helpers/engines.js";
import { printed } from "../helpers/printed.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const FIXTURE = fileURLToPath(new URL("../fixtures/peft-variants", import.meta.url));
const VARIANTS = [
  ...["plain", "rslora", "rank_pattern", "alpha_pattern", "patterns_rslora", "layers", "regex", "exclude"],
  ...["some_modules", "float16", "bfloat16", "float64", "adapter_name", "language_model"],
];
/** Single precision against double: the largest of these is 5.4e-6; an adapter changes logprobs by 0.3 to 3.5. */
const TOLERANCE = 3e-5;

let folder: string;
let base: string;
let expected: { base: string; prompt: number[]; logprobs: Record<string, number[]> };
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-peft-ask-"));
  vi.stubEnv("INWARD_MODELS", join(folder, "models"));
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
  base = join(folder, "base.gguf");
  const { sha256 } = await writeTinyModel(base, { seed: 11, normSpread: 0.2 });
  expected = JSON.parse(await readFile(join(FIXTURE, "expected.json"), "utf8"));
  // The reference was computed with these very weights.
  expect(sha256).toBe(expected.base);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await rm(folder, { recursive: true, force: true });
});

const QUESTION: AskRequest = {
  messages: [
    { role: "system", content: "" },
    { role: "user", content: "cat dog" },
  ],
  maxTokens: 1,
  temperature: 0,
  topTokens: 1000,
};

/** Largest difference over the whole vocabulary. */
async function furthest(model: LanguageModel, wanted: readonly number[]): Promise<number> {
  const [reply] = await model.ask([QUESTION]);
  const { tokenIds = [], logprobs = [] } = reply?.first ?? {};
  expect(tokenIds).toHaveLength(wanted.length);
  return Math.max(...tokenIds.map((id, at) => Math.abs((logprobs[at] as number) - (wanted[id] as number))));
}

const of = (variant: string) => expected.logprobs[variant] as number[];
const ask = (...more: string[]) =>
  printed(askCommand().exitOverride(), "cat dog", "--model", base, "--device", "cpu", "--max-tokens", "1", ...more);

test.each([
  ["native", "own"],
  ["native", "llama.cpp"],
] as const)("every variant, under %s with %s", async (engine, forward) => {
  if (!ENGINES.includes(engine)) return;
  const settings = { ...DEFAULT_ENGINE, engine, forward, device: "cpu", threads: 1, sequences: 1 } as const;
  const model = await startEngine(base, settings);
  try {
    const { tokenIds } = await model.render(QUESTION.messages);
    expect(tokenIds).toEqual(expected.prompt);
    expect(await furthest(model, of("base"))).toBeLessThan(TOLERANCE);
    for (const variant of VARIANTS) {
      const { path } = await findAdapter(join(FIXTURE, variant), base);
      const worn = await (model.withAdapter as NonNullable<typeof model.withAdapter>)({ path });
      expect(await furthest(worn, of(variant)), variant).toBeLessThan(TOLERANCE);
      // Without the adapter it would be another answer by far.
      expect(await furthest(worn, of("base")), variant).toBeGreaterThan(0.1);
    }
  } finally {
    await model.dispose();
  }
});

test.each(["patterns_rslora", "layers"])("%s under node-llama-cpp", async (variant) => {
  const { path } = await findAdapter(join(FIXTURE, variant), base);
  const settings = { ...DEFAULT_ENGINE, engine: "node-llama-cpp", device: "cpu", threads: 1, sequences: 1 } as const;
  const model = await startEngine(base, settings, { adapter: { path } });
  try {
    // It keeps keys and values in half precision: 2e-3 is what the base differs by, too.
    expect(await furthest(model, of(variant))).toBeLessThan(1e-2);
  } finally {
    await model.dispose();
  }
});

test("every variant that is there was tried", async () => {
  const there = (await readdir(FIXTURE, { withFileTypes: true })).filter((one) => one.isDirectory());
  expect(there.map(({ name }) => name).sort()).toEqual([...VARIANTS].sort());
});

test("ask takes the folder and the .safetensors in it, says what was converted, and converts once", async () => {
  const path = join(folder, "rslora");
  await cp(join(FIXTURE, "rslora"), path, { recursive: true });
  const asked = JSON.parse(await ask("--json", "--adapter", path));
  expect(asked.adapter).toEqual({
    path,
    scale: 1,
    base: "no_card",
    sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    convertedFrom: {
      config: await sha256OfFile(join(path, "adapter_config.json")),
      weights: await sha256OfFile(join(path, "adapter_model.safetensors")),
    },
  });
  const { first } = asked.reply;
  expect(first.logprobs[0]).toBeCloseTo(of("rslora")[first.tokenIds[0]] as number, 4);
  const copies = () => readdir(join(folder, "models", "adapters"));
  const before = await copies();
  const again = JSON.parse(await ask("--json", "--adapter", join(path, "adapter_model.safetensors")));
  expect(again.adapter).toEqual({ ...asked.adapter, path: join(path, "adapter_model.safetensors") });
  expect(again.reply).toEqual(asked.reply);
  expect(await copies()).toEqual(before);

  // Another configuration beside the same weights is another adapter.
  const config = join(path, "adapter_config.json");
  await writeFile(config, (await readFile(config, "utf8")).replace('"use_rslora": true', '"use_rslora": false'));
  const plain = JSON.parse(await ask("--json", "--adapter", path));
  expect(plain.adapter.sha256).not.toBe(asked.adapter.sha256);
  expect(plain.reply.first.logSumExp).not.toBe(first.logSumExp);
});

test("a copy that was spoilt is made again", async () => {
  const { path, sha256 } = await findAdapter(join(FIXTURE, "plain"), base);
  await writeFile(path, "spoilt");
  expect(await findAdapter(join(FIXTURE, "plain"), base)).toMatchObject({ path, sha256 });
  expect(await sha256OfFile(path)).toBe(sha256);
});
