/** Where self-prediction is known to fail: long answers, being challenged, being right. Reported also, and above all, when it fails. */

import { statesOf } from "../../study/states.js";
import { warningsOfCell } from "../cell.js";
import { CLASSIFIERS } from "../input-only/input-only-predictions.js";
import { type Estimate, sideOfZero } from "../interval.js";
import type { CellScore } from "../scores.js";
import { type Experiment, intervalFinding, type Verdict } from "./verdict.js";

/** Properties of an answer as a whole, of a second answer, or of the world. */
export const LIMIT_PROPERTIES: readonly string[] = [
  "main_character_name",
  "story_length_bins",
  "how_many_words_bins",
  "number_of_words",
  "more_than_10_words",
  "sentiment",
  "keeps_answer",
  "is_correct",
  "is_right_word",
];

export const limits: Experiment = {
  name: "limits",
  judge: ({ scores, plan }) => {
    const states = statesOf(plan);
    const selves = plan.predictions.filter(
      (pair) => states.isMain(pair) && states.of(pair.predictor).origin === states.of(pair.target).origin,
    );
    const cells = scores.cells.filter(
      (cell) =>
        LIMIT_PROPERTIES.includes(cell.property) &&
        selves.some(({ predictor, target }) => cell.predictor === predictor && cell.target === target),
    );
    return cells.length > 0 ? cells.map((cell) => verdictOf(cell, scores.intervalMethod)) : "no_limit_property";
  },
};

function verdictOf(cell: CellScore, intervalMethod: string): Verdict {
  const { predictor, target, task, property, accuracy, aboveModeTrain, modeBaselineTrain, modeBaselineOracle } = cell;
  const finding = intervalFinding(sideOfZero(aboveModeTrain));
  const modes = { mode_train: modeBaselineTrain, mode_oracle: modeBaselineOracle };
  return {
    about: { kind: "property", property, task, predictor, target },
    finding,
    decidedBy: "above_mode_train",
    numbers: [
      {
        key: "above_mode_train",
        measure: "above_mode_train",
        estimate: aboveModeTrain,
        unit: "difference",
        baselines: { accuracy, mode_train: modeBaselineTrain },
        intervalMethod,
      },
      {
        key: "accuracy",
        measure: "accuracy",
        predictor,
        estimate: accuracy,
        unit: "share",
        baselines: { ...modes, ...rulesOf(cell) },
        intervalMethod,
      },
    ],
    because: [{ kind: "beats_mode", key: "above_mode_train", finding }],
    reservations: warningsOfCell(cell),
  };
}

/** Every rule on the string, and the classifier of strings under the name that it has elsewhere. */
function rulesOf({ heuristics }: CellScore): Record<string, Estimate> {
  return Object.fromEntries(Object.entries(heuristics).map(([name, one]) => [CLASSIFIERS[name] ?? name, one]));
}
