/** Where self-prediction is known to fail: long answers, being challenged, being right. Reported also, and above all, when it fails. */

import { formatEstimate, formatPoints } from "../report/document.js";
import { mainPairs } from "../report/words.js";
import type { Finding } from "../score/comparison/comparison.js";
import { sideOfZero } from "../score/interval.js";
import type { CellScore } from "../score/scores.js";
import { type Experiment, type ExperimentVerdict, intervalFinding } from "./experiments.js";
import { statesOf } from "../study/states.js";

/** Properties of an answer as a whole, of a second answer, or of the world. */
const LIMIT_PROPERTIES: readonly string[] = [
  "main_character_name",
  "story_length_bins",
  "how_many_words_bins",
  "number_of_words",
  "more_than_10_words",
  "sentiment",
  "keeps_answer",
  "is_correct",
];

export const limits: Experiment = {
  name: "limits",
  question:
    "Does self-prediction reach properties of long answers, of being challenged, and of being right, beyond their most common value?",
  judge: ({ scores, plan }) => {
    const states = statesOf(plan);
    const isMain = mainPairs(plan);
    const selves = plan.predictions.filter(
      (pair) => isMain(pair) && states.of(pair.predictor).model === states.of(pair.target).model,
    );
    const cells = scores.cells.filter(
      (cell) =>
        LIMIT_PROPERTIES.includes(cell.property) &&
        selves.some(({ predictor, target }) => cell.predictor === predictor && cell.target === target),
    );
    return cells.length > 0
      ? cells.map((cell) => verdictOf(cell, scores.intervalMethod))
      : `no task of the study has one of the properties ${LIMIT_PROPERTIES.join(", ")}`;
  },
};

function verdictOf(cell: CellScore, intervalMethod: string): ExperimentVerdict {
  const { predictor, target, task, property, accuracy, aboveModeTrain, modeBaselineTrain, modeBaselineOracle } = cell;
  const finding = intervalFinding(sideOfZero(aboveModeTrain));
  return {
    about: `${property} of ${task}: ${predictor} about ${target}`,
    finding,
    sentence: `${WORDS[finding]}: ${formatEstimate(accuracy)} against ${formatEstimate(modeBaselineTrain)}, ${formatPoints(aboveModeTrain)}.`,
    numbers: [
      {
        label: "accuracy",
        estimate: accuracy,
        unit: "share",
        baselines: { mode_train: modeBaselineTrain, mode_oracle: modeBaselineOracle, ...cell.heuristics },
        intervalMethod,
      },
    ],
    because: cell.warnings,
  };
}

const WORDS: Record<Finding, string> = {
  exceeds: "It beats always giving the most common behavior",
  does_not_exceed: "It falls short of always giving the most common behavior",
  cannot_tell: "It is not shown to beat always giving the most common behavior",
  unknown: "It cannot be compared with always giving the most common behavior",
};
