/** Contrast vectors: a planted direction is found with its sign, and pairs that differ in nothing are not told apart. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { medianOf } from "../../src/base/median.js";
import { normalNumbers, seededRandom } from "../../src/base/random.js";
import { lengthOfVector, randomVector } from "../../src/base/vectors.js";
import type { StateShape } from "../../src/model/sites.js";
import { writeControlVector } from "../../src/probe/control-vector.js";
import { directionsAt, readDirections } from "../../src/probe/direction-file.js";
import { CONTRAST_SETTINGS, contrastOf, linkedPairs } from "../../src/probe/state-contrast.js";
import { parsePairs } from "../../src/run/contrast-vectors.js";
import { leadOverOthers } from "../../src/probe/written-effects.js";
import { type SteeredRow, steeringEffects } from "../../src/probe/steering.js";

const WIDTH = 24;
const SETTINGS = { ...CONTRAST_SETTINGS, flips: 199, bootstrapReplicates: 200 };
const normal = (name: string) => normalNumbers(seededRandom(name));

/** Noise on both sides, and `shift` along the first dimension on the positive one. */
function sides(pairs: number, shift: number, name: string) {
  const draw = normal(name);
  const side = (plus: number) => {
    const values = Float32Array.from({ length: pairs * WIDTH }, (_, at) => draw() + (at % WIDTH === 0 ? plus : 0));
    return { values, width: WIDTH };
  };
  return [side(shift), side(0)] as const;
}
const each = (pairs: number) => Array.from({ length: pairs }, (_, pair) => pair);

describe("a contrast", () => {
  test("is the mean difference, with its length and that of the states", () => {
    const positive = { values: [3, 0, 5, 0], width: 2 };
    const negative = { values: [0, 0, 0, 2], width: 2 };
    const { direction, norm, stateNorm, pairs } = contrastOf(positive, negative, each(2), SETTINGS);
    expect([...direction]).toEqual([4, -1]);
    expect(norm).toBeCloseTo(Math.sqrt(17), 12);
    // Lengths 3, 5, 0 and 2.
    expect(stateNorm).toBe(2.5);
    expect(pairs).toBe(2);
  });

  test("finds a planted direction and its sign, and tells held-out pairs apart", () => {
    const { direction, separation } = contrastOf(...sides(60, 3, "planted"), each(60), SETTINGS);
    const length = Math.hypot(...direction);
    expect((direction[0] as number) / length).toBeGreaterThan(0.9);
    expect(separation).toMatchObject({ ok: true, folds: 5, groups: 60, test: { ok: true, p: 1 / 200 } });
    if (!separation.ok || !separation.accuracy.ok) throw new Error("no separation");
    expect(separation.accuracy.value).toBeGreaterThan(0.9);
    expect(separation.shuffledAccuracy).toBeGreaterThan(0.4);
    expect(separation.shuffledAccuracy).toBeLessThan(0.6);
  });

  test("of pairs that differ in nothing reaches 5 % in about 5 % of 200 made-up files", () => {
    let reached = 0;
    for (let file = 0; file < 200; file++) {
      const { separation } = contrastOf(...sides(16, 0, `null ${file}`), each(16), {
        ...SETTINGS,
        flips: 99,
        bootstrapReplicates: 100,
      });
      if (separation.ok && separation.test.ok && separation.test.p <= 0.05) reached++;
    }
    // The 99.9 % point of a binomial of 200 draws at 5 % is 21; ties make the test a little shy.
    expect(reached).toBeLessThan(22);
  });

  test("keeps pairs that share a prompt on one side of the split", () => {
    expect(
      linkedPairs([
        ["a", "x"],
        ["b", "y"],
        ["c", "x"],
        ["d", "z"],
        ["c", "z"],
      ]),
    ).toEqual([0, 1, 0, 0, 0]);
    const [positive, negative] = sides(4, 1, "linked");
    expect(contrastOf(positive, negative, [0, 0, 0, 0], SETTINGS).separation).toEqual({
      ok: false,
      reason: "all pairs share prompts, so that none can be held out",
    });
  });

  test("refuses what is no pair", () => {
    const coded = (code: string, message: string) =>
      expect.objectContaining({ code, message: expect.stringContaining(message) });
    const of = (text: string) => () => parsePairs(Buffer.from(text), "pairs.jsonl");
    expect(of('{"positive":"a","negative":"a"}')).toThrow(coded("PROMPTS_INVALID", "both sides are the same prompt"));
    expect(of('{"positive":"a"}')).toThrow(coded("PROMPTS_INVALID", "negative"));
    expect(of('{"positive":"a","negative":"b","x":1}')).toThrow(coded("PROMPTS_INVALID", "line 1"));
    expect(of('{"id":1,"positive":"a","negative":"b"}\n{"id":"1","positive":"c","negative":"d"}')).toThrow(
      coded("PROMPTS_INVALID", "stands twice"),
    );
    expect(of("")).toThrow(coded("PROMPTS_INVALID", "holds no pairs"));
    expect(() => contrastOf({ values: [1, 2], width: 2 }, { values: [1, Number.NaN], width: 2 }, [0])).toThrow(
      coded("PROBE_INVALID", "NaN"),
    );
  });
});

