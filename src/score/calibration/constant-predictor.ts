/** The predictor that knows what a target tends to do, and nothing about the string. */
import type { MeasuredDistribution } from "../../records/calibration.js";
import { type Comparison, compareDistributions, predictedBy, questionKey } from "./comparison.js";

export interface ConstantPredictor {
  /** The same comparison with the constant prediction; undefined where no other string shows a value. */
  readonly instead: (comparison: Comparison) => Comparison | undefined;
  /** How many values the target shows for the comparison's task and property. */
  readonly valuesSeen: (comparison: Comparison) => number;
}

interface Sums {
  strings: number;
  readonly byValue: Map<string, number>;
}

/**
 * For a string the mean p_obj of the target's other strings of the same task and property, every one counting the same.
 * @param object the target's distributions, at most one for each task, string and property
 */
export function constantPredictor(object: readonly MeasuredDistribution[]): ConstantPredictor {
  const sums = new Map<string, Sums>();
  const own = new Map<string, ReadonlyMap<string, number>>();
  for (const measured of object) {
    const { distribution } = measured;
    const behaviors = compareDistributions({ ...measured, variant: "" }, distribution, distribution)?.object;
    if (!behaviors) continue;
    const cell = sums.get(cellKey(measured)) ?? { strings: 0, byValue: new Map() };
    sums.set(cellKey(measured), cell);
    own.set(questionKey(measured), behaviors);
    cell.strings++;
    for (const [value, probability] of behaviors) cell.byValue.set(value, (cell.byValue.get(value) ?? 0) + probability);
  }
  const cellOf = (comparison: Comparison) => sums.get(cellKey(comparison)) as Sums;
  return {
    instead: (comparison) => {
      const { strings, byValue } = cellOf(comparison);
      if (strings < 2) return undefined;
      const taken = own.get(questionKey(comparison)) as ReadonlyMap<string, number>;
      const others = [...byValue].flatMap(([value, sum]): [string, number][] => {
        // What only this string shows is left with rounding errors.
        const left = (sum - (taken.get(value) ?? 0)) / (strings - 1);
        return left > 1e-15 ? [[value, left]] : [];
      });
      return predictedBy(comparison, new Map(others));
    },
    valuesSeen: (comparison) => cellOf(comparison).byValue.size,
  };
}

function cellKey({ task, property }: Pick<MeasuredDistribution, "task" | "property">): string {
  return JSON.stringify([task, property]);
}
