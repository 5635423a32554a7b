/** A number of a verdict: what it is called, and how it is written. */

import type { Verdict, VerdictNumber } from "../score/verdicts/verdict.js";
import { decimalText, formatEstimate, formatMissing, formatPoints } from "./document.js";
import { controlTitle } from "./injection-words.js";
import { MOVED_BY } from "./simulation-words.js";
import { byId, type StateNames } from "./state-names.js";
import { PARTY_PHRASES, readableName, SCOPE_NAMES } from "./terms.js";

export function measureText(number: VerdictNumber, names: StateNames = byId): string {
  const { predictor = "", against = "", before = "", scope, tasks, among } = number;
  const whose = `${names(predictor)}${scope === undefined ? "" : `, ${SCOPE_NAMES[scope]}`}`;
  switch (number.measure) {
    case "self_minus":
      return `self minus ${PARTY_PHRASES[against] ?? names(against)}${among ? AMONG[among] : ""}`;
    case "accuracy":
      return among ? `accuracy of self${AMONG[among]}` : `accuracy of ${names(predictor)}`;
    case "net_of_skill":
      return "self minus cross of both models, summed: skill and predictability taken out";
    case "net_of_skill_on_misses":
      return "the same of −log(1 − accuracy)";
    case "other_minus_self_above_mode":
      return `${names(predictor)} about itself minus self about itself, each above its mode`;
    case "behaviors_moved":
      return `behaviors that training changed (${names(before)} against ${names(predictor)})`;
    case "above_mode_train":
      return "accuracy minus the mode of the train strings";
    case "above_rule":
      return `accuracy minus ${rulePhrase(against)}`;
    case "mad_points":
      return "mean distance in ten bins (MAD), points";
    case "mad20_points":
      return "the same from 20 samples of each side, points";
    case "brier":
      return "Brier score";
    case "skill":
      return "skill over a constant predictor";
    case "skill_compliant":
      return "the same among replies with a value";
    case "brier_minus":
      return `Brier score minus that of ${names(against)}, paired`;
    case "new_minus_old":
      return `${whose}${tasks ? ` (${tasks.map(readableName).join(", ")})` : ""}: right about the new behavior minus right about the old`;
    case "above_mode_new":
      return `${whose}: right about the new behavior minus its most common value`;
    case "new_minus_old_matched":
      return `${whose}: the same with old and new behaviors equally frequent`;
    case "behaviors_shifted":
      return `${whose}: behaviors that shifted`;
    case "changed_minus":
      return `right about the new behavior: the changed model minus ${names(against)}`;
    case "self_coefficient":
      return number.unit === "plain" ? "coefficient of self" : "γ: self beyond skill, predictability and likeness";
    case "self_on_misses":
      return "γ on the scale of −log(1 − accuracy)";
    case "likeness_coefficient":
      return "δ: behaving alike in everything instead of nothing";
    case "self_without_likeness":
      return "γ without likeness";
    case "own_minus_other":
      return "says its own behavior minus the other's, where two behave differently";
    case "simulation_slope":
      return `Δ prediction on Δ behavior, moved by ${MOVED_BY[against] ?? against}${placed(number)}`;
    case "behavior_moves":
      return `behaviors that move by ${MOVED_BY[against] ?? against}${placed(number)}`;
    case "prediction_moves":
      return `predictions that go to the new behavior${placed(number)}`;
    case "donor_followed":
      return `predictions that follow a donor's behavior, less those with a donor of the same behavior${placed(number)}`;
    case "same_behavior_changes":
      return `predictions that a donor of the same behavior changes${placed(number)}`;
    case "injection_effect":
      return "effect of the injection on the answer that is right, nats";
    case "injection_beyond":
      return `${controlTitle(against)}, nats`.toLowerCase();
    case "self_with_effects":
      return "coefficient of self, with an effect of each judge and each judged state";
  }
}

function placed({ at }: VerdictNumber): string {
  return at ? `, at ${at.site} of ${at.span}` : "";
}

/** Where training moved the behavior of the target, or did not. */
export const AMONG = {
  moved: ", where training moved the behavior",
  unmoved: ", where training did not move the behavior",
} as const;

export function numberText({ estimate, unit }: Pick<VerdictNumber, "estimate" | "unit">): string {
  if (!estimate.ok) return formatMissing(estimate.reason);
  if (unit === "share") return formatEstimate(estimate);
  return unit === "difference" ? formatPoints(estimate) : decimalText(estimate, 3);
}

export function numberOf({ numbers }: Verdict, key: string | undefined): VerdictNumber | undefined {
  return numbers.find((one) => one.key === key);
}

/** The number that the finding rests on; the first where none does. */
export function decidingNumber(verdict: Verdict): VerdictNumber | undefined {
  return numberOf(verdict, verdict.decidedBy) ?? verdict.numbers[0];
}

export function rulePhrase(against: string): string {
  return PARTY_PHRASES[against] ?? `the best simple rule on the string (${readableName(against)})`;
}
