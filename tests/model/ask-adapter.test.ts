/** `inward ask --adapter`: what it prints, and that an adapter goes onto another base only by force. */
import { statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { askCommand } from "../../src/cli/ask.js";
import { readAdapterCard, writeAdapterCard } from "../../src/finetune/adapter/card.js";
import { sha256OfFile } from "../../src/model/model-file.js";
import { exampleCard } from "../helpers/adapter-card.js";
import { printed } from "../helpers/printed.js";
import { writeTinyAdapter } from "../helpers/tiny-adapter.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;
let base: string;
let baseSha256: string;
let adapter: string;
let adapterSha256: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-ask-adapter-"));
  vi.stubEnv("INWARD_MODELS", join(folder, "models"));
  base = join(folder, "tiny.gguf");
  baseSha256 = (await writeTinyModel(base, { seed: 3 })).sha256;
  adapter = join(folder, "tiny-predicts-tiny.gguf");
  // Of the rank and alpha that the example card states.
  await writeTinyAdapter(adapter, { rank: 3, metadata: { "adapter.lora.alpha": { type: "f32", value: 5 } } });
  adapterSha256 = await sha256OfFile(adapter);
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await rm(folder, { recursive: true, force: true });
});

const ask = (...more: string[]) =>
  printed(askCommand().exitOverride(), "cat dog", "--model", base, "--device", "cpu", "--max-tokens", "4", ...more);
const card = async (sha256: string) => {
  const { base: trainedOn } = exampleCard();
  await writeAdapterCard(
    adapter,
    exampleCard({ adapter: { sha256: adapterSha256, bytes: statSync(adapter).size }, base: { ...trainedOn, sha256 } }),
  );
};

test("the answer is the adapted model's, and the adapter is named in it", async () => {
  const alone = JSON.parse(await ask("--json"));
  expect(alone).not.toHaveProperty("adapter");
  const asked = JSON.parse(await ask("--json", "--adapter", adapter, "--adapter-scale", "0.5"));
  expect(asked.adapter).toEqual({ path: adapter, sha256: adapterSha256, scale: 0.5, base: "no_card" });
  expect(asked.reply.first.logSumExp).not.toBe(alone.reply.first.logSumExp);
  const scaledAway = JSON.parse(await ask("--json", "--adapter", adapter, "--adapter-scale", "0"));
  expect(scaledAway.reply).toEqual(alone.reply);
});

test("a card that names this base verifies it; one that names another refuses it, and forced, it says so", async () => {
  await card(baseSha256);
  expect(await ask("--adapter", adapter)).toContain(
    `--- adapter (sha256 ${adapterSha256.slice(0, 12)}…, scale 1, base verified)`,
  );
  await card("b".repeat(64));
  await expect(ask("--adapter", adapter)).rejects.toMatchObject({ code: "ADAPTER_BASE" });
  expect(JSON.parse(await ask("--json", "--adapter", adapter, "--force-adapter")).adapter.base).toBe("forced");
  expect((await readAdapterCard(adapter))?.forcedOnto).toEqual([{ sha256: baseSha256 }]);
});

test("a device is refused before it is hashed without end", async () => {
  await expect(ask("--adapter", "/dev/zero")).rejects.toMatchObject({ code: "ADAPTER_INVALID" });
});

test.each([
  ["a scale that is no number", ["--adapter-scale", "much"], "USAGE"],
  ["an adapter that is not there", [], "ADAPTER_NOT_FOUND"],
])("%s is %s", async (_, more, code) => {
  const path = more.length > 0 ? adapter : join(folder, "none.gguf");
  await expect(ask("--adapter", path, ...more)).rejects.toMatchObject({ code });
});
