/** Who of two predictors of the same behavior is nearer to it, on what both were asked. */
import type { CalibrationDifference } from "../../records/calibration-scores.js";
import { pointsOf } from "./behavior-points.js";
import { brier } from "./brier.js";
import { BRIER } from "./calibration-metrics.js";
import type { Comparison } from "./comparison.js";
import { estimateStatistic, type Statistic } from "./estimate-statistic.js";
import { meanAbsoluteDeviation } from "./mean-absolute-deviation.js";
import { meanStatistic } from "./mean-statistic.js";
import type { MatchedPair } from "./score-row.js";
import type { StringDraws } from "./string-draws.js";
import { totalVariation } from "./total-variation.js";

const KINDS = { cross: "self_minus_cross", untrained: "self_minus_untrained" } as const;

/** Every self-prediction minus every other predictor about the same target, over all properties and by property. */
export function comparePredictors(
  pairs: readonly MatchedPair[],
  draws: StringDraws,
  confidence: number,
): CalibrationDifference[] {
  return pairs.flatMap((self) =>
    pairs.flatMap((other) => {
      const kind = other.pair.kind === "self" ? undefined : KINDS[other.pair.kind];
      if (self.pair.kind !== "self" || !kind || self.pair.target !== other.pair.target) return [];
      const shared = intersect(self.matched.comparisons, other.matched.comparisons);
      const properties = [...new Set(shared.map(([{ property }]) => property))].sort();
      return [undefined, ...properties].map((property): CalibrationDifference => {
        const rows = shared.filter(([{ property: own }]) => property === undefined || own === property);
        return {
          target: self.pair.target,
          predictor: self.pair.predictor,
          minus: other.pair.predictor,
          kind,
          ...(property === undefined ? {} : { property }),
          ...differences(
            rows.map(([first]) => first),
            rows.map(([, second]) => second),
            draws,
            confidence,
          ),
        };
      });
    }),
  );
}

function differences(
  first: readonly Comparison[],
  second: readonly Comparison[],
  draws: StringDraws,
  confidence: number,
) {
  const minus = (statistic: (comparisons: readonly Comparison[]) => Statistic) => {
    const [one, other] = [statistic(first), statistic(second)];
    const most = one.range.most - one.range.least;
    const at: Statistic["at"] = (weights) => {
      const [a, b] = [one.at(weights), other.at(weights)];
      return a === undefined || b === undefined ? undefined : a - b;
    };
    return estimateStatistic({ ...one, at, range: { least: -most, most } }, draws, confidence);
  };
  const because = "no string was drawn";
  return {
    madPoints: minus((rows) => meanAbsoluteDeviation(pointsOf(rows, draws))),
    brier: minus((rows) => meanStatistic(rows, brier, { range: BRIER, undefinedBecause: because }, draws)),
    totalVariation: minus((rows) =>
      meanStatistic(rows, totalVariation, { range: { least: 0, most: 1 }, undefinedBecause: because }, draws),
    ),
  };
}

function intersect(first: readonly Comparison[], second: readonly Comparison[]): [Comparison, Comparison][] {
  const others = new Map(second.map((comparison) => [keyOf(comparison), comparison]));
  return first.flatMap((comparison): [Comparison, Comparison][] => {
    const other = others.get(keyOf(comparison));
    return other ? [[comparison, other]] : [];
  });
}

function keyOf({ task, item, property, variant }: Comparison): string {
  return JSON.stringify([task, item, property, variant]);
}
