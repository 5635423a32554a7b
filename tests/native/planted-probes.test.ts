/** Linear probes on planted models say of each what its own weights say. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTokenizer } from "../../src/model/engines/start-engine.js";
import { bagOfTokens, PROBE_SETTINGS, type ProbeExample, scoreProbe } from "../../src/probe/linear-probe-score.js";
import { type PlantedModel, writePlantedModel } from "../../src/probe/planted-model.js";
import { MECHANISMS } from "../../src/probe/planted-weights.js";
import { readReferenceModel } from "../helpers/reference/reference-model.js";
import { referenceResiduals } from "../helpers/reference/reference-pass.js";

const folder = mkdtempSync(join(tmpdir(), "inward-planted-probes-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ITEMS = 6;
const SETTINGS = { ...PROBE_SETTINGS, bootstrapReplicates: 400 };
/** Every third string; each answer and item is on both sides. */
const splitOf = (pair: number) => ((2 * pair + Math.floor(pair / ITEMS)) % 3 === 0 ? "held_out" : "train");

let ids: readonly (readonly number[])[];
const models = {} as Record<(typeof MECHANISMS)[number], PlantedModel>;
beforeAll(async () => {
  for (const mechanism of MECHANISMS) {
    models[mechanism] = await writePlantedModel(join(folder, `${mechanism}.gguf`), { mechanism, items: ITEMS });
  }
  const tokenizer = await openTokenizer(models.A.path);
  // As short as a prompt may be that asks for the property.
  ids = await tokenizer.tokenize(
    models.A.strings.map(({ text }) => [{ role: "user" as const, content: `${text} listed` }]),
  );
  await tokenizer.dispose();
});

/** The answer, given its property: what a probe finds beyond it. */
const examplesOf = ({ strings }: PlantedModel): ProbeExample[] =>
  strings.map(({ text, answer, value }, pair) => ({ string: text, split: splitOf(pair), label: answer, given: value }));

describe.each(MECHANISMS)("%s", (mechanism) => {
  test("beyond the property, the answer is readable where it is written, on strings that the probe has not seen", async () => {
    const model = await readReferenceModel(models[mechanism].path);
    const runs = ids.map((one) => referenceResiduals(model, one));
    const readable = { A: [0, 1, 2, 3], B: [], C: [0, 1], D: [0, 1, 2, 3], E: [2, 3] }[mechanism] as readonly number[];
    for (let layer = -1; layer < 4; layer++) {
      const rows = runs.map(({ embedded, afterLayers }) => {
        const states = layer < 0 ? embedded : afterLayers[layer];
        return states?.values.subarray(-states.columns) as Float64Array;
      });
      const width = rows[0]?.length as number;
      const states = { values: Float32Array.from(rows.flatMap((row) => [...row])), width };
      const score = scoreProbe(states, examplesOf(models[mechanism]), SETTINGS);
      if (layer < 0) {
        expect(score).toEqual({ ok: false, reason: "the states of all train strings are the same" });
        continue;
      }
      if (!score.ok) throw new Error(score.reason);
      expect(score.heldOutStrings).toBe(12);
      if (readable.includes(layer)) {
        expect(score.accuracy).toMatchObject({ ok: true, value: 1 });
        expect(score.gainAccuracy.ok && score.gainAccuracy.low).toBeGreaterThan(0.2);
        expect(score.test).toMatchObject({ ok: true, p: 1 / (1 + SETTINGS.permutations) });
      } else {
        expect(score.gainAccuracy.ok && score.gainAccuracy.low).toBeLessThanOrEqual(0);
        expect(score.test.ok && score.test.p).toBeGreaterThan(0.05);
      }
    }
  });
});

test("the items alone say less than chance of the answer to a pair that was not seen", () => {
  const examples = examplesOf(models.A).map(({ string, split, label }) => ({ string, split, label }));
  const score = scoreProbe(bagOfTokens(ids, examples), examples, SETTINGS);
  if (!score.ok) throw new Error(score.reason);
  expect(score.accuracy.ok && score.accuracy.value).toBeLessThanOrEqual(1 / ITEMS);
  expect(score.test.ok && score.test.p).toBeGreaterThan(0.05);
});
