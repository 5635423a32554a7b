/** Lists of prompts, the registry, and the memory of the model folder: refused, or what they say. */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import {
  recallSha256,
  recallWarnings,
  recordChecksum,
  recordedChecksums,
  rememberedSha256,
  rememberWarnings,
} from "../../src/model/model-file.js";
import { loadRegistry } from "../../src/model/registry.js";
import { parsePrompts, parseScoredLines } from "../../src/run/prompt-lines.js";
import { readFileSync } from "node:fs";
import { changeBytes, changeStructure, changeText, type Dice, fuzz } from "./mutations.js";

const folder = mkdtempSync(join(tmpdir(), "inward-fuzz-lists-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PROMPTS = [
  { id: "a", prompt: "Say “$&” 青.", note: { n: [1, 2.5] } },
  { id: 7, prompt: "Again.", system: "Be brief.", continuations: [" x", "y"] },
  { messages: [{ role: "user", content: "Go." }], continuations: ["z"] },
];
const NUMBERS = ["12345678901234567890", "-9007199254740993", "1e999", "-1e999", "1e-999", "0.1", "007", "NaN"];

function changedLines(rows: readonly unknown[], dice: Dice): Buffer {
  const text = rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  if (dice.once(4)) return changeBytes(Buffer.from(text), dice);
  if (dice.once(3)) return Buffer.from(text.replace(dice.of(["7", "1", "2.5"]), dice.of(NUMBERS)));
  if (dice.once(2)) return Buffer.from(changeText(text, dice));
  const changed = changeStructure(rows, dice);
  return Buffer.from(Array.isArray(changed) ? changed.map((row) => `${JSON.stringify(row)}\n`).join("") : "");
}

test("prompts", async () => {
  const tally = await fuzz(
    "prompts",
    (dice) => {
      const scored = dice.once(2);
      const bytes = changedLines(scored ? PROMPTS.slice(1) : PROMPTS.slice(0, 1), dice);
      return {
        input: () => bytes.toString(),
        result: () => (scored ? parseScoredLines(bytes, "p.jsonl") : parsePrompts(bytes, "p.jsonl")),
      };
    },
    (prompts, input) => {
      const lines = input
        .replace(/^\ufeff/, "")
        .split(/\r?\n/)
        .filter((line) => line.trim() !== "");
      expect(prompts).toHaveLength(lines.length);
      for (const [at, { id, messages, meta, ...rest }] of prompts.entries()) {
        const line = lines[at] as string;
        const said = JSON.parse(line) as Record<string, unknown>;
        const { id: ownId, prompt, system, messages: own, continuations, ...more } = said;
        if (ownId !== undefined) expect(id).toBe(String(ownId));
        if (prompt !== undefined) expect(messages.map(({ content }) => content)).toEqual([system ?? "", prompt]);
        else expect(messages.slice(-(own as unknown[]).length)).toEqual(own);
        expect(meta ?? {}).toEqual(more);
        expect("continuations" in rest ? rest.continuations : undefined).toEqual(continuations);
        // A number is kept as it was written, to the precision of a double.
        for (const [number] of line.replace(/"(?:[^"\\]|\\.)*"/g, "").matchAll(/-?\d[\d.eE+-]*/g)) {
          expect(Number.isFinite(Number(number))).toBe(true);
          if (/^-?\d+$/.test(number)) expect(BigInt(Number(number))).toBe(BigInt(number));
        }
      }
    },
  );
  expect(Math.min(tally.accepted, tally.refused)).toBeGreaterThan(20);
});

test("the registry", async () => {
  const text = readFileSync("models/registry.json", "utf8");
  const tally = await fuzz(
    "registry",
    (dice, at) => {
      const whole = JSON.parse(text) as { models: { name: string }[]; default: string };
      const models = whole.models.filter(({ name }) => name === whole.default || dice.once(8));
      const small = { ...whole, models };
      const said = dice.once(2)
        ? changeText(JSON.stringify(small), dice)
        : JSON.stringify(changeStructure(small, dice));
      const path = join(folder, `r${at}.json`);
      const result = () => {
        writeFileSync(path, said);
        return loadRegistry(path);
      };
      return { input: said, result };
    },
    (registry, input) => {
      expect(JSON.parse(JSON.stringify(registry))).toEqual(
        JSON.parse(
          Buffer.from(input)
            .toString()
            .replace(/^\ufeff/, ""),
        ),
      );
      for (const model of registry.models) {
        for (const source of model.sources) expect(JSON.stringify(source)).not.toMatch(/\.\.\/|\/\.\.|\\u0000/);
        if (model.sha256 !== null) expect(model.sha256).toMatch(/^[0-9a-f]{64}$/);
      }
    },
  );
  expect(tally.refused).toBeGreaterThan(20);
});

test("remembered checksums", async () => {
  const own = join(folder, "models");
  mkdirSync(own);
  const model = join(own, "a.gguf");
  writeFileSync(model, "weights");
  const sha256 = createHash("sha256").update("weights").digest("hex");
  await rememberedSha256(own, [model]);
  rememberWarnings(own, [model], "b1", ["w"]);
  recordChecksum(own, "a.gguf", { sha256, bytes: 7, origin: "here" });
  const files = ["verified.json", "checksums.json"].map((name) => ({
    name,
    text: readFileSync(join(own, name), "utf8"),
  }));
  await fuzz(
    "checksums",
    (dice) => {
      const { name, text } = dice.of(files);
      const kind = dice.below(4);
      const changed =
        kind === 0
          ? text.slice(0, dice.below(text.length))
          : kind === 1
            ? changeText(text, dice)
            : kind === 2
              ? text.replace(/[0-9a-f](?=[0-9a-f]{40})/, (digit) => (digit === "0" ? "1" : "0"))
              : JSON.stringify(changeStructure(JSON.parse(text), dice));
      const result = async () => {
        for (const { name: one, text: good } of files) writeFileSync(join(own, one), one === name ? changed : good);
        const recorded = recordedChecksums(own)["a.gguf"];
        const recalled = recallSha256(own, model);
        const warnings = recallWarnings(own, [model], "b1");
        return { recorded, recalled, warnings, hashed: await rememberedSha256(own, [model]) };
      };
      return { input: () => `${name} ${changed}`, result: result() };
    },
    ({ recorded, recalled, warnings, hashed }, input) => {
      // What is remembered may be lost, and is then found again; it may never be another.
      if (!input.startsWith("checksums.json")) {
        expect([undefined, sha256]).toContain(recalled);
        expect(hashed).toBe(sha256);
        expect(
          warnings === undefined || (Array.isArray(warnings) && warnings.every((one) => typeof one === "string")),
        ).toBe(true);
      }
      if (recorded !== undefined) expect(recorded.sha256).toMatch(/^[0-9a-f]{64}$/);
    },
  );
});
