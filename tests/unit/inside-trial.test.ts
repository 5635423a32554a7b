/** What was seen and written inside, of one trial: numbers of the run's lines, or the reason why there are none. */
import { mkdtemp, realpath, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import type { RunFile } from "../../src/run/folder.js";
import { InsideTrials } from "../../src/run/trials/inside-trial.js";
import { TokenLenses } from "../../src/run/trials/token-lenses.js";
import type { TrialRow } from "../../src/score/trial-rows.js";

const ROW = {
  target: "m",
  predictor: "m",
  task: "t",
  item: "i1",
  property: "p",
  variant: "minimal",
  behavior: { ok: true, value: "wolf" },
  prediction: { ok: true, value: "lynx" },
} as unknown as TrialRow;

const reading = (prompt: string, span: string, logprobs: number[]) => ({
  prompt,
  span,
  entropyNats: 1.5,
  topToken: 7,
  groups: { "t/p": { logprobs, ranks: [9, 3, 1], tied: [0, 0, 0] } },
});
const LENS = [
  { madeFrom: "…" },
  {
    what: "state",
    state: "m",
    groups: { "t/p": { targets: [{ name: "crab" }, { name: "lynx" }, { name: "wolf" }] } },
    end: { ok: false },
  },
  {
    what: "site",
    state: "m",
    site: "residual_after.2",
    lens: "logit",
    readings: [reading("hypothetical/t/i1/p/minimal", "last", [-1, -2, -0.5])],
  },
  {
    what: "site",
    state: "m",
    site: "residual_after.2",
    lens: "logit",
    readings: [reading("hypothetical/t/other/p/minimal", "last", [0, 0, 0])],
  },
  {
    what: "site",
    state: "other",
    site: "residual_after.2",
    lens: "logit",
    readings: [reading("hypothetical/t/i1/p/minimal", "last", [0, 0, 0])],
  },
  { what: "unread", state: "deaf", reason: "its end is not known here" },
];
const expansion = (values: Record<string, number>) => ({
  method: "expansion",
  values: Object.entries(values).map(([value, probability]) => ({ value, probability, upper: probability })),
  notCompliant: {},
  tail: 0,
  expandedNodes: 1,
  evaluatedTokens: 1,
  stoppedBy: "whole",
});
const patch = (kind: string, more: object, item = "i1") => ({
  key: `${kind}/${item}`,
  side: "hypothetical",
  state: "m",
  task: "t",
  item,
  property: "p",
  kind,
  own: "wolf",
  ...more,
});
const PATCHES = [
  { madeFrom: "…" },
  patch("none", { distribution: expansion({ wolf: 0.75, lynx: 0.25 }) }),
  patch("other", {
    site: "residual_after.2",
    span: "last",
    number: 1,
    donor: "i9",
    toward: "crab",
    distribution: expansion({ wolf: 0.5, crab: 0.375 }),
  }),
  patch("same", { site: "residual_after.2", span: "last", setAside: "engine_crashed" }),
  patch("other", { site: "residual_after.2", span: "last", distribution: expansion({ wolf: 1 }) }, "i2"),
];
const PROBES = {
  questions: [
    {
      predictor: "m",
      target: "m",
      task: "t",
      property: "p",
      prompt: "hypothetical",
      label: "behavior",
      sites: [
        {
          site: "residual_after.2",
          span: "last",
          score: { ok: true, accuracy: { ok: true, value: 0.5, low: 0, high: 1, n: 2 } },
          rightOf: { "t/i1": 1, c: 0 },
        },
        { site: "residual_after.3", span: "last", score: { ok: false, reason: "one label" } },
      ],
    },
  ],
};

const cells = (more: object) => ({
  ...{ what: "cells", state: "m", site: "residual_after.2", lens: "logit", prompt: "hypothetical/t/i1/p/minimal" },
  entropyNats: [1.5, 0.25],
  likeliest: [{ id: 9, text: " ocean" }],
  likeliestAt: [0, 0],
  likeliestLogprobs: [-0.5, -0.125],
  logprobs: [
    [-3, -4],
    [-1, -2],
  ],
  ranks: [
    [7, 8],
    [2, 3],
  ],
  tied: [
    [0, 0],
    [0, 0],
  ],
  besideSpans: { readings: 1, greatestNats: 1e-7 },
  ...more,
});
const TOKENS = [
  { id: 1, text: "Name" },
  { id: 2, text: "<|end|>" },
];
const TOKEN_LENSES = [
  { what: "begun", madeFrom: "…" },
  {
    what: "prompt",
    state: "m",
    prompt: "hypothetical/t/i1/p/minimal",
    tokens: TOKENS,
    vocabulary: 10,
    values: [
      { property: "p", value: "crab" },
      { property: "p", value: "wolf" },
    ],
  },
  cells({}),
  { ...cells({}), what: "missing", site: "residual_after.3", reason: "no map" },
  // Of another length than its prompt: no line of ours.
  cells({ site: "residual_after.4", entropyNats: [1] }),
  { what: "missing", state: "deaf", prompt: "hypothetical/t/i1/p/minimal", reason: "its end is not known here" },
];

let folder: string;
const lines = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "inward-inside-")));
  await writeFile(join(folder, "07-lens.jsonl"), lines(LENS));
  await writeFile(join(folder, "07-lens-tokens.jsonl"), `${lines(TOKEN_LENSES)}{"what":"ce`);
  await writeFile(join(folder, "07-patches.jsonl"), lines(PATCHES));
  await writeFile(join(folder, "08-probes.json"), JSON.stringify(PROBES));
});
const inside = (...files: readonly RunFile[]) => new InsideTrials({ folder }, (file) => files.includes(file));

