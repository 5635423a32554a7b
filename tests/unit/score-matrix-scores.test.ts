/** All that is computed of a matrix at once: which fits, whose relations, what is missing with which reason; and what the report says. */
import { beforeAll, describe, expect, test } from "vitest";
import type { Plan } from "../../src/study/plan.js";
import { statesOf } from "../../src/study/states.js";
import type { Trial } from "../../src/score/trial.js";
import { makeReport } from "../../src/report/make-report.js";
import { type FittedForm, type MatrixScores, scoreMatrix } from "../../src/score/matrix/matrix.js";
import { relationCovariates } from "../../src/score/matrix/cells.js";
import { scoreSong } from "../../src/score/matrix/song.js";
import { makeInput } from "../fixtures/report/make-report-input.js";
import { markdownTables, plain, unbalanced } from "../fixtures/report/read-report.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

type States = Pick<Plan, "models" | "states" | "adapters">;
const file = (sha256: string, more: Partial<Plan["models"][string]> = {}) =>
  ({ source: "m", sha256, bytes: 1, encoding: "F32", licence: "mit", ...more }) as Plan["models"][string];
const adapter = (base: string, target: string) =>
  ({ base, target, examplesPerProperty: 1 }) as unknown as NonNullable<Plan["adapters"]>[string];

const PLAN: States = {
  models: {
    m: file("1"),
    n: file("2"),
    k: file("3", { layersRemoved: { sha256: "1", of: 4, layers: [2] } }),
  },
  states: {
    m: { model: "m" },
    n: { model: "n" },
    k: { model: "k" },
    "m-m": { model: "m", adapter: "m-m" },
    "m-n": { model: "m", adapter: "m-n" },
    "n-m": { model: "n", adapter: "n-m" },
  },
  adapters: { "m-m": adapter("m", "m"), "m-n": adapter("m", "n"), "n-m": adapter("n", "m") },
};
const NAMES = Object.keys(PLAN.states ?? {});
const SETTINGS = { confidence: 0.95, bootstrapReplicates: 400, bootstrapSeed: 1 };

/** Numbers that look drawn and are not. */
const draw = (...parts: readonly number[]) => {
  const x = Math.sin(parts.reduce((sum, part, at) => sum + part * (12.9898 + 7.233 * at), 1)) * 43758.5453;
  return x - Math.floor(x);
};

/** @param access the chance that a state is right about itself for no other reason, and about itself only */
function plant(access: number, states = NAMES, strings = 150): Trial[] {
  const letter = (...parts: readonly number[]) => "abcd"[Math.floor(4 * draw(...parts))] as string;
  return Array.from({ length: strings }, (_, at) => at).flatMap((at) => {
    const common = letter(1, at);
    const does = states.map((_, state) => (draw(2, at, state) < 0.2 + 0.1 * state ? common : letter(3, at, state)));
    return states.flatMap((predictor, i) =>
      states.map((target, j) => {
        const guess = draw(4, at, i, j) < 0.3 + 0.1 * (i % 3) ? common : letter(5, at, i, j);
        const says = i === j && draw(6, at, i) < access ? (does[j] as string) : guess;
        return makeTrial(`s${at}`, does[j], says, { predictor, target });
      }),
    );
  });
}

const score = (trials: readonly Trial[], plan = PLAN): MatrixScores => ({
  ...scoreMatrix(plan, trials, [], SETTINGS),
  song: { ok: false, reason: "not asked here" },
});
const fitOf = ({ fits }: MatrixScores, predictors: string, form: FittedForm["form"]) =>
  fits.find((one) => one.predictors === predictors && one.form === form && one.scale === "accuracy")?.fit;
