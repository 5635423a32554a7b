/** What patches found, in words: the rule's answers, their reasons, and what weakens them. */

import type { Finding } from "../score/comparison/comparison.js";
import { BEHAVIOR_MOVED, PLANTED_SLOPE, SAME_CHANGES, type SimulationReason } from "../score/simulation/simulation.js";
import type { VerdictBecause, VerdictReservation } from "../score/verdicts/verdict.js";
import { formatCount, formatPercent, formatPoints } from "./document.js";

/** By what behavior was moved while the text stayed. */
export const MOVED_BY: Readonly<Record<string, string>> = {
  steered: "steering vectors",
  changed: "another state of the model",
};

export const SIMULATION_REASONS: Readonly<Record<SimulationReason, string>> = {
  covaries: `predictions move with behavior: the slope lies above 0 and reaches ${PLANTED_SLOPE}, which planted simulators show`,
  done_or_said_unclear: "whether a donor's behavior is followed, or what the model says of it, cannot be told",
  does_not_covary: "predictions do not move with behavior",
  not_followed: "a donor's behavior is not followed",
  same_behavior_moves: `a donor with the same behavior changes more than ${formatPercent(SAME_CHANGES)} of predictions`,
  same_behavior_unclear: `whether a donor with the same behavior changes less than ${formatPercent(SAME_CHANGES)} of predictions cannot be told`,
  follows_what_is_said: "predictions follow what the model says of a donor rather than what it does",
  slope_between:
    "the slope lies between that of a lookup and that of a simulator: a part of the strings, or of the mechanism",
  no_power: `behavior is not shown to move there in more than ${formatPercent(BEHAVIOR_MOVED)} of answers`,
  too_few_strings: "too few strings were moved",
  broken: "most patches leave answers that show no value",
  direct_path:
    "predictions move even at the end of the last layer, where only the unembedding reads: what is written is said directly",
  text: "these are words of the string: what is written there is another text",
  after_last_read: "the end of the last layer, a null",
  onset_not_declared:
    "where behavior is formed is not among the sites with the layer before it: a simulator may have read it earlier",
  unclear_elsewhere: "so no lookup is told from the other sites",
  nothing_scored: "nothing was scored",
};

const RULE: Readonly<Record<Finding, string>> = {
  exceeds: "Predictions go through a simulated behavior",
  does_not_exceed: "Predictions are looked up, as far as the declared sites go",
  cannot_tell: "Whether predictions go through a simulated behavior cannot be told",
  unknown: "Whether predictions go through a simulated behavior is not known",
};

export function simulationSentence(
  { finding, reasons, site, span, sites }: Extract<VerdictBecause, { kind: "simulation_rule" }>,
  text: string,
): string {
  const where = site === undefined ? "" : ` at ${site} of ${span}`;
  const why = reasons.map((reason) => SIMULATION_REASONS[reason]).join("; ");
  return `${RULE[finding]}: Δ prediction on Δ behavior${where} ${text}, ${formatCount(sites)} sites declared (${why}).`;
}

type SimulationReservation = Extract<
  VerdictReservation,
  { kind: "donors_said_alike" | "two_values" | "moved_by_vectors_alone" | "declared_sites_alone" | "not_above_mode" }
>;

export function simulationReservation(one: SimulationReservation): string {
  switch (one.kind) {
    case "donors_said_alike":
      return "Too few donors do otherwise than the model says of them: that their behavior is followed, and not what would be said of them, was not told apart.";
    case "two_values":
      return "Behavior has no more than two values here. Predictions that each of them pushes somewhere by chance go the right way in one model of four that simulates nothing: a yes takes a property of three values or more, or several properties.";
    case "moved_by_vectors_alone":
      return "Behavior was moved by means over strings alone. Where what strings with one behavior share is read from the text, a lookup would move with it; another state of the model on the same string (patching.states) would tell.";
    case "not_above_mode":
      return `It is not shown that it knows its behavior: its predictions less the mode of the train strings, ${formatPoints(one.difference)}. What does not know a behavior moves with none, whether it looks anything up or not.`;
    case "declared_sites_alone":
      return `At other places than the ${formatCount(one.sites)} declared sites a simulated behavior may stand unseen.`;
  }
}
