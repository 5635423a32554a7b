import { describe, expect, test } from "vitest";
import type { Scores } from "../../src/score/scores.js";
import { judgeTraining } from "../../src/report/sections/training-verdict.js";
import { effectsOf, type TrainingEffect } from "../../src/score/verdicts/training-effect.js";
import { known, unknown } from "../fixtures/report/make-report-input.js";
import {
  ADAPTER,
  ALL_COMPLY,
  makeAfter,
  makeChange,
  makeCrossPlan,
  makeDrift,
  makeTrained,
  makeTrainedPlan,
  makeTrainedScores,
} from "../fixtures/report/make-trained-input.js";
import { plain } from "../fixtures/report/read-report.js";

function verdict(rest: Partial<Scores> = {}, plan = makeTrainedPlan()) {
  const {
    effects: [effect],
  } = effectsOf({ plan, scores: makeTrainedScores(rest), training: [makeTrained()] });
  const { finding, privilegedAccess, details } = judgeTraining(effect as TrainingEffect);
  return { finding: plain(finding), privilegedAccess, details: plain(details.join("\n")) };
}

const withAfter = (rest: Parameters<typeof makeAfter>[0]): Partial<Scores> => {
  const scores = makeTrainedScores();
  return {
    scopedAverages: scores.scopedAverages?.map((row) =>
      row.predictor === ADAPTER && row.target === "tiny"
        ? { ...makeAfter(rest), kind: row.kind, scope: row.scope }
        : row,
    ),
  };
};

describe("the change", () => {
  test.each([
    [known(0.37, 0.001, 0.41), "Training raised how often tiny predicts its own untrained behavior right"],
    [known(-0.1, -0.2, -0.001), "Training lowered how often"],
    [known(0.02, 0, 0.04), "Training is not shown to change how often"],
    [known(-0.02, -0.04, 0), "Training is not shown to change how often"],
    [unknown("nothing pairs"), "What training changed is not known (nothing pairs)."],
  ])("%j: %s", (change, words) => {
    const { finding } = verdict({ changes: [makeChange({ scope: "held_out_tasks", change })] });
    expect(finding).toContain(words);
    if (!words.includes("raised")) expect(finding).not.toContain("raised");
  });

  test("says both accuracies, the trials and the interval", () => {
    expect(verdict().finding).toContain(
      ": 3.1 % [2.0, 4.4] before, 40.0 % [37.0, 43.0] after, on the same 1,024 trials of 200 held-out strings, a change of +36.9 points [33.0, 41.0].",
    );
  });

  test.each([
    [
      "held_out_tasks",
      "On the held-out task (numbers): What training changed is not known: no cell has it: hardly varies.",
    ],
    [
      "held_out_strings",
      "On held-out strings of trained tasks (animals long): what training changed is not known: no cell has it: hardly varies; there",
    ],
  ])("of behaviors on %s that are in no average: the reason, and not that they were not asked", (scope, words) => {
    const scores = makeTrainedScores();
    const accuracy = unknown("no cell has it: hardly varies");
    const { finding, details } = verdict({
      changes: scores.changes?.filter((row) => row.scope !== scope),
      scopedAverages: scores.scopedAverages?.map((row) => (row.scope === scope ? { ...row, accuracy } : row)),
    });
    expect(`${finding} ${details}`).toContain(words);
    expect(finding + details).not.toContain("asked");
  });

  test("a macro change that concludes otherwise is named, one that agrees is not", () => {
    const scope = "held_out_tasks";
    const changes = [makeChange({ scope }), makeChange({ scope, kind: "macro", change: known(0.1, -0.1, 0.3) })];
    expect(verdict({ changes }).details).toContain(
      "(macro average), the change is +10.0 points [−10.0, 30.0], which includes 0.",
    );
    expect(verdict().details).not.toContain("macro average");
  });
});

