/** tokenizer.json as it is written for transformers.js, with real vocabularies: its library's tokens are ours, text by text. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { inspectGguf } from "../../src/gguf/inspect-gguf.js";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { openTokenizer, verifyModelFile } from "../../src/model/engines/start-engine.js";
import { readDecoder } from "../../src/onnx/decoder.js";
import { hasOnnxPackages } from "../../src/onnx/onnx-packages.js";
import { tokenizerFiles } from "../../src/onnx/tokenizer-files.js";
import { defaultModelPath } from "../helpers/default-model.js";
import { writeZooModel, ZOO, zooPackage } from "../helpers/zoo.js";

const folder = mkdtempSync(join(tmpdir(), "inward-onnx-tokenizer-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What `verify model --tokenizer` finds of a model beside the files that are written of it, by check. */
async function checksOf(path: string): Promise<Map<string, { verdict: string; found: string }>> {
  const tokenizer = await openTokenizer(path);
  try {
    const [{ chatTemplate: template }, endIds] = [await inspectGguf(path), await tokenizer.endIds()];
    const file = await readGguf(path);
    const there = mkdtempSync(join(folder, "files-"));
    for (const [name, content] of Object.entries(tokenizerFiles(file, await readDecoder(file), { template, endIds }))) {
      writeFileSync(join(there, name), JSON.stringify(content));
    }
    const checks = await verifyModelFile(path, there);
    return new Map(checks.map(({ check, verdict, found }) => [check, { verdict, found }]));
  } finally {
    await tokenizer.dispose();
  }
}

function expectTheSame(checks: Map<string, { verdict: string; found: string }>, texts: number): void {
  for (const check of ["token texts", "tokens there", "template there", "prompts there"]) {
    expect([check, checks.get(check)?.verdict]).toEqual([check, "ok"]);
  }
  const [, same, of] =
    /^(\d+) of (\d+) texts have the same tokens$/.exec(checks.get("tokens there")?.found ?? "") ?? [];
  expect(same).toBe(of);
  expect(Number(of)).toBeGreaterThan(texts);
}

// Half a minute: run with the rest of the second engine, npm run test:onnx.
describe.skipIf(!hasOnnxPackages())("real vocabularies", () => {
  test.each(["Llama 3.1", "Qwen 2.5"])("%s", async (name) => {
    const zoo = ZOO[name] as (typeof ZOO)[string];
    const found = await zooPackage(zoo.package);
    if ("missing" in found) throw new Error(found.missing);
    const path = join(folder, `${name}.gguf`);
    await writeZooModel(path, found.folder, zoo);
    // Qwen's own file composes characters first (NFC), which llama.cpp does not: what is written here has no normalizer.
    expectTheSame(await checksOf(path), 550);
  });

  test("SmolLM2, the default model", async () => {
    expectTheSame(await checksOf(await defaultModelPath()), 550);
  });
});
