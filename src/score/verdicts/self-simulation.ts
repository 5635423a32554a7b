/** Does a prediction go through a simulated behavior? From what patches did inside, by the rule of score/simulation. */

import type { Finding } from "../comparison/comparison.js";
import { sideOfZero } from "../interval.js";
import type { Scores } from "../scores.js";
import type { JudgedSite, SimulationFinding, SimulationScores } from "../simulation/simulation.js";
import type { Experiment, Verdict, VerdictBecause, VerdictNumber, VerdictReservation } from "./verdict.js";

export const selfSimulation: Experiment = {
  name: "self_simulation",
  judge: ({ simulation, plan, scores }) => {
    if (!simulation) return "nothing_patched";
    const { confidence } = plan.score;
    const method = `cluster bootstrap by source string, ${plan.score.bootstrapReplicates} replicates`;
    return simulation.questions.map((question) =>
      verdictOf(question, scores, scores.confidence === confidence ? scores.intervalMethod : method),
    );
  },
};

/** A yes is a simulator's, a no a lookup's. */
export const SIMULATION_ANSWERS: Readonly<Record<SimulationFinding, Finding>> = {
  simulates: "exceeds",
  looks_up: "does_not_exceed",
  cannot_tell: "cannot_tell",
};

function verdictOf(question: SimulationScores, scores: Scores, intervalMethod: string): Verdict {
  const { state, task, property, sites, finding, reasons, decidedBy } = question;
  const place = decidedBy && sites.find(({ site, span }) => site === decidedBy.site && span === decidedBy.span);
  const shown = place ?? sites.find(({ role }) => role === "declared");
  const numbers = shown ? numbersOf(shown, intervalMethod) : [];
  const key = numbers.find((one) => one.measure === "simulation_slope")?.key ?? numbers[0]?.key;
  const found = shown ? SIMULATION_ANSWERS[finding] : "unknown";
  return {
    about: { kind: "simulation", predictor: state, target: state, task, property },
    finding: found,
    ...(key === undefined ? {} : { decidedBy: key }),
    numbers,
    because: [
      ...(key === undefined
        ? []
        : [
            {
              kind: "simulation_rule",
              key,
              finding: found,
              reasons,
              ...(shown ? { site: shown.site, span: shown.span } : {}),
              sites: sites.filter(({ role }) => role === "declared").length,
            } satisfies VerdictBecause,
          ]),
    ],
    reservations: reservationsOf(question, scores),
  };
}

function numbersOf(site: JudgedSite, intervalMethod: string): VerdictNumber[] {
  const at = { site: site.site, span: site.span };
  const number = (key: string, rest: Omit<VerdictNumber, "key" | "intervalMethod" | "at">): VerdictNumber => {
    return { key, at, intervalMethod, ...rest };
  };
  return [
    ...site.covariations.flatMap(({ by, slope, behaviorMoves, predictionMoves }) => [
      number(`slope/${by}`, {
        measure: "simulation_slope",
        against: by,
        estimate: slope,
        unit: "plain",
        baselines: {},
      }),
      number(`behavior_moves/${by}`, {
        measure: "behavior_moves",
        against: by,
        estimate: behaviorMoves,
        unit: "share",
        baselines: {},
      }),
      number(`prediction_moves/${by}`, {
        measure: "prediction_moves",
        against: by,
        estimate: predictionMoves,
        unit: "difference",
        baselines: { random: site.nulls.random, shifted: site.nulls.shifted },
      }),
    ]),
    number("donor_followed", {
      measure: "donor_followed",
      estimate: site.follow,
      unit: "difference",
      baselines: { donor_plain: site.followPlain },
    }),
    number("same_behavior_changes", {
      measure: "same_behavior_changes",
      estimate: site.sameChanges,
      unit: "share",
      baselines: {},
    }),
  ];
}

/** Of the state's predictions about itself, as they are scored. */
function notAboveMode({ state, task, property }: SimulationScores, { cells }: Scores): VerdictReservation[] {
  const cell = cells.find((one) => {
    return one.predictor === state && one.target === state && one.task === task && one.property === property;
  });
  if (!cell || sideOfZero(cell.aboveModeTrain) === "above") return [];
  return [{ kind: "not_above_mode", difference: cell.aboveModeTrain }];
}

function reservationsOf(question: SimulationScores, scores: Scores): VerdictReservation[] {
  const { finding, sites, values, isSaidAlike } = question;
  const declared = sites.filter(({ role }) => role === "declared");
  if (finding === "looks_up") {
    return [{ kind: "declared_sites_alone", sites: declared.length }, ...notAboveMode(question, scores)];
  }
  if (finding !== "simulates") return [];
  const isChanged = declared.some(({ judged }) =>
    judged.some(({ by, power }) => by === "changed" && power === "moved"),
  );
  return [
    ...(isSaidAlike ? [{ kind: "donors_said_alike" } as const] : []),
    ...(values <= 2 ? [{ kind: "two_values" } as const] : []),
    ...(isChanged ? [] : [{ kind: "moved_by_vectors_alone" } as const]),
  ];
}
