/** When a model is finetuned to behave otherwise, and asked no hypothetical question meanwhile, do its predictions follow? */
import type { ExperimentNumber, ExperimentVerdict } from "../records/experiments.js";
import type { ChangeShifts, ShiftArm, ShiftScope } from "../records/shifts.js";
import { formatCount, formatPoints } from "../report/format-number.js";
import type { Experiment } from "./experiment.js";

export const behavioralChange: Experiment = {
  name: "behavioral_change",
  question:
    "After a model was finetuned to behave otherwise, on object-level questions alone, do its predictions follow what it does now?",
  judge: ({ shifts }) => (shifts ? shifts.changes.map(verdictOf) : "no behavior was changed"),
};

function verdictOf(change: ChangeShifts): ExperimentVerdict {
  const { name, before, after, arms, finding, because } = change;
  return {
    about: `${name}: ${before} became ${after}`,
    finding,
    sentence: arms.map(sentenceOf).join(" "),
    numbers: arms.flatMap((arm) => numbersOf(arm, change)),
    because,
  };
}

const WHO = {
  changed: "The changed model",
  unchanged: "The model that never saw the change",
  cross: "The cross-predictor that never saw the change",
} as const;

function sentenceOf({ role, predictor, judgement, scopes }: ShiftArm): string {
  const [micro] = scopes.all?.overall ?? [];
  const shifted = micro?.difference.ok ? ` (${formatCount(micro.difference.n)} trials whose behavior shifted)` : "";
  const points = formatPoints(judgement.difference);
  switch (judgement.finding) {
    case "exceeds":
      return `${WHO[role]}, ${predictor}, follows the new behavior: new minus old ${points}${shifted}.`;
    case "does_not_exceed":
      return `${WHO[role]}, ${predictor}, does not follow the new behavior: new minus old ${points}${shifted}.`;
    case "cannot_tell":
      return `Whether ${predictor} follows the new behavior cannot be told: new minus old ${points}${shifted}.`;
    case "unknown":
      return `Which behavior ${predictor} follows is not known: ${judgement.because.join("; ")}.`;
  }
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
