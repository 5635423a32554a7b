/** States of a file of prompts: whole files, a line a row, the same bytes after a kill -9, and clear errors. */
import { spawn } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { readSafetensors } from "../../src/finetune/adapter/safetensors.js";
import { parsePrompts } from "../../src/run/prompt-lines.js";
import { captureStates, estimateStates, type StatesSettings } from "../../src/run/states-file.js";
import { start } from "../helpers/command-line.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const LIBRARY = fileURLToPath(new URL("../../dist/index.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "inward-states-"));
const model = join(folder, "tiny.gguf");
const file = join(folder, "prompts.jsonl");
const WORDS = "river stone cloud ember falcon garden harbor island jacket kettle lantern meadow".split(" ");
const ENGINE = { device: "cpu", threads: 1 } as const;
const SETTINGS: StatesSettings = {
  sites: "residual,head_values.1,attention_weights.0",
  positions: "all",
  maxTokens: 6,
  shardBytes: 100_000,
};
/** What a fault in native code would do to the capturing process, where a prompt has the word. */
const MORTAL = join(folder, "mortal.mjs");
const prompts = () => parsePrompts(readFileSync(file), file);
const capture = (out: string, settings: StatesSettings = SETTINGS) =>
  captureStates(prompts(), model, { ...settings, engine: ENGINE, out: join(folder, out) });
const bytesOf = (out: string) =>
  Object.fromEntries(
    readdirSync(join(folder, out))
      .sort()
      .map((name) => [name, readFileSync(join(folder, out, name)).toString("base64")]),
  );
