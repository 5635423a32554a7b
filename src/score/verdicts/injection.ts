/** Can a model tell that a concept was added to its states: notice it, name it, locate it, rate it? By the rule of score/injection. */

import type { Finding } from "../comparison/comparison.js";
import type { AbilityResult, InjectionOutcome, InjectionSetting } from "../injection/injection-scores.js";
import type { Experiment, Verdict, VerdictNumber } from "./verdict.js";

export const injectionExperiment: Experiment = {
  name: "injection",
  judge: ({ injection, plan }) => {
    if (!injection) return "nothing_injected";
    const method = `cluster bootstrap by concept, ${plan.score.bootstrapReplicates} replicates`;
    return injection.results.map((result) => verdictOf(result, method));
  },
};

/** There is no no: what is not shown at these settings may be so at others. */
const INJECTION_ANSWERS: Readonly<Record<InjectionOutcome, Finding>> = {
  shown: "exceeds",
  shift_towards_yes: "cannot_tell",
  any_vector: "cannot_tell",
  cannot_tell: "cannot_tell",
};

function verdictOf({ state, ability, outcome, settings }: AbilityResult, intervalMethod: string): Verdict {
  const found = settings.filter((one) => one.found);
  const shown = [...(found.length > 0 ? found : settings)].sort((a, b) => pOf(a) - pOf(b))[0];
  const finding = shown ? INJECTION_ANSWERS[outcome] : "unknown";
  const key = "effect";
  return {
    about: { kind: "injection", predictor: state, target: state, ability },
    finding,
    ...(shown ? { decidedBy: key } : {}),
    numbers: shown ? numbersOf(shown, intervalMethod) : [],
    because: shown
      ? [
          {
            kind: "injection_rule",
            key,
            finding,
            ability,
            outcome,
            site: shown.site,
            ...(shown.strength === undefined ? {} : { strength: shown.strength }),
            found: found.length,
            settings: settings.length,
          },
        ]
      : [],
    reservations:
      outcome === "shown" && ability !== "notice"
        ? [{ kind: "questions_of_one_kind", controls: shown?.among?.controls ?? 0 }]
        : [],
  };
}

function pOf({ adjusted }: InjectionSetting): number {
  return adjusted.ok ? adjusted.p : 1;
}

function numbersOf({ effect, beyond }: InjectionSetting, intervalMethod: string): VerdictNumber[] {
  return [
    {
      key: "effect",
      measure: "injection_effect",
      estimate: effect.estimate,
      unit: "plain",
      baselines: {},
      intervalMethod,
    },
    ...beyond.map(
      ({ control, estimate }): VerdictNumber => ({
        key: `beyond/${control}`,
        measure: "injection_beyond",
        against: control,
        estimate,
        unit: "plain",
        baselines: {},
        intervalMethod,
      }),
    ),
  ];
}