describe("against the mode", () => {
  test.each([
    [
      known(0.09, 0.001, 0.13),
      "The trained predictions exceed the mode baseline of the train strings (31.0 % [28.2, 34.1]) by +9.0 points",
    ],
    [known(0.04, 0, 0.08), "The trained predictions are not shown to exceed the mode baseline of the train strings"],
    [
      known(-0.04, -0.08, -0.001),
      "do not exceed the mode baseline of the train strings (31.0 % [28.2, 34.1]) but fall short of it: difference −4.0 points",
    ],
    [
      unknown("no labels"),
      "Whether the trained predictions exceed the mode baseline of the train strings is not known (no labels).",
    ],
  ])("%j: %s", (aboveModeTrain, words) => {
    const { finding } = verdict(withAfter({ aboveModeTrain }));
    expect(finding).toContain(words);
    if (!words.includes(" by +")) expect(finding).not.toContain("points [0.1, 13.0]");
  });

  test("held-out tasks are the result; trained tasks stand beside it under their own name, and nothing is judged pooled", () => {
    const { finding, details } = verdict();
    expect(finding).toMatch(
      /^On the held-out task \(numbers\): Training raised .* The trained predictions are not shown to exceed the mode .* which includes 0\./,
    );
    expect(details).toMatch(
      /On held-out strings of trained tasks \(animals long\): .*; there the trained predictions exceed the mode/,
    );
    expect(finding + details).not.toMatch(/all held-out|pooled/);
  });

  test("about its own new behavior, and the baseline there", () => {
    expect(verdict().details).toContain(
      "About its own behavior as it is after training, the trained model is right in 40.0 % [37.0, 43.0] of 1,024 trials; there its predictions are not shown to exceed the mode",
    );
  });
});

describe("what it is no evidence of", () => {
  test("above the mode: controls are needed, and were not run", () => {
    expect(verdict().privilegedAccess).toMatch(
      /^Self-prediction above the mode is not privileged access by itself; .*\(cross-prediction\).*\(input-only\)\. Neither was run here\.$/,
    );
  });

  test("nowhere above the mode: nothing speaks for privileged access", () => {
    const scores = makeTrainedScores();
    const above = known(-0.01, -0.05, 0.03);
    const { privilegedAccess } = verdict({
      averages: scores.averages.map((row) => ({ ...row, aboveModeTrain: above })),
      scopedAverages: scores.scopedAverages?.map((row) => ({ ...row, aboveModeTrain: above })) ?? [],
    });
    expect(privilegedAccess).toMatch(/^Nothing here speaks for privileged access\./);
  });

  test("a cross-prediction in the study is named as the control that it is", () => {
    expect(verdict({}, makeCrossPlan()).privilegedAccess).toContain("Cross-prediction stands beside it in this report");
  });
});

describe("replies and drift", () => {
  test("few replies complied before: part of the gain can be form", () => {
    expect(verdict().details).toContain(
      "Of the replies, 12.0 % comply with the question's form before training and 100.0 % after. A reply that does not comply counts as wrong, so part of any gain can be the form of the reply alone: where it complies, 25.8 % [18.0, 34.0] of 123 were right before and 41.0 % [38.0, 44.0] of 1,000 after.",
    );
  });

  test("where all complied before, the form is no reason", () => {
    const scores = makeTrainedScores();
    const scopedAverages = scores.scopedAverages?.map((row) => ({ ...row, hypotheticalCompliance: ALL_COMPLY }));
    expect(verdict({ scopedAverages }).details).not.toContain("form of the reply alone");
  });

  test.each([
    [
      makeDrift(),
      "25.0 % [20.0, 30.0] of the 90 behaviors that it shows before and after differ. It shows 2 more only before and 5 more only after.",
    ],
    [
      makeDrift(known(0, 0, 0.08), { beforeOnly: 0, afterOnly: 0 }),
      "Training is not seen to move what the model does: none of the 90 behaviors that it shows before and after differ (0.0 % [0.0, 8.0]).",
    ],
    [
      makeDrift(unknown("none is there twice")),
      "How far training moved the behavior itself is not known: none is there twice.",
    ],
  ])("%#: drift in words", (drift, words) => {
    expect(verdict({ drift: [drift] }).details).toContain(words);
  });
});
