/** An interval for few strings, where percentiles of resampled strings are too narrow. */
import type { Weighting } from "../../records/comparison.js";
import type { Estimate } from "../../records/scores.js";
import { stringScatter } from "../power/string-scatter.js";
import { studentQuantile } from "../student-t.js";
import type { DifferenceRow } from "./string-contributions.js";

export type TInterval =
  | (Extract<Estimate, { ok: true }> & { readonly standardError: number; readonly degreesOfFreedom: number })
  | { readonly ok: false; readonly reason: string };

/**
 * The difference ± Student's t times its cluster-robust standard error: each string's influence is one observation, tasks are strata,
 * degrees of freedom by Welch and Satterthwaite (F. E. Satterthwaite 1946, Biometrics Bulletin 2, 110-114). Drawing m strings with
 * replacement understates a task's variance by m ÷ (m − 1), and percentiles know nothing of degrees of freedom; this has both.
 * @param rows paired trials in any order
 * @param confidence in (0, 1)
 */
export function clusterTInterval(rows: readonly DifferenceRow[], kind: Weighting, confidence: number): TInterval {
  const scatter = stringScatter(rows, kind);
  if (!scatter.ok) return scatter;
  const { difference: value, degreesOfFreedom, weight, trials: n, strings: clusters } = scatter;
  const standardError = Math.sqrt(scatter.variance) / weight;
  const half = studentQuantile((1 + confidence) / 2, degreesOfFreedom) * standardError;
  return {
    ok: true,
    value,
    low: Math.max(-1, value - half),
    high: Math.min(1, value + half),
    n,
    clusters,
    standardError,
    degreesOfFreedom,
  };
}