const lines = (out: string, name: string) =>
  readFileSync(join(folder, out, name), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
const coded = (code: string, message = "") =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

beforeAll(async () => {
  await writeTinyModel(model, { seed: 5, normSpread: 0.1 });
  writeFileSync(
    MORTAL,
    `const on = process.on;
const isMortal = process.argv[1]?.endsWith("capture-worker.js");
const mortal = (listener) => (message) => {
  const asked = ["shard", "evaluate"].includes(message.call) ? JSON.stringify(message.args[0].requests) : "";
  if (asked.includes(process.env.MORTAL_WORD)) process.abort();
  return listener(message);
};
process.on = function (name, listener) {
  return on.call(this, name, isMortal && name === "message" ? mortal(listener) : listener);
};
`,
  );
  writeFileSync(
    file,
    WORDS.map((word, at) => `${JSON.stringify({ id: word, prompt: `${word} `.repeat(1 + at), at })}\n`).join(""),
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("a prompt that crashes the engine", () => {
  const settings: StatesSettings = { sites: "residual_after.1", positions: "last", shardBytes: 1400 };
  const crashing = async (word: string, out: string) => {
    const crashes: number[] = [];
    vi.stubEnv("NODE_OPTIONS", `--import=${MORTAL}`);
    vi.stubEnv("MORTAL_WORD", word);
    const options = { ...settings, engine: ENGINE, out: join(folder, out) };
    const onCrash = ({ attempt }: { readonly attempt: number }) => void crashes.push(attempt);
    const done = await captureStates(prompts(), model, { ...options, onCrash }).finally(() => vi.unstubAllEnvs());
    return { done, crashes };
  };

  test("is set aside with its reason; all others have the rows that they have without it", async () => {
    await capture("sound", settings);
    const { done, crashes } = await crashing("jacket", "one-crashes");
    // Twice with its file, then alone; once more before, if the file before it was still being evaluated and may have been the one.
    expect([
      [1, 2, 3],
      [1, 1, 2, 3],
    ]).toContainEqual(crashes);
    expect(done).toMatchObject({ setAside: ["jacket"], prompts: WORDS.length, rows: WORDS.length - 1 });
    const aside = lines("one-crashes", "prompts.jsonl").filter((line) => line.setAside);
    expect(aside).toEqual([expect.objectContaining({ prompt: "jacket", rows: 0, setAside: "engine_crashed" })]);
    const rowsOf = async (out: string) => {
      const found = new Map<string, number[]>();
      for (const { prompt, file: name, row } of lines(out, "index.jsonl")) {
        const tensor = (await readSafetensors(join(folder, out, name))).get("residual_after.1");
        found.set(prompt, [...(tensor?.values.subarray(64 * row, 64 * (row + 1)) ?? [])]);
      }
      return found;
    };
    const [sound, others] = [await rowsOf("sound"), await rowsOf("one-crashes")];
    sound.delete("jacket");
    expect(others).toEqual(sound);
    // The same again finds all of it there.
    expect((await crashing("jacket", "one-crashes")).done).toMatchObject({ kept: WORDS.length, setAside: ["jacket"] });
  });

  test("an engine that crashes on anything ends the work, and keeps what was whole", async () => {
    await expect(crashing("content", "all-crash")).rejects.toEqual(
      coded("ENGINE_CRASHED", "crashes on a plain question"),
    );
    expect(readdirSync(join(folder, "all-crash")).filter((name) => name.endsWith(".safetensors"))).toEqual([]);
  });
});

describe("a folder of states", () => {
  test("has a line a row, each in its file, and tensors of the stated shapes; the dry run said the bytes", async () => {
    const done = await capture("whole", { ...SETTINGS, maxTokens: 0 });
    const estimate = await estimateStates(prompts(), model, { ...SETTINGS, maxTokens: 0, engine: ENGINE });
    const index = lines("whole", "index.jsonl");
    expect(done).toMatchObject({ prompts: WORDS.length, kept: 0, rows: index.length, files: estimate.files });
    expect([done.rows, done.bytes]).toEqual([estimate.rows, estimate.bytes]);
    expect(done.files).toBeGreaterThan(2);
    const files = readdirSync(join(folder, "whole")).filter((name) => name.endsWith(".safetensors"));
    expect(files.reduce((sum, name) => sum + statSync(join(folder, "whole", name)).size, 0)).toBe(done.bytes);
    for (const name of files) {
      const rows = index.filter((line) => line.file === name);
      expect(rows.map(({ row }) => row)).toEqual(rows.map((_, at) => at));
      const tensors = await readSafetensors(join(folder, "whole", name));
      const keys = Math.max(...rows.map(({ position }) => position + 1));
      const shapes = Object.fromEntries([...tensors].map(([site, { shape }]) => [site, shape]));
      expect(shapes).toEqual({
        "residual_before.0": [rows.length, 64],
        "residual_after.0": [rows.length, 64],
        "residual_after.1": [rows.length, 64],
        "head_values.1": [rows.length, 4, 16],
        "attention_weights.0": [rows.length, 4, keys],
      });
      const weights = tensors.get("attention_weights.0")?.values as Float32Array;
      rows.forEach(({ position }, row) => {
        for (let head = 0; head < 4; head++) {
          const own = weights.subarray((row * 4 + head) * keys, (row * 4 + head + 1) * keys);
          expect(own.reduce((sum, one) => sum + one, 0)).toBeCloseTo(1, 5);
          expect(own.subarray(position + 1).every((one) => one === 0)).toBe(true);
        }
      });
    }
    const [first] = lines("whole", "prompts.jsonl");
    expect(first).toMatchObject({ prompt: "river", kind: "prompt", meta: { at: 0 } });
    expect(first.reply).toBeUndefined();
  });

  test("one row by another way: half precision, one file, another batch, chosen tokens", async () => {
    await capture("all", { ...SETTINGS, maxTokens: 0, sites: "residual", shardBytes: 2 ** 24 });
    await capture("some", { positions: "last,0", dtype: "f16", sites: "residual_after.-1" });
    const all = (await readSafetensors(join(folder, "all/states-00001.safetensors"))).get("residual_after.1");
    const some = (await readSafetensors(join(folder, "some/states-00001.safetensors"))).get("residual_after.1");
    const whole = lines("all", "index.jsonl");
    lines("some", "index.jsonl").forEach(({ prompt, position }, row) => {
      const at = whole.findIndex((line) => line.prompt === prompt && line.position === position);
      for (let number = 0; number < 64; number++) {
        const [half, full] = [some?.values[row * 64 + number], all?.values[at * 64 + number]] as [number, number];
        expect(Math.abs(half - full)).toBeLessThanOrEqual(Math.abs(full) * 2 ** -11 + 2 ** -25);
      }
    });
    expect(lines("some", "index.jsonl")).toHaveLength(2 * WORDS.length);
  });

  test("replies: a row for every token that the model read, and the reply beside it", async () => {
    await capture("answered");
    const index = lines("answered", "index.jsonl");
    for (const { prompt, reply, promptTokens, rows } of lines("answered", "prompts.jsonl")) {
      const own = index.filter((line) => line.prompt === prompt);
      expect(own).toHaveLength(rows);
      const replied = own.filter(({ part }) => part === "reply");
      // Nothing follows the last one: no model reads it.
      expect(replied.map(({ tokenId }) => tokenId)).toEqual(reply.tokenIds.slice(0, -1));
      expect(replied.every(({ position }, at) => position === promptTokens + at)).toBe(true);
    }
    expect(index.some(({ part }) => part === "reply")).toBe(true);
  });

  test("killed, cut off and gone on with: the same bytes", async () => {
    const script = `const { captureStates, parsePrompts } = await import(${JSON.stringify(LIBRARY)});
      const { readFileSync } = await import("node:fs");
      const prompts = parsePrompts(readFileSync(${JSON.stringify(file)}), ${JSON.stringify(file)});
      await captureStates(prompts, ${JSON.stringify(model)}, ${JSON.stringify({ ...SETTINGS, engine: ENGINE, out: join(folder, "killed") })});`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "ignore" });
    const closed = new Promise((resolve) => child.on("close", resolve));
    while (!existsSync(join(folder, "killed/states-00002.safetensors")) && child.exitCode === null) await setTimeout(2);
    child.kill("SIGKILL");
    await closed;
    expect(await capture("killed")).toMatchObject({ prompts: WORDS.length });
    expect(bytesOf("killed")).toEqual(bytesOf("answered"));
    // At every stage that a kill can leave: a file without lines, lines without the manifest's word, half a line.
    const out = join(folder, "killed");
    const manifest = JSON.parse(readFileSync(join(out, "states.json"), "utf8"));
    const kept = manifest.files.slice(0, 1);
    writeFileSync(
      join(out, "states.json"),
      `${JSON.stringify({ ...manifest, seal: undefined, files: kept }, null, 2)}\n`,
    );
    truncateSync(join(out, "index.jsonl"), kept[0].indexBytes + 17);
    rmSync(join(out, "states-00003.safetensors"));
    writeFileSync(join(out, "states-00002.safetensors.partial-1"), "half");
    expect(await capture("killed")).toMatchObject({ kept: kept[0].prompts });
    expect(bytesOf("killed")).toEqual(bytesOf("answered"));
  });

  test("of a model that is written over while its states are taken no row is kept", async () => {
    const own = join(folder, "own.gguf");
    copyFileSync(model, own);
    await writeTinyModel(join(folder, "other.gguf"), { seed: 6, normSpread: 0.1 });
    const settings = { ...SETTINGS, engine: ENGINE, out: join(folder, "struck") };
    let struck = false;
    const onProgress = () => {
      if (!struck) copyFileSync(join(folder, "other.gguf"), own);
      struck = true;
    };
    await expect(captureStates(prompts(), own, { ...settings, onProgress })).rejects.toEqual(coded("MODEL_CHECKSUM"));
    expect(readdirSync(join(folder, "struck")).filter((name) => name.endsWith(".jsonl"))).toEqual([]);
    copyFileSync(model, own);
    await captureStates(prompts(), own, settings);
    await captureStates(prompts(), own, { ...settings, out: join(folder, "undisturbed") });
    expect(bytesOf("struck")).toEqual(bytesOf("undisturbed"));
  });

  test("what cannot be is refused with its code, and leaves nothing half-written", async () => {
    await expect(capture("other", { sites: "residual_afte.1" })).rejects.toEqual(
      coded("PROBE_SITE", "did you mean residual_after"),
    );
    await expect(capture("other", { sites: "mlp_output.7" })).rejects.toEqual(coded("PROBE_SITE", "layers 0 to 1"));
    await expect(capture("other", { positions: "40" })).rejects.toEqual(coded("USAGE", '"river" has \\d+ tokens'));
    await expect(capture("other", { positions: "reply" })).rejects.toEqual(coded("USAGE", "--max-tokens"));
    await expect(capture("other", { positions: "middle" })).rejects.toEqual(coded("USAGE", "middle"));
    await expect(capture("answered", { ...SETTINGS, sites: "mlp_output" })).rejects.toEqual(
      coded("ANSWERS_OTHER", 'settings.sites was .*, now it is "mlp_output"'),
    );
    truncateSync(join(folder, "answered/states-00001.safetensors"), 100);
    await expect(capture("answered")).rejects.toEqual(coded("STORE_CORRUPT", "has 100 bytes"));
    mkdirSync(join(folder, "foreign"));
    writeFileSync(join(folder, "foreign/index.jsonl"), "{}\n");
    await expect(capture("foreign")).rejects.toEqual(coded("ANSWERS_OTHER", "no states.json"));
  });

  test("a full disk is said, and what was finished stays", async () => {
    const args = ["states", "--model", model, "--file", file, "--out", join(folder, "full"), "--json"];
    const { finished } = start([...args, "--positions", "all"], { fileBytes: 64 * 1024 });
    const { code, stdout } = await finished;
    expect([code, JSON.parse(stdout)]).toEqual([1, { error: expect.objectContaining({ code: "STORE_DISK_FULL" }) }]);
    expect(readdirSync(join(folder, "full")).sort()).toEqual(["states.json"]);
  });
});
