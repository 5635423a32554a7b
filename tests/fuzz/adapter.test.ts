/** Adapters, their cards and PEFT folders, changed at random: refused with a code, or what they say is what an engine then computes. */
import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { LoraAdapter } from "../../src/finetune/adapter/adapter.js";
import { loraPlace } from "../../src/finetune/adapter/projections.js";
import { readAdapterCard, writeAdapterCard } from "../../src/finetune/adapter/card.js";
import { findAdapter } from "../../src/finetune/adapter/found-adapter.js";
import { readAdapter } from "../../src/finetune/adapter/saved-adapter.js";
import { checkAdapter } from "../../src/model/engines/check-adapter.js";
import { startEngine } from "../../src/model/engines/start-engine.js";
import type { LanguageModel } from "../../src/model/language-model.js";
import { sha256OfFile } from "../../src/model/model-file.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import { exampleCard } from "../helpers/adapter-card.js";
import { ENGINES } from "../helpers/engines.js";
import { writeTinyAdapter } from "../helpers/tiny-adapter.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { changeBytes, changeStructure, changeText, type Dice, fuzz } from "./mutations.js";

const PEFT = fileURLToPath(new URL("../fixtures/peft-variants", import.meta.url));
const VARIANTS = ["rank_pattern", "patterns_rslora", "layers", "regex", "some_modules"];

let folder: string;
let base: string;
let model: LanguageModel | undefined;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-fuzz-adapter-"));
  vi.stubEnv("INWARD_MODELS", join(folder, "models"));
  base = join(folder, "base.gguf");
  await writeTinyModel(base, { seed: 11 });
  if (!ENGINES.includes("native")) return;
  model = await startEngine(base, { ...DEFAULT_ENGINE, engine: "native", device: "cpu", threads: 1, sequences: 1 });
});
afterAll(async () => {
  await model?.dispose();
  vi.unstubAllEnvs();
});

/** What was let pass does not take the engine's process with it, and its answer is a number or refused. */
async function requireAnswer(path: string): Promise<void> {
  const worn = await model?.withAdapter?.({ path });
  const messages = [{ role: "user" as const, content: "a" }];
  const [reply] = (await worn?.ask([{ messages, maxTokens: 1, temperature: 0, topTokens: 1 }])) ?? [];
  if (reply) expect(Number.isFinite(reply.first.logSumExp)).toBe(true);
}

function requireWhole({ rank, alpha, tensors }: LoraAdapter): void {
  expect(rank).toBeGreaterThan(0);
  expect(alpha > 0 && alpha < Number.POSITIVE_INFINITY).toBe(true);
  for (const [name, { dimensions, values }] of tensors) {
    expect(dimensions[loraPlace(name, "llama")?.half === "b" ? 0 : 1]).toBe(rank);
    expect(values.every(Number.isFinite)).toBe(true);
  }
}

/** Where the names, types and sizes are: bytes of the weights are any number. */
function changeHeader(bytes: Buffer, length: number, dice: Dice): Buffer {
  const header = changeBytes(bytes.subarray(0, length), dice);
  const changed = Buffer.concat([header, bytes.subarray(length)]);
  return dice.once(4) ? changed.subarray(0, dice.below(changed.length)) : changed;
}

