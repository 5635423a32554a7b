/** Where the interval of a difference or a coefficient lies: the one rule that findings by interval alone follow. */
export type Side = "above" | "below" | "across" | "unknown";

/** Ends at 0 are across. */
export function sideOfZero(
  interval: { readonly ok: true; readonly low: number; readonly high: number } | { readonly ok: false },
): Side {
  if (!interval.ok) return "unknown";
  if (interval.low > 0) return "above";
  return interval.high < 0 ? "below" : "across";
}
