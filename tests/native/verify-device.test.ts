/** `inward verify device` as a user meets it, with the processor as device; its Vulkan run is in docs/gpu.md. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { inward } from "../helpers/command-line.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;
let model: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "inward-verify-device-"));
  model = (await writeTinyModel(join(folder, "tiny.gguf"), { contextLength: 4096 })).path;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the processor computes what it computes: every check, a table, a file", async () => {
  const out = join(folder, "verify-device.json");
  const { code, stdout, stderr } = await inward(
    ["verify", "device", "--model", model, "--device", "cpu", "--threads", "1", "--questions", "6", "--out", out],
    { env: { INWARD_MODELS: join(folder, "models") } },
  );
  expect(stderr).not.toMatch(/INTERNAL|ENGINE_|TRAIN_/);
  const result = JSON.parse(readFileSync(out, "utf8"));
  expect(result.checks.filter(({ verdict }: { verdict: string }) => verdict === "mismatch")).toEqual([]);
  expect(code).toBe(0);
  expect(stdout).toContain("The device computes what the processor computes.");
  const named = (part: string) => result.checks.find(({ check }: { check: string }) => check.includes(part));
  // F32 weights: the same products, in ggml's kernels or a BLAS's.
  expect(named("exact: gradient of the worst tensor").value).toBeLessThan(2e-5);
  expect(named("exact: 10 times the same bits").found).toBe("1 different");
  expect(named("invariant: the same bits").verdict).toBe("ok");
  expect(result.environment.exact.NVIDIA_TF32_OVERRIDE).toBe("0");
}, 120_000);
