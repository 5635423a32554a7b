/** Where self-prediction is known to fail: long answers, being challenged, being right. Reported also, and above all, when it fails. */

import { statesOf } from "../../study/states.js";
import { warningsOfCell } from "../cell.js";
import { worstFinding } from "../comparison/judge.js";
import { CLASSIFIERS } from "../input-only/input-only-predictions.js";
import { type Estimate, sideOfZero } from "../interval.js";
import type { CellScore, Scores } from "../scores.js";
import { behaviorCell } from "../varying.js";
import {
  bestRuleOf,
  type Experiment,
  intervalFinding,
  smallestOf,
  type Verdict,
  type VerdictNumber,
} from "./verdict.js";

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
    if (cells.length === 0) return "no_limit_property";
    const varying = cells.filter((cell) => !scores.notAveraged.some((one) => behaviorCell(one) === behaviorCell(cell)));
    return varying.length > 0 ? varying.map((cell) => verdictOf(cell, scores)) : "nothing_to_judge";
  },
};

/** Better than the mode is not enough: a rule on the string, or a classifier of strings, may do as well without any model. */
function verdictOf(cell: CellScore, scores: Scores): Verdict {
  const { intervalMethod } = scores;
  const { predictor, target, task, property, accuracy, aboveModeTrain, modeBaselineTrain, modeBaselineOracle } = cell;
  const modes = { mode_train: modeBaselineTrain, mode_oracle: modeBaselineOracle };
  const rules = rulesToBeat(cell).map(({ against, rule }) => ({
    key: `above_rule/${against}`,
    against,
    above: cell.aboveHeuristics[rule] as Estimate,
    itself: cell.heuristics[rule] as Estimate,
  }));
  const because = [
    { kind: "beats_mode" as const, key: "above_mode_train", finding: intervalFinding(sideOfZero(aboveModeTrain)) },
    ...rules.map(({ key, against, above }) => ({
      kind: "beats_rule" as const,
      key,
      against,
      finding: intervalFinding(sideOfZero(above)),
    })),
  ];
  const finding = worstFinding(because.map((one) => one.finding));
  const numbers: VerdictNumber[] = [
    {
      key: "above_mode_train",
      measure: "above_mode_train",
      estimate: aboveModeTrain,
      unit: "difference",
      baselines: { accuracy, mode_train: modeBaselineTrain },
      intervalMethod,
    },
    ...rules.map(
      ({ key, against, above, itself }): VerdictNumber => ({
        key,
        measure: "above_rule",
        against,
        estimate: above,
        unit: "difference",
        baselines: { accuracy, [against]: itself },
        intervalMethod,
      }),
    ),
    {
      key: "accuracy",
      measure: "accuracy",
      predictor,
      estimate: accuracy,
      unit: "share",
      baselines: { ...modes, ...rulesOf(cell) },
      intervalMethod,
    },
    ...besideDrift(scores, cell),
  ];
  return {
    about: { kind: "property", property, task, predictor, target },
    finding,
    decidedBy: smallestOf(finding, because, numbers),
    numbers,
    because,
    reservations: warningsOfCell(cell),
  };
}

/** Of a trained target: apart where training moved the behavior and where it did not. One cell holds few moved strings, so nothing is judged by them. */
function besideDrift({ cellsByDrift = [], intervalMethod }: Scores, cell: CellScore): VerdictNumber[] {
  const { predictor, target, task, property, variant } = cell;
  const apart = cellsByDrift.find(
    (one) =>
      one.predictor === predictor &&
      one.target === target &&
      one.task === task &&
      one.property === property &&
      one.variant === variant,
  );
  if (!apart) return [];
  return (["moved", "unmoved"] as const).map((among) => ({
    key: `accuracy_${among}`,
    measure: "accuracy",
    predictor,
    among,
    estimate: apart[among],
    unit: "share",
    baselines: {},
    intervalMethod,
  }));
}

/** The rule that is right most often, chosen after the fact: in its favor; and every classifier of strings that was asked. */
function rulesToBeat({ heuristics }: CellScore): { against: string; rule: string }[] {
  const best = bestRuleOf(heuristics);
  const classifiers = Object.keys(heuristics).filter((rule) => CLASSIFIERS[rule] !== undefined && heuristics[rule]?.ok);
  return [
    ...(best ? [{ against: best.rule, rule: best.rule }] : []),
    ...classifiers.map((rule) => ({ against: CLASSIFIERS[rule] as string, rule })),
  ];
}

/** Every rule on the string, and the classifier of strings under the name that it has elsewhere. */
function rulesOf({ heuristics }: CellScore): Record<string, Estimate> {
  return Object.fromEntries(Object.entries(heuristics).map(([name, one]) => [CLASSIFIERS[name] ?? name, one]));
}
