/** 08-experiments.json: what each experiment of a study found, by rule, as data. */

import type { PlannedPrimary } from "../../study/plan.js";
import type { ExperimentName } from "../../study/schema.js";
import { statesOf } from "../../study/states.js";
import { behavioralChange } from "./behavioral-change.js";
import { calibration } from "./calibration.js";
import { crossPrediction } from "./cross-prediction.js";
import { injectionExperiment } from "./injection.js";
import { limits } from "./limits.js";
import { matrix } from "./matrix-verdict.js";
import { quotationReservations } from "./quotation.js";
import { selfPrediction } from "./self-prediction.js";
import { selfSimulation } from "./self-simulation.js";
import type { Experiment, NoVerdict, Verdict, VerdictInput, VerdictReservation } from "./verdict.js";

export interface ExperimentResult {
  readonly name: ExperimentName;
  /** Empty: nothing could be judged, and `missing` says why. */
  readonly verdicts: readonly Verdict[];
  readonly missing?: NoVerdict;
}

/** The content of 08-experiments.json. Version 1 had sentences, 2 verdicts on pooled scopes. */
export interface ExperimentResults {
  readonly experimentsVersion: typeof EXPERIMENTS_VERSION;
  /** The contrast that the study is judged by, as its plan settles it; absent where it names none: then every verdict is exploratory. */
  readonly primary?: PlannedPrimary;
  readonly experiments: readonly ExperimentResult[];
}

export const EXPERIMENTS_VERSION = 3;

/** In the order in which a report tells of them. */
const ALL: readonly Experiment[] = [
  selfPrediction,
  crossPrediction,
  calibration,
  behavioralChange,
  matrix,
  limits,
  selfSimulation,
  injectionExperiment,
];

/** Nothing is judged of a plan that is older than experiments. */
export function experimentResults(input: VerdictInput): ExperimentResults {
  const asked = ALL.filter(({ name }) => input.plan.experiments?.includes(name));
  const { primary } = input.plan;
  return {
    experimentsVersion: EXPERIMENTS_VERSION,
    primary,
    experiments: asked.map((one) => resultOf(one, input)),
  };
}

function resultOf({ name, judge }: Experiment, input: VerdictInput): ExperimentResult {
  const verdicts = judge(input);
  if (typeof verdicts === "string") return { name, verdicts: [], missing: verdicts };
  if (verdicts.length === 0) return { name, verdicts: [], missing: "nothing_to_judge" };
  const { plan } = input;
  const reserved = verdicts.map((verdict) => {
    const ofPlan = [...implantsIn(verdict, plan), ...quotationReservations(plan, verdict.about)];
    const { status = "exploratory" } = verdict;
    return { ...verdict, status, reservations: [...verdict.reservations, ...ofPlan] };
  });
  return { name, verdicts: reserved };
}

/** The implants of the states that a verdict is about: what such a state does, or knows, was planted in it. */
function implantsIn({ about }: Verdict, plan: VerdictInput["plan"]): VerdictReservation[] {
  const states = statesOf(plan);
  const named = Object.entries(about).flatMap(([as, name]) => (STATES_IN.includes(as) ? [String(name)] : []));
  const origins = [...new Set(named.map((name) => states.of(name).origin))];
  return origins.flatMap((state): VerdictReservation[] => {
    const { implant } = states.of(state);
    return implant ? [{ kind: "implanted", implant: implant.name, state, told: implant.told === true }] : [];
  });
}

/** Keys of what a verdict is about that hold the name of a state. */
const STATES_IN: readonly string[] = ["self", "cross", "target", "predictor", "before", "after"];