test("a GGUF and its card", async () => {
  const good = join(folder, "good.gguf");
  await writeTinyAdapter(good, {
    rank: 3,
    weights: { "blk.0.attn_q.weight": [64, 64], "blk.1.ffn_down.weight": [128, 64] },
    metadata: { "adapter.lora.alpha": { type: "f32", value: 5 } },
  });
  const bytes = await readFile(good);
  const card = exampleCard();
  const settings = { ...card.settings, lora: { ...card.settings.lora, targets: ["q", "down"] as const } };
  await writeAdapterCard(good, {
    ...card,
    settings,
    adapter: { sha256: await sha256OfFile(good), bytes: bytes.length },
    base: { ...card.base, sha256: await sha256OfFile(base) },
  });
  const cardText = await readFile(join(folder, "good.card.json"), "utf8");
  const tally = await fuzz(
    "adapter",
    (dice, at) => {
      const path = join(folder, `a${at}.gguf`);
      const ofCard = dice.once(3);
      const gguf = ofCard ? bytes : changeHeader(bytes, Math.min(bytes.length, 700), dice);
      const said = !ofCard
        ? undefined
        : dice.once(2)
          ? changeText(cardText, dice)
          : JSON.stringify(changeStructure(JSON.parse(cardText), dice));
      return {
        input: () => JSON.stringify({ path, card: said }),
        result: (async () => {
          await writeFile(path, gguf);
          if (said !== undefined) await writeFile(join(folder, `a${at}.card.json`), said);
          const found = await findAdapter(path, base);
          await checkAdapter(path, base);
          return { found, adapter: await readAdapter(path) };
        })(),
      };
    },
    async ({ found, adapter }) => {
      requireWhole(adapter);
      if (found.card) {
        const { settings, adapter: file } = found.card;
        expect(file).toEqual({ sha256: found.sha256, bytes: bytes.length });
        expect(settings.lora).toMatchObject({ rank: adapter.rank, alpha: adapter.alpha });
        expect(new Set(settings.lora.targets)).toEqual(new Set(["q", "down"]));
      }
      await requireAnswer(found.path);
    },
  );
  expect(tally.refused).toBeGreaterThan(tally.accepted / 4);
  expect(await readAdapterCard(good)).toBeDefined();
});

/** Fields that pairs of matrices cannot say. */
const ALWAYS_OFF = ["use_dora", "modules_to_save", "fan_in_fan_out", "layer_replication", "trainable_token_indices"];

test("a PEFT folder", async () => {
  const sources = await Promise.all(
    VARIANTS.map(async (name) => ({
      config: await readFile(join(PEFT, name, "adapter_config.json"), "utf8"),
      weights: await readFile(join(PEFT, name, "adapter_model.safetensors")),
    })),
  );
  const tally = await fuzz(
    "peft",
    (dice, at) => {
      const { config, weights } = dice.of(sources);
      const path = join(folder, `p${at}`);
      const kind = dice.below(5);
      const headerLength = 8 + Number(weights.readBigUInt64LE(0));
      const structure = () => {
        const header = JSON.parse(weights.subarray(8, headerLength).toString()) as unknown;
        const changed = Buffer.from(JSON.stringify(changeStructure(header, dice)));
        const length = Buffer.alloc(8);
        length.writeBigUInt64LE(BigInt(changed.length));
        return Buffer.concat([length, changed, weights.subarray(headerLength)]);
      };
      const said =
        kind === 0
          ? changeText(config, dice)
          : kind <= 2
            ? JSON.stringify(changeStructure(JSON.parse(config), dice))
            : config;
      const data = kind === 3 ? changeHeader(weights, headerLength, dice) : kind === 4 ? structure() : weights;
      return {
        input: () => JSON.stringify({ path, config: said }),
        result: (async () => {
          await mkdir(path);
          await writeFile(join(path, "adapter_config.json"), said);
          await writeFile(join(path, "adapter_model.safetensors"), data);
          const found = await findAdapter(path, base);
          await checkAdapter(found.path, base);
          return { found, adapter: await readAdapter(found.path) };
        })(),
      };
    },
    async ({ found, adapter }, input) => {
      requireWhole(adapter);
      const config = JSON.parse((JSON.parse(input) as { config: string }).config.replace(/^\ufeff/, ""));
      for (const field of ALWAYS_OFF)
        expect([undefined, null, false, 0].includes(config[field]) || Object.keys(config[field]).length === 0).toBe(
          true,
        );
      const scale = config.use_rslora ? config.lora_alpha / Math.sqrt(config.r) : config.lora_alpha / config.r;
      // The file keeps alpha in single precision.
      expect(Math.abs(adapter.alpha / adapter.rank / scale - 1)).toBeLessThan(1e-6);
      await requireAnswer(found.path);
    },
  );
  expect(tally.refused).toBeGreaterThan(tally.accepted / 4);
});
