/** `inward models reencode` as a user meets it. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { modelsCommand } from "../../src/cli/models.js";
import { sha256OfFile } from "../../src/model/model-file.js";
import { reencodeModel } from "../../src/model/reencode-model.js";
import { resolveModel } from "../../src/model/resolve-model.js";
import { printed } from "../helpers/printed.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const root = mkdtempSync(join(tmpdir(), "inward-reencode-"));
const folder = join(root, "models");
const source = join(root, "tiny.gguf");

beforeAll(async () => {
  vi.stubEnv("INWARD_MODELS", folder);
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
  await writeTinyModel(source, { encoding: "Q4_1" });
});
afterAll(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

const reencode = (...args: string[]) => printed(modelsCommand().exitOverride(), "reencode", source, ...args);

test("--out: path, checksum, size, time, who made it of what", async () => {
  const out = join(root, "tiny.q8_0.gguf");
  const made = JSON.parse(await reencode("--to", "q8_0", "--out", out, "--json"));
  expect(made).toMatchObject({
    path: out,
    sha256: await sha256OfFile(out),
    bytes: readFileSync(out).length,
    by: expect.stringMatching(/^llama\.cpp v/),
    reencodedFrom: { path: source, sha256: await sha256OfFile(source), encoding: "Q4_1" },
  });
  expect(Object.keys(made.weights)).toEqual(["Q8_0", "F32"]);
  expect(made.seconds).toBeGreaterThan(0);
  const text = await reencode("--to", "q4_0", "--out", join(root, "tiny.q4_0.gguf"));
  expect(text).toMatch(/tiny\.q4_0\.gguf\n {2}sha256 [0-9a-f]{64} · \d+ bytes · \d+\.\d s\n {2}re-encoded from Q4_1/);
  expect(text).toMatch(/weights: [\d.]+ % Q4_0, /);
});

test("without it an F32 goes where a study finds it", async () => {
  const made = JSON.parse(await reencode("--to", "f32", "--json"));
  const before = statSync(made.path).mtimeMs;
  const asked = await resolveModel(source, { encoding: "f32" });
  expect(asked).toMatchObject({ path: made.path, sha256: made.sha256, bytes: made.bytes });
  expect(statSync(made.path).mtimeMs).toBe(before);
});

test("writes over nothing, and says what it cannot do before it does anything", async () => {
  const taken = join(root, "tiny.q8_0.gguf");
  const sha256 = await sha256OfFile(taken);
  for (const [args, message] of [
    [["--to", "f16", "--out", taken], /is there already/],
    [["--to", "f32"], /is there already/],
    [["--to", "q8_0"], /needs --out/],
  ] as const) {
    await expect(reencode(...args)).rejects.toMatchObject({
      code: "USAGE",
      message: expect.stringMatching(message),
    });
  }
  expect(await sha256OfFile(taken)).toBe(sha256);
  await expect(reencode("--to", "f16", "--out", join(root, "no", "where.gguf"))).rejects.toMatchObject({
    code: "STORE_UNWRITABLE",
  });
  expect(existsSync(join(root, "no"))).toBe(false);
});

test("without the addon: F16 and F32 by inward itself, the same bytes; nothing else", async () => {
  const options = { buildFolder: join(root, "no-build") };
  const withAddon = await reencodeModel(source, { to: "f16", out: join(root, "with.gguf") });
  const without = await reencodeModel(source, { ...options, to: "f16", out: join(root, "without.gguf") });
  expect(without).toMatchObject({
    sha256: withAddon.sha256,
    by: "inward",
    reason: expect.stringContaining("not built"),
  });
  const before = readdirSync(root);
  await expect(reencodeModel(source, { ...options, to: "q8_0", out: join(root, "never.gguf") })).rejects.toMatchObject({
    code: "TRAIN_ADDON",
    hint: expect.stringContaining("build-native"),
  });
  expect(readdirSync(root)).toEqual(before);
});
