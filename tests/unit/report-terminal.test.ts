/** What a finished run says on the terminal, and what is seen while it trains. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { showProgress } from "../../src/cli/progress.js";
import { summarize } from "../../src/cli/summary.js";
import type { Plan } from "../../src/study/plan.js";
import type { Scores } from "../../src/score/scores.js";
import { RunFolder } from "../../src/run/folder.js";
import { writeJson } from "../../src/base/files.js";
import { FLOOR, known, makePlan, makeScores } from "../fixtures/report/make-report-input.js";
import { makeChange, makeTrainedPlan, makeTrainedScores } from "../fixtures/report/make-trained-input.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-summary-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function linesFor(plan: Plan, scores: Scores): Promise<string[]> {
  const run = await RunFolder.create(folder, plan);
  try {
    await writeJson(run.file("scores"), scores);
    await writeJson(run.file("noiseFloor"), [FLOOR]);
    return (await summarize({ folder, plan, scores })).text.split("\n").map((line) => line.replace(/ {2,}/g, " | "));
  } finally {
    await run.close();
  }
}

test("a trained study: before, after and the mode side by side, a row for each scope", async () => {
  const scores = makeTrainedScores({
    changes: [
      makeChange({ accuracyAboutItself: known(0.35, 0.3, 0.4) }),
      makeChange({ kind: "macro" }),
      makeChange({ scope: "held_out_tasks", accuracyAboutItself: known(0.33, 0.28, 0.38) }),
    ],
  });
  const lines = await linesFor(makeTrainedPlan(), scores);
  expect(lines.slice(0, 7)).toEqual([
    "tiny predicts itself, before and after training (tiny-predicts-tiny):",
    "% of trials right | trials | strings | before | after | change, points | mode (train) | after − mode, points | about itself now",
    expect.stringMatching(/^-+ \| /),
    "held-out tasks | 1024 | 200 | 3.1 [2.0, 4.4] | 40.0 [37.0, 43.0] | 36.9 [33.0, 41.0] | 31.0 [28.2, 34.1] | -2.0 [-6.0, 2.0] | 33.0 [28.0, 38.0] of 47 trials",
    "all, pooled | 1024 | 200 | 3.1 [2.0, 4.4] | 40.0 [37.0, 43.0] | 36.9 [33.0, 41.0] | 31.0 [28.2, 34.1] | 9.0 [5.0, 13.0] | 35.0 [30.0, 40.0] of 47 trials",
    "replies that comply: 12.0 % before, 100.0 % after; the others count as wrong",
    "behavior that training changed: 25.0 [20.0, 30.0] % of 90 behaviors that tiny and tiny-predicts-tiny both have",
  ]);
});

test("an untrained study: its averages, each with what it rests on, and no word of training", async () => {
  const scores = makeScores();
  const [average] = scores.averages;
  if (!average?.accuracy.ok) throw new Error("The fixture has an accuracy.");
  const few = { ...average, predictor: "other", accuracy: { ...average.accuracy, n: 7, clusters: 5 } };
  const none = { ok: false, reason: "no cell has it" } as const;
  const lost = { ...average, predictor: "lost", accuracy: none, modeBaselineTrain: none };
  const lines = await linesFor(makePlan(), { ...scores, averages: [average, few, lost] });
  expect(lines[0]).toMatch(/^predictor → target \| average \| trials \| strings \| accuracy, % \| mode \(train\), %/);
  const { n, clusters } = average.accuracy;
  expect(lines[2]).toMatch(
    new RegExp(`^tiny → tiny \\| micro \\| ${n} \\| ${clusters} \\| 3\\.1 \\[2\\.0, 4\\.4\\] \\| 31\\.0`),
  );
  expect(lines[3]).toMatch(/^other → tiny \| micro \| 7 \| 5 \| 3\.1/);
  expect(lines[4]).toMatch(/^lost → tiny \| micro \| — \| — \| — \| — \| /);
  // The reason once, and no n of the first row for all of them.
  expect(lines[5]).toBe("— lost → tiny: no cell has it");
  expect(lines.join("\n")).not.toContain("n = ");
  expect(lines.join("\n")).not.toContain("training");
});

test("progress shows the loss and the rate beside the steps, and nothing where there is no detail", () => {
  vi.stubEnv("CI", "1");
  const write = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  try {
    const { update, end } = showProgress();
    update({ stage: "training a", done: 2, total: 2, unit: "steps", detail: "loss 0.531, 120 tokens/s" });
    update({ stage: "hypothetical", done: 3, total: 3, unit: "questions" });
    end();
    expect(write.mock.calls.map(([text]) => text)).toEqual([
      "training a: step 2/2 · loss 0.531, 120 tokens/s\n",
      "hypothetical: 3/3\n",
    ]);
  } finally {
    write.mockRestore();
    vi.unstubAllEnvs();
  }
});

test("the first line of a stage is printed at once, however young the process; the next when some seconds have gone by", () => {
  vi.stubEnv("CI", "1");
  const write = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  const now = vi.spyOn(performance, "now").mockReturnValue(20);
  try {
    const { update } = showProgress();
    const distributions = (done: number) => update({ stage: "distributions", done, total: 12, unit: "questions" });
    distributions(0);
    distributions(1);
    now.mockReturnValue(5_020);
    distributions(2);
    expect(write.mock.calls.map(([text]) => text)).toEqual([
      "distributions: 0/12\n",
      "distributions: 2/12 · 0.4/s · 25 s left\n",
    ]);
  } finally {
    now.mockRestore();
    write.mockRestore();
    vi.unstubAllEnvs();
  }
});
