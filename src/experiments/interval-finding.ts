/** The finding of an experiment that rests on an interval alone. */
import type { Finding } from "../records/comparison.js";
import type { Side } from "../score/side-of-zero.js";

const WHERE_MORE_IS_BETTER: Readonly<Record<Side, Finding>> = {
  above: "exceeds",
  below: "does_not_exceed",
  across: "cannot_tell",
  unknown: "unknown",
};

const WHERE_LESS_IS_BETTER: Readonly<Record<Side, Finding>> = {
  ...WHERE_MORE_IS_BETTER,
  above: "does_not_exceed",
  below: "exceeds",
};

/** @param better whether a greater number or a smaller one is a yes */
export function intervalFinding(side: Side, better: "more" | "less" = "more"): Finding {
  return (better === "more" ? WHERE_MORE_IS_BETTER : WHERE_LESS_IS_BETTER)[side];
}
