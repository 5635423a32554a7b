/** The verdict on privileged access as sentences; every one follows from a finding and carries its numbers. */
import type { Finding, Judgement, PrivilegedAccess, SelfPredictionVerdict } from "../records/comparison.js";
import { formatPoints } from "./format-number.js";

/** Who stands where a third party's name does. */
const THIRD_PARTIES: Readonly<Record<string, string>> = {
  mode_train: "the most common behavior of the train strings",
  best_heuristic: "the best simple rule on the string",
  input_only: "a classifier that sees the string alone",
  untrained: "the same model before training",
  scrambled_labels: "an adapter that learnt the same labels on other strings",
  format_only: "an adapter that learnt to read properties off quoted answers",
};

const OVERALL: Record<Finding, string> = {
  exceeds: "Self-prediction exceeds everything that it was compared with",
  does_not_exceed: "Self-prediction does not exceed everything that it was compared with",
  cannot_tell: "Whether self-prediction exceeds everything that it was compared with cannot be told from these trials",
  unknown: "Whether self-prediction exceeds everything that it was compared with is not known",
};

/** @returns the whole first, then one sentence for each comparison, then what was not compared */
export function privilegedAccessSentences({ cross, thirdParties, notCompared, overall }: PrivilegedAccess): string[] {
  const missing = Object.keys(notCompared).length === 0 ? "" : ", which is not all that it should be";
  return [
    `${OVERALL[overall]}${missing}.`,
    sentence("cross-prediction", cross),
    ...Object.entries(thirdParties).map(([name, judgement]) => sentence(THIRD_PARTIES[name] ?? name, judgement)),
    ...Object.entries(notCompared).map(
      ([name, reason]) => `Not compared with ${THIRD_PARTIES[name] ?? name}: ${reason}.`,
    ),
  ];
}

/** The same where there is no cross predictor: the whole first, then each third party, then what was not compared. */
export function selfPredictionSentences({ thirdParties, notCompared, overall }: SelfPredictionVerdict): string[] {
  const missing = Object.keys(notCompared).length === 0 ? "" : ", which is not all that it should be";
  return [
    `${OVERALL[overall]}${missing}.`,
    ...Object.entries(thirdParties).map(([name, judgement]) => sentence(THIRD_PARTIES[name] ?? name, judgement)),
    ...Object.entries(notCompared).map(
      ([name, reason]) => `Not compared with ${THIRD_PARTIES[name] ?? name}: ${reason}.`,
    ),
  ];
}

function sentence(other: string, { finding, difference, because }: Judgement): string {
  const why = because.length === 0 ? "" : ` (${because.join("; ")})`;
  const points = formatPoints(difference);
  switch (finding) {
    case "exceeds":
      return `Self exceeds ${other} by ${points}${why}.`;
    case "does_not_exceed":
      return `Self does not exceed ${other}: difference ${points}${why}.`;
    case "cannot_tell":
      return `Whether self exceeds ${other} cannot be told: difference ${points}${why}.`;
    case "unknown":
      return `Whether self exceeds ${other} is not known${why}.`;
  }
}
