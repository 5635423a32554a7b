/** Steering: a planted direction and its sign are found and turn replies over, random ones of the same length do not, and 0 changes no byte. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readDirections } from "../../src/probe/direction-file.js";
import { type PlantedModel, writePlantedModel } from "../../src/probe/planted-model.js";
import { PLANTED_PROPERTY_QUESTION, PLANTED_QUESTION } from "../../src/probe/planted-vocabulary.js";
import { hypotheticalVariant } from "../../src/properties/wordings.js";
import { makeContrast, parsePairs } from "../../src/run/contrast-vectors.js";
import { turns } from "../../src/run/open-model.js";
import { steer } from "../../src/run/steer-prompts.js";

const folder = mkdtempSync(join(tmpdir(), "inward-steering-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const ENGINE = { device: "cpu", threads: 1, cache: false } as const;
const path = (name: string) => join(folder, name);
const coded = (code: string, message: string) =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });

let planted: PlantedModel;
const wording = hypotheticalVariant("minimal").template;
const asked = (text: string) =>
  wording
    .replace("{prompt}", PLANTED_QUESTION.replace("{string}", text))
    .replace("{property}", PLANTED_PROPERTY_QUESTION);
beforeAll(async () => {
  planted = await writePlantedModel(path("A.gguf"), { mechanism: "A", items: 6, seed: 7 });
});
const having = (value: string) => planted.strings.filter((one) => one.value === value).map(({ text }) => asked(text));

test("the contrast of yes and no is the planted one, and turns yes and no over by its sign", async () => {
  const [yes, no] = [having("yes"), having("no")];
  const pairs = yes.map((positive, at) => ({ positive, negative: no[at % no.length] as string }));
  const file = path("pairs.jsonl");
  writeFileSync(file, pairs.map((pair) => `${JSON.stringify(pair)}\n`).join(""));
  const out = path("vector.safetensors");
  const made = await makeContrast(parsePairs(readFileSync(file), file), planted.path, {
    engine: ENGINE,
    out,
    sites: "residual_after.1-2",
  });
  const { vectors, card } = await readDirections(out);
  const direction = vectors.get("residual_after.2") as Float32Array;
  const [yesPlace, noPlace] = planted.truth.valueDirections.map((one) => one.findIndex((value) => value !== 0));
  // Each value is written three times as strongly as an answer.
  expect(direction[yesPlace as number]).toBeCloseTo(3, 1);
  expect(direction[noPlace as number]).toBeCloseTo(-3, 1);
  const separation = made.sites.find(({ site }) => site === "residual_after.2")?.separation;
  expect(separation).toMatchObject({ ok: true, accuracy: { ok: true, value: 1 }, test: { ok: true } });
  expect(card?.sites["residual_after.2"]?.norm).toBeCloseTo(Math.hypot(...direction), 4);
  expect(card).toMatchObject({ model: { sha256: planted.sha256 }, span: "last", pairs: { count: pairs.length } });

  const prompts = [...yes.slice(0, 4), ...no.slice(0, 4)].map((text, at) => ({
    id: `${at}`,
    messages: turns("", text),
  }));
  const steered = await steer(prompts, planted.path, {
    engine: ENGINE,
    out: path("steered.jsonl"),
    vector: out,
    site: "residual_after.2",
    strengths: [0, 2, -2],
    span: "last",
    randomSeeds: 2,
    maxTokens: 3,
    choices: ["yes", "no"],
  });
  const rows = readFileSync(path("steered.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const texts = (arm: string, strength: number) =>
    rows.filter((row) => row.arm === arm && row.strength === strength).map(({ text }) => text);
  expect(texts("none", 0)).toEqual(["yes", "yes", "yes", "yes", "no", "no", "no", "no"]);
  expect(new Set(texts("vector", 2))).toEqual(new Set(["yes"]));
  expect(new Set(texts("vector", -2))).toEqual(new Set(["no"]));
  // 0 times the direction is the same bytes: text, tokens, their logprobs, those of the choices.
  const numbers = ({ text, tokenIds, logprobs, choices, promptSha256 }: Record<string, unknown>) =>
    JSON.stringify({ text, tokenIds, logprobs, choices, promptSha256 });
  const of = (arm: string) => rows.filter((row) => row.arm === arm && row.strength === 0).map(numbers);
  expect(of("vector")).toEqual(of("none"));
  expect(of("random_1")).toEqual(of("none"));
  const [up, down, ...more] = steered.effects;
  expect(more).toEqual([]);
  expect(up).toMatchObject({ strength: 2, changed: { vector: { ok: true, value: 0.5 } } });
  for (const [effect, sign] of [
    [up, 1],
    [down, -1],
  ] as const) {
    const beyond = effect?.lead?.beyond;
    if (!beyond?.ok) throw new Error("no effect");
    expect(Math.min(sign * beyond.low, sign * beyond.high)).toBeGreaterThan(10);
    expect(effect?.lead?.adjusted).toMatchObject({ ok: true, p: (2 * 2) / 256 });
  }
  // The same call again has nothing left to ask.
  const before = readFileSync(path("steered.jsonl"));
  const again = await steer(prompts, planted.path, {
    ...{ engine: ENGINE, out: path("steered.jsonl"), vector: out, site: "residual_after.2", strengths: [0, 2, -2] },
    ...{ span: "last", randomSeeds: 2, maxTokens: 3, choices: ["yes", "no"] },
  });
  expect(again.kept).toBe(rows.length);
  expect(readFileSync(path("steered.jsonl"))).toEqual(before);

  const wrong = (change: object) =>
    steer(prompts.slice(0, 1), planted.path, {
      ...{ engine: ENGINE, out: path("wrong.jsonl"), vector: out, strengths: [1], site: "residual_after.2" },
      ...change,
    });
  await expect(wrong({ site: undefined })).rejects.toEqual(coded("PROBE_SITE", "name one"));
  await expect(wrong({ site: "residual_after.3" })).rejects.toEqual(
    coded("PROBE_SITE", "no direction of residual_after.3"),
  );
  await expect(wrong({ span: "strin" })).rejects.toEqual(coded("PROBE_INVALID", "is none of"));
  await expect(wrong({ span: "turn_4" })).rejects.toEqual(coded("PROBE_INVALID", "is not there"));
  await expect(wrong({ strengths: [1, 1] })).rejects.toEqual(coded("USAGE", "stands twice"));
  await expect(wrong({ choices: ["yes"] })).rejects.toEqual(coded("USAGE", "two or more"));
  await expect(wrong({ vector: planted.path })).rejects.toEqual(coded("PROBE_INVALID", "is no control vector"));
  const other = await writePlantedModel(path("B.gguf"), { mechanism: "B", items: 6, seed: 7 });
  await expect(
    steer(prompts, other.path, {
      engine: ENGINE,
      out: path("wrong.jsonl"),
      vector: out,
      strengths: [1],
      site: "residual_after.2",
    }),
  ).rejects.toEqual(coded("PROBE_INVALID", "another file"));
});
