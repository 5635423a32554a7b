/** Self, cross and third parties as bars with their intervals. */
import type { ComparedPredictors, ComparedSelf } from "../../records/comparisons.js";
import { THIRD_PARTY_NAMES } from "../comparison/comparison-names.js";
import { readableName } from "../readable-name.js";
import { type Bar, barsFigure, barsSpec } from "./bars-figure.js";
import type { FigureSpec } from "./draw-svg.js";
import { PALETTE } from "./palette.js";

/** @throws InwardError REPORT_FAILED */
export async function comparisonFigure(title: string, one: ComparedPredictors): Promise<string> {
  return barsFigure(title, comparisonBars(one));
}

export function comparisonSpec(one: ComparedPredictors): FigureSpec {
  return barsSpec(comparisonBars(one));
}

/** Self beside third parties alone. @throws InwardError REPORT_FAILED */
export async function selfFigure(title: string, { self, thirdParties }: ComparedSelf): Promise<string> {
  const [first] = Object.values(thirdParties);
  const own = first?.overall[0];
  return barsFigure(title, [
    ...(own
      ? [
          { label: `self: ${self}`, estimate: own.self, colour: PALETTE.blue },
          { label: "mode of these strings (oracle)", estimate: own.modeBaseline, colour: PALETTE.amber },
        ]
      : []),
    ...thirdPartyBars(thirdParties),
  ]);
}

function comparisonBars({ self, cross, comparison, thirdParties }: ComparedPredictors): Bar[] {
  const [micro] = comparison.overall;
  return [
    { label: `self: ${self}`, estimate: micro.self, colour: PALETTE.blue },
    { label: `cross: ${cross}`, estimate: micro.cross, colour: PALETTE.orange },
    { label: "mode of these strings (oracle)", estimate: micro.modeBaseline, colour: PALETTE.amber },
    ...thirdPartyBars(thirdParties),
  ];
}

function thirdPartyBars(thirdParties: ComparedSelf["thirdParties"]): Bar[] {
  return Object.entries(thirdParties).map(([name, { overall }]) => ({
    label: THIRD_PARTY_NAMES[name] ?? readableName(name),
    estimate: overall[0].cross,
    colour: PALETTE.green,
  }));
}
