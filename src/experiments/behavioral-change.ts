/** When a model is finetuned to behave otherwise, and asked no hypothetical question meanwhile, do its predictions follow? */
import type { ExperimentNumber, ExperimentVerdict } from "../records/experiments.js";
import type { ChangeShifts, ShiftArm, ShiftScope } from "../records/shifts.js";
import { armSentence, changeTitle } from "../report/change/shift-words.js";
import type { Experiment } from "./experiment.js";

export const behavioralChange: Experiment = {
  name: "behavioral_change",
  question:
    "After a model was finetuned to behave otherwise, on object-level questions alone, do its predictions follow what it does now?",
  judge: ({ shifts }) => (shifts ? shifts.changes.map(changeVerdict) : "no behavior was changed"),
};

function changeVerdict(change: ChangeShifts): ExperimentVerdict {
  const { arms, finding, because } = change;
  return {
    about: changeTitle(change),
    finding,
    sentence: arms.map(armSentence).join(" "),
    numbers: arms.flatMap((arm) => numbersOf(arm, change)),
    because,
  };
}

const WHERE: Record<ShiftScope, string> = {
  all: "",
  taught: ", taught tasks",
  elsewhere: ", tasks that were not taught",
};

function numbersOf({ predictor, scopes }: ShiftArm, { taughtTasks }: ChangeShifts): ExperimentNumber[] {
  return Object.entries(scopes).flatMap(([scope, scores]): ExperimentNumber[] => {
    if (scope === "taught" && !scopes.elsewhere) return [];
    const [micro] = scores.overall;
    const [matched] = scores.entropyMatched;
    const where = WHERE[scope as ShiftScope];
    const { intervalMethod } = micro;
    const of = taughtTasks.length > 0 && scope === "taught" ? ` (${taughtTasks.join(", ")})` : "";
    return [
      {
        label: `${predictor}${where}${of}: right about the new behavior minus right about the old`,
        estimate: micro.difference,
        unit: "difference",
        baselines: {
          about_new: micro.aboutNew,
          mode_new: micro.modeNew,
          about_old: micro.aboutOld,
          mode_old: micro.modeOld,
        },
        intervalMethod,
      },
      {
        label: `${predictor}${where}: the same with old and new behaviors equally frequent`,
        estimate: matched.difference,
        unit: "difference",
        baselines: { about_new: matched.aboutNew, about_old: matched.aboutOld },
        intervalMethod: matched.intervalMethod,
      },
      {
        label: `${predictor}${where}: behaviors that shifted`,
        estimate: scores.shifted,
        unit: "share",
        baselines: {},
        intervalMethod,
      },
    ];
  });
}
