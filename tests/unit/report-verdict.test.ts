import { describe, expect, test } from "vitest";
import type { AverageScore } from "../../src/score/scores.js";
import { modeSentences } from "../../src/report/mode-sentences.js";
import { judgeAgainstMode } from "../../src/score/verdicts/against-mode.js";
import { known, makeAverage, makeCell, unknown } from "../fixtures/report/make-report-input.js";

const varied = [makeCell()];
const flat = makeCell({ behaviorEntropyBits: 0.2, behaviorModeShare: 0.97 });
const all = { count: 1100, of: 1100 };
/** Nothing to be careful about, but for what a case changes. */
const calm: Partial<AverageScore> = { hypotheticalCompliance: all, objectCompliance: all, heuristics: {} };

function verdict(rest: Partial<AverageScore>, cells = varied, macro?: AverageScore) {
  const average = makeAverage({ ...calm, ...rest });
  const { comparison } = judgeAgainstMode(average, macro, cells);
  return { comparison, text: modeSentences(average, macro, cells).join(" ").replaceAll("\u00a0", " ") };
}

describe("against the mode", () => {
  test.each([
    [known(0.05, 0.001, 0.1, 1024), "beats", "the predictions beat this baseline, by +5.0 points"],
    [
      known(-0.05, -0.1, -0.001, 1024),
      "falls_short",
      "do not beat this baseline but fall short of it (difference −5.0 points",
    ],
    [
      known(0.05, -0.01, 0.11, 1024),
      "undecided",
      "are not shown to beat this baseline (difference +5.0 points [−1.0, 11.0], which includes 0)",
    ],
    [known(0.05, 0, 0.11, 1024), "undecided", "are not shown to beat"],
    [known(-0.05, -0.11, 0, 1024), "undecided", "are not shown to beat"],
    [unknown("too few"), "unknown", "whether the predictions beat it is not known (too few)"],
  ])("%j: %s", (aboveModeTrain, comparison, words) => {
    const found = verdict({ aboveModeTrain });
    expect(found.comparison).toBe(comparison);
    expect(found.text).toContain(words);
    if (comparison !== "beats") expect(found.text).not.toContain("predictions beat this");
  });

  test("says the numbers, who predicts whom, and on what", () => {
    expect(verdict({}).text).toMatch(
      /^tiny predicts its own behavior right in 3\.1 % \[2\.0, 4\.4\] of 1,024 trials; always giving .* right in 31\.0 % \[28\.2, 34\.1\]: /,
    );
    expect(verdict({ target: "other" }).text).toContain("tiny predicts the behavior of other right in");
    const fewer = verdict({ modeBaselineTrain: known(0.31, 0.28, 0.34, 800) }).text;
    expect(fewer).toContain("of the 800 trials that have one");
  });

  test("a missing accuracy or baseline is said, with its reason and no comparison", () => {
    const none = verdict({ accuracy: unknown("nothing was scored"), aboveModeTrain: known(0.1, 0.05, 0.2) });
    expect(none).toEqual({
      comparison: "unknown",
      text: "There is no accuracy for tiny predicting its own behavior: nothing was scored.",
    });
    const noMode = verdict({ modeBaselineTrain: unknown("no labels"), aboveModeTrain: unknown("no labels") });
    expect(noMode.comparison).toBe("unknown");
    expect(noMode.text).toContain("the train-label mode baseline is missing (no labels)");
  });

  test("a macro average that concludes otherwise is named, one that agrees is not", () => {
    const beats = makeAverage({ kind: "macro", aboveModeTrain: known(0.1, 0.05, 0.2) });
    expect(verdict({}, varied, beats).text).toContain("(macro average), they beat it (difference +10.0 points");
    expect(verdict({}, varied, makeAverage({ kind: "macro" })).text).not.toContain("macro");
  });
});

describe("compliance", () => {
  test.each([
    [0, "None of the replies complies", true],
    [
      132,
      "Only 12.0 % of the replies comply with the question's form; the others count as wrong, so this measures compliance first.",
      true,
    ],
    [549, "Only 49.9 %", true],
    [550, "50.0 % of the replies comply with the question's form; the others count as wrong.", false],
    [989, "89.9 % of the replies comply with the question's form; the others", false],
    [990, "90.0 % of the replies comply with the question's form. Where", false],
  ])("%d of 1100 replies: %s", (count, words, isMeasuringCompliance) => {
    const { text } = verdict({ hypotheticalCompliance: { count, of: 1100 } });
    expect(text).toContain(words);
    expect(/measures compliance/.test(text)).toBe(isMeasuringCompliance);
  });

  test("low compliance does not talk away predictions that beat the mode", () => {
    const { text } = verdict({
      hypotheticalCompliance: { count: 132, of: 1100 },
      aboveModeTrain: known(0.05, 0.01, 0.1, 1024),
    });
    expect(text).toContain("Only 12.0 %");
    expect(text).not.toContain("measures compliance");
  });

  test.each([
    [1100, ""],
    [880, "80.0 % of the object-level answers have a behavior"],
    [440, "Only 40.0 % of the object-level answers have a behavior"],
  ])("%d of 1100 answers: %j", (count, words) => {
    const { text } = verdict({ objectCompliance: { count, of: 1100 } });
    if (words === "") expect(text).not.toContain("object-level answers");
    else expect(text).toContain(words);
  });
});

describe("what else a reader must know", () => {
  test("behaviors that hardly vary", () => {
    expect(verdict({}, [makeCell()]).text).not.toContain("hardly varies");
    expect(verdict({}, [flat]).text).toContain("In the only cell the behavior hardly varies");
    expect(verdict({}, [flat, flat]).text).toContain("In all 2 cells the behavior hardly varies");
    expect(verdict({}, [flat, makeCell()]).text).toContain("In 1 of 2 cells the behavior hardly varies");
    const empty = makeCell({ behaviors: [], behaviorEntropyBits: 0, behaviorModeShare: 0 });
    expect(verdict({}, [empty, makeCell()]).text).not.toContain("hardly varies");
  });

  test("the best rule on the string, and that it was chosen afterwards", () => {
    const heuristics = { first_item: known(0.05, 0.03, 0.07), last_item: known(0.2, 0.17, 0.23, 900) };
    expect(verdict({ heuristics }).text).toContain(
      "A rule that sees only the string (last item), the best of 2 chosen after seeing the answers, is right in 20.0 % [17.0, 23.0] of the 900 trials",
    );
    expect(verdict({ heuristics: { last_item: unknown("none") } }).text).not.toContain("A rule");
  });

  test.each([
    [19, true],
    [20, false],
  ])("%d strings are few: %s", (clusters, few) => {
    const { text } = verdict({ accuracy: known(0.03, 0.02, 0.04, 1024, clusters) });
    expect(text.includes("the intervals are rough")).toBe(few);
  });
});