test("a control vector's GGUF is read as directions, for the architecture that it names", async () => {
  const folder = mkdtempSync(join(tmpdir(), "inward-directions-"));
  const path = join(folder, "warm.gguf");
  const values = [1, -2, 0.5, 4].map((first) => Float32Array.of(first, 0.25, -3));
  const layers = new Map([1, 2, 5, 3].map((layer, at) => [layer, values[at] as Float32Array]));
  await writeControlVector(path, { width: 3, directions: layers, modelHint: "llama" });
  const directions = await readDirections(path);
  expect([...directions.vectors.keys()]).toEqual([1, 2, 3, 5].map((layer) => `residual_after.${layer}`));
  const shape: StateShape = { architecture: "llama", layers: 6, embedding: 3, headWidth: 3, heads: [1, 1, 1, 1, 1, 1] };
  const asked = { wanted: "residual_after.5", shape, sha256: "0".repeat(64), adopt: false };
  expect(directionsAt(directions, asked)).toEqual([{ site: { part: "residual_after", layer: 5 }, values: values[2] }]);
  // All layers at once, as llama.cpp has it, unless some are named; directions of other files are each one by itself.
  const layersOf = (wanted?: string) => directionsAt(directions, { ...asked, wanted }).map(({ site }) => site.layer);
  expect([layersOf(), layersOf("all"), layersOf("residual_after.5, residual_after.1")]).toEqual([
    [1, 2, 3, 5],
    [1, 2, 3, 5],
    [1, 5],
  ]);
  const { vectors } = directions;
  expect(() => directionsAt({ vectors }, { ...asked, wanted: undefined })).toThrow(/name one/);
  expect(directionsAt({ vectors }, { ...asked, wanted: "all" })).toHaveLength(4);
  const qwen = { ...asked, shape: { ...shape, architecture: "qwen2" } };
  const coded = (code: string) => expect.objectContaining({ code });
  expect(() => directionsAt(directions, qwen)).toThrow(coded("PROBE_INVALID"));
  expect(directionsAt(directions, { ...qwen, adopt: true })[0]?.values).toEqual(values[2]);
  expect(() => directionsAt(directions, { ...asked, wanted: "residual_after.4" })).toThrow(coded("PROBE_SITE"));
  truncateSync(path, 100);
  await expect(readDirections(path)).rejects.toMatchObject({ code: expect.stringMatching(/^MODEL_/) });
  writeFileSync(path, "GGU");
  await expect(readDirections(path)).rejects.toMatchObject({ code: "PROBE_INVALID" });
  await expect(readDirections(join(folder, "none"))).rejects.toMatchObject({ code: "PROBE_INVALID" });
  rmSync(folder, { recursive: true });
});

test("a length is right where squares leave the range of doubles", () => {
  expect([[], [0, 0], [3, -4], [3e300, 4e300], [3e-300, -4e-300], [5e-324]].map(lengthOfVector)).toEqual([
    ...[0, 0, 5, 5e300],
    // Divided by their greatest, which is rounded.
    expect.closeTo(5e-300, 310),
    5e-324,
  ]);
  expect(lengthOfVector([1, Number.NaN])).toBeNaN();
});

test("a median is of numbers, whatever their order; of none there is none", () => {
  expect([[3], [4, 1], [3, 10, -2], [10, 2, 9, 1]].map(medianOf)).toEqual([3, 2.5, 3, 5.5]);
  expect(() => medianOf([])).toThrow(expect.objectContaining({ code: "INTERNAL" }));
});

describe("steering's effects", () => {
  test("a random direction has the length that it is to have, and is another for each name", () => {
    const one = randomVector(300, 7, "a");
    expect(Math.hypot(...one)).toBeCloseTo(7, 4);
    expect([...randomVector(300, 7, "a")]).toEqual([...one]);
    expect([...randomVector(300, 7, "b")]).not.toEqual([...one]);
    expect(Math.abs(one.reduce((sum, value) => sum + value, 0) / 300)).toBeLessThan(0.1);
  });

  test("what the direction does is told beside what random ones do, by prompt", () => {
    const lead = { none: 0, vector: 3, random_1: 1, random_2: 2 };
    const rows = Array.from({ length: 12 }, (_, prompt) =>
      (["none", "vector", "random_1", "random_2"] as const).map(
        (arm): SteeredRow => ({
          id: `${prompt}`,
          arm,
          strength: arm === "none" ? 0 : 2,
          text: arm === "vector" || (arm === "random_1" && prompt < 6) ? "other" : "same",
          lead: lead[arm] + prompt / 100 + (arm === "vector" ? prompt / 10 : 0),
          behaviors: { first: prompt === 0 ? undefined : arm === "vector" ? "x" : "y" },
        }),
      ),
    ).flat();
    const [effect, ...more] = steeringEffects(rows, SETTINGS);
    expect(more).toEqual([]);
    expect(effect).toMatchObject({ strength: 2, prompts: 12 });
    expect(effect?.changed.vector).toMatchObject({ ok: true, value: 1 });
    expect(effect?.changed.random).toMatchObject({ ok: true, value: 0.25, n: 24, clusters: 12 });
    const beyond = effect?.lead?.beyond;
    expect(beyond?.ok && beyond.value).toBeCloseTo(3 + 0.55 - 1.5, 10);
    expect(effect?.lead?.adjusted).toMatchObject({ ok: true, p: 2 / 4096, of: 1 });
    expect(effect?.behaviors).toMatchObject([{ property: "first", vector: { value: 1, n: 11 }, random: { value: 0 } }]);
  });

  test("a lead is over all the other answers together", () => {
    const logs = [0.5, 0.2, 0.3].map(Math.log);
    expect(leadOverOthers(logs, 0)).toBeCloseTo(0, 12);
    expect(leadOverOthers([-1e4, -1.2e4, -1.3e4], 0)).toBeCloseTo(2000, 6);
  });
});
