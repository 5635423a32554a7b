import type { Weighting } from "../../records/comparison.js";
import type { StringScatter } from "./string-scatter.js";

interface Asked {
  readonly power: number;
  readonly confidence: number;
  readonly kind: Weighting;
}

/** How sure it is that strings scatter no more than is allowed for. */
export const SURE_OF_SCATTER = 0.8;

/** What a number of strings rests on, one sentence each. */
export function powerAssumptions(scatter: StringScatter, { power, confidence, kind }: Asked): string[] {
  const level = Number((100 * (1 - confidence)).toFixed(6));
  const average = kind === "micro" ? "every trial counts the same" : "every task and property counts the same";
  const few = scatter.degreesOfFreedom < 20 ? " This pilot is small: the numbers are rough." : "";
  return [
    `seen = the sign-flip test by string rejects at ${level} %, two-sided, in ${Number((100 * power).toFixed(6))} % of such studies; ${average}`,
    "new strings are drawn as the pilot's were, and their differences scatter as the pilot's did, around the difference asked for",
    `every string gets as many trials as in the pilot (${(scatter.trials / scatter.strings).toFixed(2)} that both sides have), and tasks keep their shares`,
    "strings are independent of each other; trials of one string need not be",
    "for these tasks, this training seed and these wordings: other ones add their own scatter, which more strings do not lessen",
    `the pilot's scatter is itself an estimate, with ${scatter.degreesOfFreedom.toFixed(1)} degrees of freedom: taken is the limit that the true one stays below in ${Math.round(100 * SURE_OF_SCATTER)} % of pilots.${few}`,
  ];
}
