/** Lenses by the addon's products in their own process: those of double precision, of each architecture; maps that are kept. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OWN_ARCHITECTURES } from "../../src/gguf/own-forward.js";
import { type LensProcess, startLensProcess } from "../../src/probe/lens-process.js";
import { lensDivergences, readLens, Unembedding } from "../../src/probe/lens-readings.js";
import { TUNED_LENS_SETTINGS, tuneLens } from "../../src/probe/lens-tuned.js";
import { normal } from "../helpers/normal.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-lens-process-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const WIDTH = 64;
const TARGETS = [
  { name: "one", tokenIds: [40] },
  { name: "three", tokenIds: [41, 42, 43] },
];
const draw = normal(5);
const states = (rows: number) => ({ values: Float32Array.from({ length: rows * WIDTH }, draw), width: WIDTH });
/** Sums of 64 products in single precision beside the same in double: 64 half-units of the logits' size, which is a few. */
const ROUNDING = 2e-5;

describe("against double precision", () => {
  let lenses: LensProcess;
  beforeAll(() => {
    lenses = startLensProcess();
  });
  afterAll(() => lenses.end());

  test.each(OWN_ARCHITECTURES)("%s: readings and divergences", async (architecture) => {
    const path = join(folder, `${architecture}.gguf`);
    await writeTinyModel(path, { architecture, seed: 3, ...(architecture === "qwen2" ? { outputBias: true } : {}) });
    const exact = await Unembedding.open(path);
    const { width, vocabulary } = await lenses.remote.open(path);
    expect({ width, vocabulary }).toEqual({ width: exact.width, vocabulary: exact.vocabulary });
    const [some, ends] = [states(9), states(9)];
    const wanted = await readLens(exact, some, TARGETS);
    const found = await lenses.remote.read(some, TARGETS);
    for (const [row, reading] of found.entries()) {
      const same = wanted[row] as typeof reading;
      expect(reading.topToken).toBe(same.topToken);
      expect(Math.abs(reading.entropyNats - same.entropyNats)).toBeLessThan(ROUNDING);
      for (const [at, { logprob, rank, tied }] of reading.targets.entries()) {
        expect({ rank, tied }).toEqual({ rank: same.targets[at]?.rank, tied: same.targets[at]?.tied });
        expect(Math.abs(logprob - (same.targets[at]?.logprob as number))).toBeLessThan(ROUNDING);
      }
    }
    const divergences = await lensDivergences(exact, ends, some);
    for (const [row, nats] of (await lenses.remote.divergences(ends, some)).entries())
      expect(Math.abs(nats - (divergences[row] as number))).toBeLessThan(ROUNDING);
    await exact.close();
  });
});

describe("maps", () => {
  const path = join(folder, "maps.gguf");
  let [lenses, exact]: [LensProcess, Unembedding] = [undefined as never, undefined as never];
  beforeAll(async () => {
    await writeTinyModel(path, { seed: 5 });
    lenses = startLensProcess();
    exact = await Unembedding.open(path);
    await lenses.remote.open(path);
  });
  afterAll(async () => {
    await lenses.end();
    await exact.close();
  });

  test("a tuned lens is found as here, and read through", async () => {
    const [some, ends] = [states(60), states(60)];
    const about = Array.from({ length: 60 }, (_, row) => {
      return { string: `s${row >> 1}`, split: row % 4 < 2 ? ("train" as const) : ("held_out" as const) };
    });
    const here = await tuneLens(exact, some, ends, about);
    const there = await lenses.remote.tune("mine", some, ends, about, TUNED_LENS_SETTINGS);
    expect(there.ridge).toBe(here.lens.ridge);
    if (!there.heldOut.ok || !here.heldOut.ok) throw new Error("nothing was held out");
    const [one, other] = [there.heldOut.tunedNats, here.heldOut.tunedNats];
    expect(one.ok && other.ok && Math.abs(one.value - other.value)).toBeLessThan(ROUNDING);
    const wanted = await readLens(exact, here.lens.apply(some), TARGETS);
    const found = await lenses.remote.read(some, TARGETS, "mine");
    for (const [row, { targets }] of found.entries())
      expect(Math.abs((targets[1]?.logprob as number) - (wanted[row]?.targets[1]?.logprob as number))).toBeLessThan(
        ROUNDING,
      );
  });

  test("an affine map is applied; one that changes nothing is the logit lens to the bit", async () => {
    const some = states(5);
    await lenses.remote.take("nothing", { width: WIDTH, weights: new Float32Array(WIDTH * WIDTH), adds: true });
    expect(await lenses.remote.read(some, TARGETS, "nothing")).toEqual(await lenses.remote.read(some, TARGETS));
    const unit = Float32Array.from({ length: WIDTH * WIDTH }, (_, at) => Number(at % (WIDTH + 1) === 0));
    await lenses.remote.take("unit", { width: WIDTH, weights: unit, adds: false });
    expect(await lenses.remote.read(some, TARGETS, "unit")).toEqual(await lenses.remote.read(some, TARGETS));
    const [weights, bias] = [states(WIDTH).values, states(1).values];
    await lenses.remote.take("drawn", { width: WIDTH, weights, bias, adds: true });
    const mapped = Float64Array.from(some.values, (value, at) => {
      const [row, to] = [Math.floor(at / WIDTH), at % WIDTH];
      let sum = value + (bias[to] as number);
      for (let k = 0; k < WIDTH; k++)
        sum += (weights[to * WIDTH + k] as number) * (some.values[row * WIDTH + k] as number);
      return sum;
    });
    const wanted = await readLens(exact, { values: mapped, width: WIDTH }, TARGETS);
    const found = await lenses.remote.read(some, TARGETS, "drawn");
    for (const [row, { entropyNats }] of found.entries())
      expect(Math.abs(entropyNats - (wanted[row]?.entropyNats as number))).toBeLessThan(ROUNDING);
    await expect(lenses.remote.take("narrow", { width: 32, weights, adds: true })).rejects.toThrow(/weights/);
  });

  test("what it has not is refused", async () => {
    await expect(lenses.remote.read(states(1), TARGETS, "none")).rejects.toThrow(/has no lens none/);
    await lenses.remote.forget();
    await expect(lenses.remote.read(states(1), TARGETS, "mine")).rejects.toThrow(/has no lens mine/);
  });
});
