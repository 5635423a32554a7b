/** The matrix fit against numpy's least squares, the paper's published table, exact planted tables and tables that fix nothing. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Covariate,
  fitMatrix,
  leastSquares,
  type MatrixFit,
  orthonormalColumns,
} from "../../src/score/matrix/fit.js";
import type { CellMean, MatrixCell } from "../../src/score/matrix/cells.js";

interface Expected {
  coefficients: number[];
  standardErrors: number[];
  degreesOfFreedom: number;
  residualStandardDeviation: number;
  skill: Record<string, number>;
  predictability: Record<string, number>;
}
interface Hole {
  predictor: string;
  target: string;
  accuracy: number | null;
  similarity: number;
  distance: number;
}
const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../fixtures/score/${name}.json`, import.meta.url), "utf8"));
const { paper: expectedPaper, incomplete } = read("fits") as {
  paper: Record<"all" | "finetuned" | "untrained", Expected>;
  incomplete: { cells: Hole[]; fit: Expected };
};
const paper = read("paper-matrix") as { states: string[]; percent: number[][] };

const known = (value: number): CellMean => ({ ok: true, value });
const cell = (predictor: string, target: string, accuracy: number, similarity?: number): MatrixCell => ({
  predictor,
  target,
  accuracy: known(accuracy),
  ...(similarity === undefined ? {} : { similarity: known(similarity) }),
});
function fitted(fit: MatrixFit): Extract<MatrixFit, { ok: true }> {
  if (!fit.ok) throw new Error(fit.reason);
  return fit;
}
function coefficient(fit: MatrixFit, name: string) {
  const found = fitted(fit).coefficients.find((one) => one.name === name);
  if (!found?.standardError.ok) throw new Error(`no ${name}`);
  return { value: found.value, standardError: found.standardError.value };
}

describe("the paper's table of 17 states (figure 15)", () => {
  const isFinetuned = (state: string) => state.includes("<");
  const cellsOf = (keep: (state: string) => boolean) =>
    paper.states.flatMap((predictor, row) =>
      keep(predictor)
        ? paper.states.map((target, column) => cell(predictor, target, paper.percent[row]?.[column] as number))
        : [],
    );

  test.each([
    ["all 17 predictors", "all", () => true, "11.1", "0.9"],
    ["the 13 finetuned ones", "finetuned", isFinetuned, "13.4", "1.1"],
    ["the 4 untrained ones", "untrained", (state: string) => !isFinetuned(state), "2.4", "1.0"],
  ] as const)("self-prediction of %s", (_, which, keep, gamma, error) => {
    const fit = fitMatrix(cellsOf(keep));
    const self = coefficient(fit, "self");
    expect([self.value.toFixed(1), self.standardError.toFixed(1)]).toEqual([gamma, error]);
    agree(fit, expectedPaper[which]);
  });

  test("with what else the states share", () => {
    const family = (state: string) => state.split("<")[0] as string;
    const learnt = (state: string) => state.split("<")[1] as string;
    // Whose answers were the labels: of the untrained state for one that learnt about itself, else of a self-trained one.
    const source = (state: string) =>
      family(state) === learnt(state) ? learnt(state) : `${learnt(state)}<${learnt(state)}`;
    const covariates: Covariate[] = [
      { name: "family", of: (i, j) => Number(i !== j && family(i) === family(j)) },
      { name: "label_source", of: (i, j) => Number(j === source(i)) },
      { name: "shared_source", of: (i, j) => Number(i !== j && j !== source(i) && learnt(i) === learnt(j)) },
    ];
    const fit = fitMatrix(cellsOf(isFinetuned), { covariates });
    const rounded = fitted(fit).coefficients.map(({ name }) => {
      const { value, standardError } = coefficient(fit, name);
      return `${name} ${value.toFixed(1)} ± ${standardError.toFixed(1)}`;
    });
    expect(rounded).toEqual([
      "family 5.2 ± 0.5",
      "label_source 5.4 ± 0.8",
      "shared_source 4.0 ± 0.7",
      "self 15.3 ± 0.8",
    ]);
  });
});

test("a matrix with holes, similarity and a covariate agrees with numpy", () => {
  const distances = new Map(incomplete.cells.map((one) => [`${one.predictor}/${one.target}`, one.distance]));
  const cells = incomplete.cells.map(({ predictor, target, accuracy, similarity }): MatrixCell => {
    return {
      predictor,
      target,
      accuracy: accuracy === null ? { ok: false, reason: "it was not asked" } : known(accuracy),
      similarity: known(similarity),
    };
  });
  const distance: Covariate = { name: "distance", of: (i, j) => distances.get(`${i}/${j}`) as number };
  const fit = fitMatrix(cells, { covariates: [distance] });
  expect(fitted(fit).coefficients.map(({ name }) => name)).toEqual(["similarity", "distance", "self"]);
  agree(fit, incomplete.fit);
  const holes = incomplete.cells.filter(({ accuracy }) => accuracy === null);
  expect(holes.length).toBeGreaterThan(0);
  expect(fitted(fit).missing).toEqual(
    holes.map(({ predictor, target }) => ({ predictor, target, reason: "it was not asked" })),
  );
});

/** Both sides solve in double precision with factors of about 1: nine decimals leave a thousandfold for rounding. */
function agree(fit: MatrixFit, expected: Expected): void {
  const found = fitted(fit);
  found.coefficients.forEach(({ name }, index) => {
    const { value, standardError } = coefficient(fit, name);
    expect(value).toBeCloseTo(expected.coefficients[index] as number, 9);
    expect(standardError).toBeCloseTo(expected.standardErrors[index] as number, 9);
  });
  expect(found.degreesOfFreedom).toBe(expected.degreesOfFreedom);
  expect(found.residualStandardDeviation.ok && found.residualStandardDeviation.value).toBeCloseTo(
    expected.residualStandardDeviation,
    9,
  );
  if (!found.effects.ok) throw new Error(found.effects.reason);
  for (const side of ["skill", "predictability"] as const) {
    expect(found.effects[side].map(({ state }) => state).sort()).toEqual(Object.keys(expected[side]).sort());
    for (const { state, value } of found.effects[side]) expect(value).toBeCloseTo(expected[side][state] as number, 9);
  }
}

