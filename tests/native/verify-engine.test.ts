// `inward verify engine` as a user meets it, on a tiny model. What counts as a mismatch: tests/unit/compare-engines.test.ts.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { inward } from "../helpers/command-line.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

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