test("a lens on this prompt of this state: the values that were done and said, and who leads", async () => {
  expect(await inside("lens").lenses(ROW)).toEqual({
    ok: true,
    value: [
      {
        prompt: "hypothetical",
        state: "m",
        lens: "logit",
        values: ["wolf", "lynx"],
        untold: [],
        among: 3,
        cells: [
          {
            site: "residual_after.2",
            span: "last",
            entropyNats: 1.5,
            logprobs: [-0.5, -2],
            ranks: [1, 3],
            leads: "wolf",
          },
        ],
      },
    ],
  });
  const untold = await inside("lens").lenses({ ...ROW, behavior: { ok: true, value: "newt" } });
  expect(untold).toMatchObject({ value: [{ values: ["lynx"], untold: ["newt"] }] });
});

test("a lens at every token: this trial's values alone, and why a site is not there", async () => {
  const lenses = new TokenLenses({ folder }, () => true);
  expect(await lenses.prompts(ROW)).toEqual({ ok: true, value: ["hypothetical"] });
  const read = {
    ...{ site: "residual_after.2", ok: true, entropyNats: [1.5, 0.25], likeliest: [{ id: 9, text: " ocean" }] },
    ...{ likeliestAt: [0, 0], likeliestLogprobs: [-0.5, -0.125], logprobs: [[-1, -2]], ranks: [[2, 3]] },
  };
  expect(await lenses.of(ROW)).toEqual({
    ok: true,
    value: [
      {
        ...{ prompt: "hypothetical", state: "m", lens: "logit", vocabulary: 10, values: ["wolf"], untold: ["lynx"] },
        tokens: TOKENS,
        sites: [
          read,
          { site: "residual_after.3", ok: false, reason: "no map" },
          { site: "residual_after.4", ok: false, reason: "07-lens-tokens.jsonl has no such line" },
        ],
        besideSpans: { readings: 2, greatestNats: 1e-7 },
      },
    ],
  });
  const why = async (row: TrialRow, of = lenses) => (await of.prompts(row)) as { reason?: string };
  expect((await why({ ...ROW, predictor: "deaf" })).reason).toBe("its end is not known here");
  expect((await why({ ...ROW, item: "i2" })).reason).toContain("probe.wholePrompts takes the first held-out strings");
  expect((await why(ROW, new TokenLenses({ folder }, () => false))).reason).toContain("no prompt read at every token");
  expect((await why(ROW, new TokenLenses({ folder: "/nowhere" }, () => true))).reason).toBeDefined();
});

test("a patch: how likely what it shows by itself was before and after, and what it was moved to", async () => {
  const here = { side: "hypothetical", site: "residual_after.2", span: "last" };
  const share = (value: number) => ({ ok: true, value });
  expect(await inside("patches").patches(ROW)).toEqual({
    ok: true,
    value: [
      {
        ...here,
        kind: "other",
        number: 1,
        donor: "i9",
        toward: "crab",
        own: { value: "wolf", before: share(0.75), after: share(0.5) },
        moved: { value: "crab", before: share(0), after: share(0.375) },
      },
      {
        ...here,
        kind: "same",
        number: 0,
        own: { value: "wolf", before: share(0.75), after: { ok: false, reason: "the engine crashed on it" } },
        setAside: "engine_crashed",
      },
    ],
  });
});

test("a probe's reading of the string, or of the cluster that it is of", () => {
  const cell = { site: "residual_after.2", span: "last", accuracy: PROBES.questions[0]?.sites[0]?.score.accuracy };
  const of = (row: TrialRow) => inside("probes").probes(row);
  expect(of(ROW)).toEqual({
    ok: true,
    value: [{ prompt: "hypothetical", label: "behavior", cells: [{ ...cell, right: 1 }] }],
  });
  expect(of({ ...ROW, cluster: "c" })).toMatchObject({ value: [{ cells: [{ right: 0 }] }] });
});

test.each([
  ["no lens", inside0().lenses(ROW), "the study asks for no lens"],
  ["no probe", inside0().probes(ROW), "the study names no probe"],
  ["no patch", inside0().patches(ROW), "the study writes nothing inside"],
])("%s is a reason", async (_, found, reason) => {
  expect(await found).toEqual({ ok: false, reason: expect.stringContaining(reason) });
});
function inside0() {
  return new InsideTrials({ folder: "/" }, () => false);
}

test("who was not read, not patched, or has no label: the reason", async () => {
  const why = async (found: unknown) => ((await found) as { reason?: string }).reason;
  expect(await why(inside("lens").lenses({ ...ROW, predictor: "deaf", target: "deaf" }))).toBe(
    "its end is not known here",
  );
  expect(await why(inside("lens").lenses({ ...ROW, item: "i2" }))).toContain("its prompts were not read");
  expect(await why(inside("patches").patches({ ...ROW, predictor: "n" }))).toBe(
    "patches are of states that predict themselves",
  );
  expect(await why(inside("patches").patches({ ...ROW, item: "i3" }))).toContain("not among those that were patched");
  expect(await why(inside("probes").probes({ ...ROW, item: "i3" }))).toContain("has no label");
  expect(await why(inside("probes").probes({ ...ROW, property: "q" }))).toContain("no probe reads");
  await writeFile(join(folder, "08-probes.json"), "[");
  expect(await why(inside("probes").probes(ROW))).toBe("08-probes.json is no JSON.");
});