const sectionOf = async (matrix: MatrixScores) => {
  const report = await makeReport(makeInput({ matrix }));
  expect(unbalanced(report.html)).toBeUndefined();
  for (const rows of markdownTables(report.markdown)) expect(new Set(rows).size).toBe(1);
  for (const text of [report.html, report.markdown]) expect(text).not.toMatch(/NaN|undefined|\[object|Infinity/);
  return plain(report.markdown.split("## Every predictor about every target")[1]?.split("\n## ")[0] ?? "");
};

describe("what two states have in common", () => {
  test.each([
    ["m", "m", "same_state"],
    ["m", "m-m", "same_weights"],
    ["m-n", "m-m", "same_weights"],
    ["k", "m", "derived_weights"],
    ["m-n", "k", "derived_weights"],
    ["m", "n", "other"],
    ["k", "n-m", "other"],
  ])("%s and %s: %s", (first, second, relation) => {
    expect(statesOf(PLAN).relation(first, second)).toBe(relation);
    expect(statesOf(PLAN).relation(second, first)).toBe(relation);
  });

  test("label sources", () => {
    const [, source, shared] = relationCovariates(statesOf(PLAN));
    expect([source?.of("m-n", "n"), source?.of("n", "m-n"), source?.of("m-m", "m"), source?.of("m", "m")]).toEqual([
      ...[1, 0, 1, 0],
    ]);
    expect([
      shared?.of("m-m", "n-m"),
      shared?.of("m-m", "m-m"),
      shared?.of("m-m", "m-n"),
      shared?.of("m", "n"),
    ]).toEqual([...[1, 0, 0, 0]]);
  });
});

describe("planted access to itself", () => {
  let matrix: MatrixScores;
  let section: string;
  beforeAll(async () => {
    matrix = score(plant(0.5));
    section = await sectionOf(matrix);
  });

  test("is found over all predictors, and over the trained ones where likeness is not to be told from three rows", () => {
    for (const [predictors, form] of [
      ["all", "similarity"],
      ["all", "self"],
      ["trained", "self"],
    ] as const) {
      const fit = fitOf(matrix, predictors, form);
      const self = fit?.ok ? fit.coefficients.at(-1) : undefined;
      expect(self).toMatchObject({ name: "self", interval: { ok: true } });
      expect(self?.interval.ok && self.interval.low).toBeGreaterThan(0);
    }
    const relations = fitOf(matrix, "all", "relations");
    expect(relations?.ok && relations.coefficients.map(({ name }) => name)).toEqual([
      ...["similarity", "same_weights", "label_source", "shared_label_source", "self"],
    ]);
  });

  test("is the report's finding, with what it rests on", () => {
    expect(section).toMatch(
      /> \*\*Yes, with reservations — all predictors\*\*\n>\n> Over all predictors, a state predicts itself better than its skill.*?: γ = \+\d+\.\d points \\\[/,
    );
    expect(section).toContain("it stays above 0 once likeness is taken out");
    expect(section).toMatch(/There is a self effect on the scale of −log\(1 − accuracy\) too: γ = 0\.\d+/);
    expect(section).toContain("Only 3 base models (fewer than 6): with so short a ladder");
    expect(section).toContain("Over untrained predictors,");
    expect(section).toContain("Every adapter was trained once");
    expect(section).toMatch(/\| untrained predictors \| with likeness and relations \|/);
    expect(section).toMatch(/\| all predictors \| same base weights \| 4 \|/);
    expect(section).toContain("perfect self-knowledge gives δ = 1 and γ = 0");
  });

  test("the same trials in another order give the same bytes", () => {
    expect(JSON.stringify(score(plant(0.5).reverse()))).toBe(JSON.stringify(matrix));
  });
});

describe("what cannot be said is said with a reason", () => {
  test("no access: an interval that holds 0", async () => {
    expect(await sectionOf(score(plant(0)))).toMatch(/Over all predictors, whether a state predicts .* cannot be told/);
  });

  test("two untrained models: likeness and being the same are one thing", async () => {
    const section = await sectionOf(score(plant(0.5, ["m", "n"]), { models: PLAN.models }));
    expect(section).toContain("Over all predictors, whether a state predicts itself better");
    expect(section).toContain("is not known: in these 4 cells self follows from");
    expect(section).toContain("With 3 states or fewer on a side");
  });

  test("a predictor that was asked nothing of what it does itself", async () => {
    const trials = plant(0.5).filter(({ target }) => target !== "n-m");
    const matrix = score(trials);
    const reason = "what n-m does itself was not asked";
    expect(matrix.cells.filter(({ similarity }) => !similarity.ok)).toHaveLength(5);
    const fit = fitOf(matrix, "all", "similarity");
    expect(fit?.missing).toHaveLength(5);
    expect(fit?.missing[0]).toMatchObject({ predictor: "n-m", reason });
    expect(await sectionOf(matrix)).toContain(
      `5 of 30 cells have no accuracy or no likeness and are left out of the fits: ${reason}`,
    );
  });

  test("one state asked for logprobs", () => {
    const song = scoreSong(PLAN, [], SETTINGS);
    expect(song).toMatchObject({ ok: false, reason: expect.stringMatching(/^no state was asked/) });
  });
});
