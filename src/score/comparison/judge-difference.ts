/** What a difference says, by rule. */
import type { Finding, Judgement, TestedDifference } from "../../records/comparison.js";
import { FEW_STRINGS } from "../worth-measuring.js";

/** A difference of less than this is no difference that matters here: two points. */
export const SMALLEST_DIFFERENCE = 0.02;

export interface JudgeSettings {
  /** In (0, 1): the test is read at the level 1 − confidence. */
  readonly confidence: number;
  /** In [0, 1); an interval that ends below it shows that there is no greater difference. */
  readonly smallestDifference?: number;
}

/**
 * `exceeds` takes both the interval above 0 and the sign-flip p below the level; where the two disagree nobody can tell.
 * The interval draws strings; whether the finding also holds for other tasks and seeds stands in `because`.
 */
export function judgeDifference(
  { difference, signFlip, hierarchical }: Pick<TestedDifference, "difference" | "signFlip" | "hierarchical">,
  { confidence, smallestDifference = SMALLEST_DIFFERENCE }: JudgeSettings,
): Judgement {
  if (!difference.ok) return { finding: "unknown", difference, signFlip, because: [difference.reason] };
  const points = `${Number((100 * smallestDifference).toFixed(3))} points`;
  const because: string[] = [];
  const significant = signFlip.ok && signFlip.p < 1 - confidence;
  let finding: Finding = "cannot_tell";
  if (difference.low > 0 && significant) finding = "exceeds";
  else if (difference.low > 0) {
    because.push(
      signFlip.ok
        ? `the interval lies above 0, but the sign-flip test by string gives p = ${signFlip.p.toPrecision(2)}`
        : `the interval lies above 0, but there is no test: ${signFlip.reason}`,
    );
  } else if (difference.high < smallestDifference) {
    finding = "does_not_exceed";
    because.push(
      difference.high < 0
        ? "the interval lies below 0"
        : `the interval reaches 0 and ends below ${points}, the smallest difference that matters`,
    );
  } else because.push(`the interval reaches from 0 or below to ${points} or more`);
  if (difference.clusters < FEW_STRINGS) {
    because.push(`only ${difference.clusters} strings are compared (fewer than ${FEW_STRINGS}): the interval is rough`);
  }
  if (finding === "exceeds" && hierarchical.ok && hierarchical.low <= 0) {
    because.push(
      `for these tasks and seeds: drawing ${hierarchical.tasks} tasks and ${hierarchical.seeds} seeds as well, the interval reaches 0`,
    );
  }
  return { finding, difference, signFlip, because };
}
