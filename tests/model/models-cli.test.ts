// `inward models` as a user meets it: what is printed, and the exit code.
import type { Command } from "commander";
import { copyFileSync, existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { modelsCommand } from "../../src/cli/models.js";
import { verifyCommand } from "../../src/cli/verify.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;
let tiny: { path: string; sha256: string };

beforeEach(async () => {
  const root = mkdtempSync(join(tmpdir(), "inward-models-cli-"));
  folder = join(root, "models");
  vi.stubEnv("INWARD_MODELS", folder);
  vi.stubEnv("HF_HUB_CACHE", join(root, "hub"));
  tiny = await writeTinyModel(join(root, "tiny.gguf"), { encoding: "Q8_0" });
});

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

async function printedBy(command: Command, words: readonly string[]): Promise<string> {
  const pieces: string[] = [];
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
  const stdout = vi.spyOn(process.stdout, "write").mockImplementation((text) => pieces.push(String(text)) > 0);
  try {
    await command.exitOverride().parseAsync(words, { from: "user" });
  } finally {
    stdout.mockRestore();
  }
  return pieces.join("");
}

const inwardModels = (...words: string[]) => printedBy(modelsCommand(), words);
const verifyModel = (...words: string[]) => printedBy(verifyCommand(), ["model", ...words]);
const json = async (...words: string[]) => JSON.parse(await inwardModels(...words, "--json"));

describe("inward models", () => {
  it("list says what is here and how to get what is not", async () => {
    const text = await inwardModels("list");
    expect(text).toMatch(/smollm2-135m-instruct \(default\)/);
    expect(text).toMatch(/not here; get it: npx inward models pull llama-3\.3-70b-instruct/);
    expect(text).toContain(folder);
  });

  it("pull --encoding makes the copy; list, info and verify model know it", async () => {
    const pulled = await json("pull", tiny.path, "--encoding", "f32");
    expect(pulled).toMatchObject({ encoding: "F32", reencodedFrom: { sha256: tiny.sha256, encoding: "Q8_0" } });
    const { models } = await json("list");
    expect(models.at(-1).files).toMatchObject([
      { path: pulled.path, checksum: "verified", expectedSha256: pulled.sha256 },
    ]);
    expect((await json("info", tiny.path)).gguf).toMatchObject({ architecture: "llama", encoding: "Q8_0" });
    expect(JSON.parse(await verifyModel("--json")).files).toMatchObject([{ ok: true, sha256: pulled.sha256 }]);
    expect(process.exitCode).toBeUndefined();
  });

  it("verify model finds a wrong file, sets it aside and ends with 4", async () => {
    const { path } = await json("pull", tiny.path, "--encoding", "f32");
    copyFileSync(tiny.path, path);
    const { files } = JSON.parse(await verifyModel("--json"));
    expect(files).toMatchObject([{ ok: false, error: { code: "MODEL_CHECKSUM" } }]);
    expect(existsSync(path)).toBe(false);
    expect(process.exitCode).toBe(4);
  });

  it("verify model of a model that is not here, and info of a file that is no model, are errors", async () => {
    await expect(verifyModel("llama-3.1-8b-instruct")).rejects.toMatchObject({ code: "MODEL_NOT_FOUND" });
    writeFileSync(tiny.path, "no model");
    await expect(inwardModels("info", tiny.path)).rejects.toMatchObject({ code: "MODEL_NOT_GGUF" });
    await expect(inwardModels("info", "nothing")).rejects.toMatchObject({ code: "MODEL_NOT_FOUND" });
  });

  it("verify, as it was called, says what it is called now", async () => {
    const command = modelsCommand();
    let said = "";
    command.exitOverride().configureOutput({ writeErr: (text) => (said += text) });
    await expect(command.parseAsync(["verify"], { from: "user" })).rejects.toMatchObject({ exitCode: 1 });
    expect(said).toContain("npx inward verify model");
  });

  it("an encoding that does not exist is a usage error", async () => {
    const command = modelsCommand();
    for (const one of [command, ...command.commands]) one.exitOverride().configureOutput({ writeErr: () => undefined });
    await expect(command.parseAsync(["pull", "x", "--encoding", "q2"], { from: "user" })).rejects.toMatchObject({
      code: "commander.invalidArgument",
    });
  });
});
