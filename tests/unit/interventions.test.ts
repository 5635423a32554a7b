/** What is to be written into states is checked before anything runs, and comes to the addon as what was asked for, each thing once. */
import { describe, expect, test } from "vitest";
import type { NativeInterventions, NativeWork } from "../../native/index.js";
import { askingWork } from "../../src/model/engines/native.js";
import {
  INTERVENTION_OPERATIONS,
  type Intervention,
  refuseInterventions,
  withInterventions,
} from "../../src/model/interventions.js";
import { STATE_PARTS, type StateShape } from "../../src/model/sites.js";

const SHAPE: StateShape = { architecture: "tiny", layers: 2, embedding: 4, heads: [2, 0], headWidth: 3 };
const PROMPT = [7, 8, 9];
const request = (interventions: readonly Intervention[], promptIds: readonly number[] = PROMPT) => ({
  promptIds,
  maxTokens: 2,
  temperature: 0,
  topTokens: 0,
  interventions,
});
const workOf = (...all: (readonly Intervention[])[]): NativeWork => {
  const requests = all.map((one) => request(one));
  return withInterventions(askingWork(requests), requests, () => SHAPE);
};
const RESIDUAL = { part: "residual_after", layer: 1 } as const;
const HEADS = { part: "head_values", layer: 0 } as const;
const ZERO: Intervention = { site: RESIDUAL, tokens: [1], operation: "replace", values: new Float32Array(4) };

/** What is done at a place, read back from the flat arrays. */
function doneAt(table: NativeInterventions, set: number) {
  const members = table.sets.subarray(table.setStarts[set], table.setStarts[set + 1]);
  return Array.from(members, (edit) => {
    const width = table.widths[edit] as number;
    const vectors = table.vectors.subarray(table.vectorStarts[edit], table.vectorStarts[edit + 1]);
    return {
      site: `${STATE_PARTS[table.parts[edit] as number]}.${table.layers[edit]}`,
      operation: INTERVENTION_OPERATIONS[table.operations[edit] as number],
      factor: table.factors[edit],
      heads: Array.from(table.heads.subarray(table.headStarts[edit], table.headStarts[edit + 1])),
      vectors: Array.from(vectors, (start) => Array.from(table.values.subarray(start, start + width))),
    };
  });
}

test("a row for each token, one for all, and the reply's tokens behind them; equal ones are there once", () => {
  const rows = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const work = workOf(
    [{ site: RESIDUAL, tokens: [2, 0], operation: "add", values: rows, factor: 0.5 }],
    [],
    [
      { site: RESIDUAL, tokens: [0], operation: "add", values: Float32Array.of(5, 6, 7, 8), factor: 0.5 },
      { site: HEADS, tokens: { from: 2 }, operation: "scale", factor: 0, heads: [1, 1] },
      { site: RESIDUAL, tokens: { from: 3 }, operation: "scale", factor: 2 },
    ],
  );
  const table = work.interventions as NativeInterventions;
  const at = (set: number | undefined) => (set === -1 ? [] : doneAt(table, set as number));
  const added = (vector: number[]) => [
    { site: "residual_after.1", operation: "add", factor: 0.5, heads: [], vectors: [vector] },
  ];
  const knocked = { site: "head_values.0", operation: "scale", factor: 0, heads: [1], vectors: [] };
  expect(Array.from(table.tokenSets, at)).toEqual([
    added([5, 6, 7, 8]),
    [],
    added([1, 2, 3, 4]),
    [],
    [],
    [],
    added([5, 6, 7, 8]),
    [],
    [knocked],
  ]);
  expect(Array.from(table.answerSets, at)).toEqual([
    [],
    [],
    [knocked, { site: "residual_after.1", operation: "scale", factor: 2, heads: [], vectors: [] }],
  ]);
  // What the first and the third have at their first token is one and the same, so that they share it.
  expect(table.tokenSets[0]).toBe(table.tokenSets[6]);
  expect(table.values).toHaveLength(8);
  expect(workOf([], []).interventions).toBeUndefined();
});

test("what is projected out is one basis of all directions, of the chosen heads alone", () => {
  const values = Float32Array.of(9, 9, 9, 3, 0, 4, 9, 9, 9, 3, 1, 4);
  const work = workOf([{ site: HEADS, tokens: [0], operation: "project_out", values, heads: [1] }]);
  const [done] = doneAt(work.interventions as NativeInterventions, 0);
  const float = (...list: number[]) => list.map(Math.fround);
  expect(done?.vectors).toEqual([float(0, 0, 0, 0.6, 0, 0.8), float(0, 0, 0, 0, 1, 0)]);
});