describe("laws", () => {
  const finite = fc.double({ min: -2, max: 2, noNaN: true });
  const table = fc.integer({ min: 3, max: 7 }).chain((size) =>
    fc.record({
      skills: fc.array(finite, { minLength: size, maxLength: size }),
      targets: fc.array(finite, { minLength: size, maxLength: size }),
      likeness: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: size ** 2, maxLength: size ** 2 }),
      delta: finite,
      gamma: finite,
    }),
  );

  test("a table that the model made is fitted exactly, in any order of cells", () => {
    fc.assert(
      fc.property(table, fc.boolean(), ({ skills, targets, likeness, delta, gamma }, reverse) => {
        const cells = skills.flatMap((skill, i) =>
          targets.map((target, j) => {
            const similarity = i === j ? 1 : (likeness[i * skills.length + j] as number);
            const accuracy = skill + target + delta * similarity + gamma * Number(i === j);
            return cell(`p${i}`, `p${j}`, accuracy, similarity);
          }),
        );
        const fit = fitMatrix(reverse ? cells.reverse() : cells);
        // A similarity that hardly varies beyond rows, columns and the diagonal fixes nothing to full precision.
        if (!fit.ok) return;
        const error = fitted(fit).coefficients[0]?.standardError;
        if (error?.ok && error.value > 1e-9) return;
        expect(fit.coefficients[0]?.value).toBeCloseTo(delta, 5);
        expect(fit.coefficients[1]?.value).toBeCloseTo(gamma, 5);
      }),
    );
  });

  test("residuals are orthogonal to every column, whatever the columns", () => {
    const column = fc.array(fc.double({ min: -1e3, max: 1e3, noNaN: true }), { minLength: 9, maxLength: 9 });
    fc.assert(
      fc.property(fc.array(column, { minLength: 1, maxLength: 8 }), column, (columns, response) => {
        const made = columns.map((one) => Float64Array.from(one));
        const factors = orthonormalColumns([...made, ...made]);
        expect(factors.kept.every((place) => place < made.length)).toBe(true);
        const { residualSumOfSquares } = leastSquares(factors, Float64Array.from(response));
        const total = response.reduce((sum, value) => sum + value ** 2, 0);
        expect(residualSumOfSquares).toBeLessThanOrEqual(total * (1 + 1e-12));
        factors.basis.forEach((a, i) => {
          factors.basis.forEach((b, j) => {
            const product = a.reduce((sum, value, row) => sum + value * (b[row] as number), 0);
            expect(Math.abs(product - Number(i === j))).toBeLessThan(1e-13);
          });
        });
      }),
    );
  });
});

