/** The middle of numbers: of an even count the mean of the two in the middle. */

import { InwardError } from "../errors.js";

/** @param values one at least */
export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [below, above] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (below === undefined || above === undefined)
    throw new InwardError("INTERNAL", "There is no median of no numbers.");
  return (below + above) / 2;
}