describe("refused", () => {
  const values = new Float32Array(4);
  const bad = (changes: Partial<Record<keyof Intervention, unknown>>) => ({ ...ZERO, ...changes }) as Intervention;
  test.each<[string, Intervention, string, RegExp]>([
    ["no such part", bad({ site: { part: "logits", layer: 0 } }), "PROBE_SITE", /logits\.0.*layers 0 to 1/],
    ["no such layer", bad({ site: { part: "mlp_output", layer: 2 } }), "PROBE_SITE", /mlp_output\.2.*layers 0 to 1/],
    ["half a layer", bad({ site: { part: "mlp_output", layer: 0.5 } }), "PROBE_SITE", /no such site/],
    ["attention weights", bad({ site: { part: "attention_weights", layer: 0 } }), "PROBE_SITE", /head_values.*by 0/],
    ["no heads", bad({ site: { part: "head_values", layer: 1 } }), "PROBE_SITE", /0 attention heads/],
    ["no token", bad({ tokens: [] }), "PROBE_INVALID", /no token/],
    ["beyond the prompt", bad({ tokens: [3] }), "PROBE_INVALID", /token 3; the prompt has the tokens 0 to 2/],
    ["before it", bad({ tokens: [-1] }), "PROBE_INVALID", /token -1/],
    ["twice", bad({ tokens: [1, 1] }), "PROBE_INVALID", /named twice/],
    ["behind the reply's first", bad({ tokens: { from: 4 } }), "PROBE_INVALID", /from token 4 on/],
    ["of another width", bad({ values: new Float32Array(5) }), "PROBE_INVALID", /5 values are no rows of 4/],
    ["empty", bad({ values: new Float32Array(0) }), "PROBE_INVALID", /0 values/],
    ["rows for other tokens", bad({ values: new Float32Array(8) }), "PROBE_INVALID", /2 rows of 4, for 1 tokens/],
    [
      "rows for any token",
      bad({ tokens: { from: 0 }, values: new Float32Array(8) }),
      "PROBE_INVALID",
      /for all tokens/,
    ],
    ["not finite", bad({ values: Float32Array.of(0, Number.NaN, 0, 0) }), "PROBE_INVALID", /value 2 is NaN/],
    ["doubles", bad({ values: new Float64Array(4) }), "PROBE_INVALID", /no Float32Array/],
    ["no values", bad({ values: undefined }), "PROBE_INVALID", /values are missing/],
    ["no such operation", bad({ operation: "erase" }), "PROBE_INVALID", /replace, add, project_out, scale/],
    ["a factor that is not used", bad({ factor: 2 }), "PROBE_INVALID", /replace takes no factor/],
    ["no factor", bad({ operation: "scale", values: undefined }), "PROBE_INVALID", /factor is missing/],
    ["scaled values", bad({ operation: "scale", factor: 1 }), "PROBE_INVALID", /takes a factor, and no values/],
    ["too large", bad({ operation: "add", factor: 1e39 }), "PROBE_INVALID", /1e\+39/],
    ["heads of a residual", bad({ heads: [0] }), "PROBE_INVALID", /only head_values/],
    ["no direction", bad({ operation: "project_out" }), "PROBE_INVALID", /direction 1 has the length 0/],
    [
      "the same direction again",
      bad({ operation: "project_out", values: Float32Array.of(1, 2, 3, 4, -2, -4, -6, -8) }),
      "PROBE_INVALID",
      /direction 2 lies in the span/,
    ],
    [
      "no such head",
      { site: HEADS, tokens: [0], operation: "scale", factor: 0, heads: [2] },
      "PROBE_INVALID",
      /no head 2; this layer has the heads 0 to 1/,
    ],
    [
      "none of the heads",
      { site: HEADS, tokens: [0], operation: "scale", factor: 0, heads: [] },
      "PROBE_INVALID",
      /no head/,
    ],
  ])("%s", (_, intervention, code, message) => {
    expect(() => workOf([], [{ ...ZERO, values }, intervention])).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
    expect(() => workOf([], [{ ...ZERO, values }, intervention])).toThrow(/^Intervention 2 of question 2, /);
  });

  test("by an engine that cannot", () => {
    expect(() => refuseInterventions([request([]), request([ZERO])], "another")).toThrow(/another \(engine\.engine\)/);
    refuseInterventions([request([]), { messages: [] } as object], "another");
  });
});