describe("what the cells cannot tell has a reason", () => {
  const square = (names: string[]) => names.flatMap((i, row) => names.map((j, column) => cell(i, j, row * 3 + column)));

  test("no cell", () => {
    expect(fitMatrix([])).toEqual({ ok: false, reason: "none of 0 cells has a value", missing: [] });
    const missing = { predictor: "a", target: "a", reason: "none of 4 trials has a behavior to compare with" };
    expect(fitMatrix([{ ...missing, accuracy: { ok: false, reason: missing.reason } }])).toEqual({
      ok: false,
      reason: "none of 1 cells has a value",
      missing: [missing],
    });
  });

  test("numbers that are none", () => {
    const cells = [...square(["a", "b", "c"]).slice(1), cell("a", "a", Number.NaN)];
    const odd: Covariate = { name: "odd", of: (i, j) => (i === "b" && j === "c" ? Number.NEGATIVE_INFINITY : 0) };
    expect(fitMatrix(cells, { covariates: [odd] })).toMatchObject({
      missing: [
        { predictor: "b", target: "c", reason: "its odd is -Infinity" },
        { predictor: "a", target: "a", reason: "its accuracy is NaN" },
      ],
    });
  });

  test.each([
    ["one state", [cell("a", "a", 0.5)]],
    ["nobody about itself", square(["a", "b", "c"]).filter(({ predictor, target }) => predictor !== target)],
    ["everybody about itself only", square(["a", "b", "c"]).filter(({ predictor, target }) => predictor === target)],
  ])("%s", (_, cells) => {
    expect(fitMatrix(cells)).toEqual({
      ok: false,
      reason: `in these ${cells.length} cells self follows from the predictor and the target: its coefficient cannot be told from theirs`,
      missing: [],
    });
  });

  test("a similarity that only says who is who", () => {
    const cells = square(["a", "b", "c"]).map((one) => ({
      ...one,
      similarity: known(one.predictor === one.target ? 1 : 0.25),
    }));
    expect(fitMatrix(cells)).toMatchObject({ ok: false, reason: expect.stringContaining("self follows from") });
  });

  test("two states: γ, but nothing to judge it by", () => {
    const fit = fitted(fitMatrix([cell("a", "a", 5), cell("a", "b", 3), cell("b", "a", 4), cell("b", "b", 8)]));
    expect(fit.coefficients[0]?.value).toBeCloseTo((5 + 8 - 3 - 4) / 2, 12);
    expect(fit.coefficients[0]?.standardError).toEqual({
      ok: false,
      reason: "4 cells are fitted by as many coefficients: nothing is left over",
    });
    expect(fit.coefficients[0]?.interval).toEqual({ ok: false, reason: "no trials were given to resample" });
  });

  test("groups of states that no cell links still have a γ, but no common scale of skill", () => {
    const fit = fitted(fitMatrix([...square(["a", "b", "c"]), ...square(["x", "y", "z"])]));
    expect(fit.effects).toEqual({ ok: false, reason: "the cells fall into 2 groups of states that no cell links" });
    expect(fit.degreesOfFreedom).toBe(18 - 10 - 1);
    expect(fit.coefficients[0]?.value).toBeCloseTo(0, 12);
  });

  test("a cell twice", () => {
    expect(() => fitMatrix([cell("a", "b", 1), cell("a", "b", 2)])).toThrow(
      "The cell of predictor a and target b stands twice.",
    );
  });
});
