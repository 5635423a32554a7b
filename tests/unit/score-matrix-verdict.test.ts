/** A self effect is one where both scales of γ show it: unequal skills and unequally easy targets make one of plain accuracies. */
import { describe, expect, test } from "vitest";
import type { MatrixCell } from "../../src/score/matrix/cells.js";
import { fitMatrix, onMissScale } from "../../src/score/matrix/fit.js";
import type { MatrixScores } from "../../src/score/matrix/matrix.js";
import { matrixVerdicts } from "../../src/score/verdicts/matrix-verdict.js";
import { verdictBlock } from "../../src/report/sentences.js";

const N = 100;
/** Replicates that move a cell by so much; the same for all, so intervals are as wide as this. */
const MOVES = [-0.01, 0, 0.01];

function cellsOf(accuracies: readonly (readonly number[])[]): MatrixCell[] {
  return accuracies.flatMap((row, predictor) =>
    row.map((value, target) => ({
      predictor: `m${predictor}`,
      target: `m${target}`,
      accuracy: {
        ok: true as const,
        value,
        n: N,
        inReplicate: (replicate: number) =>
          Math.min(1, Math.max(0, value + (predictor === target ? (MOVES[replicate] as number) : 0))),
      },
    })),
  );
}

function verdictOf(cells: readonly MatrixCell[], models = 2) {
  const bootstrap = { replicates: MOVES.length, clusters: 50, confidence: 0.95 };
  const form = { predictors: "all", average: "micro", form: "similarity" } as const;
  const scores = {
    clusters: 50,
    intervalMethod: "made up",
    states: Array.from({ length: models }, (_, at) => ({ name: `m${at}`, model: `m${at}`, trained: false })),
    fits: [
      { ...form, scale: "accuracy", fit: fitMatrix(cells, { bootstrap }) },
      { ...form, scale: "miss", fit: fitMatrix(onMissScale(cells), { bootstrap }) },
    ],
    preferences: [],
    song: { ok: false, reason: "not measured" },
  } as unknown as MatrixScores;
  const [verdict] = matrixVerdicts(scores);
  if (!verdict) throw new Error("there is a verdict");
  return verdict;
}

/** A predictor that knows a share of the answers and guesses the rest of a target with a chance misses (1 − skill)(1 − guess). */
const known = (skill: number, guess: number, access = 0) => 1 - (1 - skill) * (1 - guess) * (1 - access);

describe("both scales must agree", () => {
  test("skill and guessing that multiply: above 0 on one, not on the other", () => {
    const verdict = verdictOf(
      cellsOf([
        [known(0.3, 0.6), known(0.3, 0.2)],
        [known(0.6, 0.6), known(0.6, 0.2)],
      ]),
    );
    expect(verdict).toMatchObject({ finding: "cannot_tell", decidedBy: "self_on_misses" });
    expect(verdict.because).toMatchObject([
      { kind: "self_effect", finding: "exceeds" },
      { kind: "self_on_misses", finding: "cannot_tell" },
    ]);
    expect(JSON.stringify(verdictBlock(verdict))).toContain("A yes takes both scales");
  });

  test("access stands on both", () => {
    const cells = cellsOf([
      [known(0.3, 0.6, 0.5), known(0.3, 0.2)],
      [known(0.6, 0.6), known(0.6, 0.2, 0.5)],
    ]);
    const verdict = verdictOf(cells);
    expect(verdict).toMatchObject({ finding: "exceeds", decidedBy: "self_coefficient" });
    expect(verdict.reservations).toEqual([{ kind: "few_base_models", models: 2, fewest: 6 }]);
    expect(verdictOf(cells, 6).reservations).toEqual([]);
  });

  test("no self effect refutes no self-knowledge: a state that says what it would do itself has none", () => {
    const verdict = verdictOf(
      cellsOf([
        [0.5, 0.5],
        [0.5, 0.5],
      ]),
      6,
    );
    expect(verdict.finding).toBe("cannot_tell");
    expect(verdict.reservations).toEqual([{ kind: "likeness_hides_self" }]);
  });
});

describe("a cell without a miss", () => {
  test("of a state about itself counts as half a miss, so a perfect knower is found", () => {
    const [own] = onMissScale([{ predictor: "m", target: "m", accuracy: { ok: true, value: 1, n: N } }]);
    expect(own?.accuracy.ok && own.accuracy.value).toBeCloseTo(Math.log(2 * N), 12);
    const cells = cellsOf([
      [1, 0.4],
      [0.4, 1],
    ]);
    expect(verdictOf(cells)).toMatchObject({ finding: "exceeds" });
  });

  test("of another has no value, and nobody can tell", () => {
    const cells = cellsOf([
      [1, 0.3, 0.3],
      [1, 0.9, 0.3],
      [0.9, 0.3, 0.9],
    ]);
    expect(onMissScale(cells)[3]?.accuracy).toMatchObject({ ok: false, reason: expect.stringContaining("no miss") });
    const verdict = verdictOf(cells, 6);
    expect(verdict.finding).toBe("cannot_tell");
    expect(verdict.because[1]).toEqual({
      kind: "self_on_misses",
      key: "self_on_misses",
      finding: "unknown",
      reason: "one cell has no miss, so no value on this scale",
    });
    expect(JSON.stringify(verdictBlock(verdict))).toContain("is not known: one cell has no miss");
  });

  test("in a replicate counts as half a miss", () => {
    const [cell] = onMissScale(cellsOf([[0.995]]));
    expect(cell?.accuracy.ok && cell.accuracy.inReplicate?.(2)).toBeCloseTo(Math.log(2 * N), 12);
  });
});
