/** The two distributions of one question side by side, for the terminal. */
import type { MeasuredDistribution } from "../records/calibration.js";
import type { Distribution } from "../records/distribution.js";
import { table } from "./output.js";

/** Most values shown. */
const MOST_VALUES = 8;

/** What a state does, and what it says that it would do, value by value: the likeliest on either side. */
export function distributionsText(behavior: MeasuredDistribution, prediction: MeasuredDistribution): string {
  const sides = [behavior.distribution, prediction.distribution];
  const likeliest = (value: string) => Math.max(...sides.map((side) => probabilityOf(side, value)));
  const values = [...new Set(sides.flatMap((side) => side.values.map(({ value }) => value)))].sort(
    (a, b) => likeliest(b) - likeliest(a) || (a < b ? -1 : 1),
  );
  const others = values.slice(MOST_VALUES);
  const rest = (side: Distribution) => others.reduce((sum, value) => sum + probabilityOf(side, value), 0);
  const rows = [
    ...values
      .slice(0, MOST_VALUES)
      .map((value) => [JSON.stringify(value), ...sides.map((side) => probability(side, value))]),
    ...(others.length > 0 ? [[`${others.length} others`, ...sides.map((side) => rest(side).toFixed(3))]] : []),
    ["shows no value", ...sides.map(notCompliant)],
    ["not looked into", ...sides.map((side) => (side.method === "expansion" ? side.tail.toFixed(4) : "—"))],
    ["how", ...sides.map(method)],
  ];
  return table([behavior.property, "p object-level", "p hypothetical"], rows);
}

function probabilityOf({ values }: Distribution, value: string): number {
  return values.find((one) => one.value === value)?.probability ?? 0;
}

function probability(side: Distribution, value: string): string {
  if (side.method === "expansion") {
    const found = side.values.find((one) => one.value === value) ?? { probability: 0, upper: side.tail };
    return `${found.probability.toFixed(3)} to ${found.upper.toFixed(3)}`;
  }
  const found = side.values.find((one) => one.value === value) ?? { probability: 0, standardError: 0 };
  return `${found.probability.toFixed(3)} ± ${found.standardError.toFixed(3)}`;
}

function notCompliant({ notCompliant: reasons }: Distribution): string {
  const rows = Object.entries(reasons);
  const sum = rows.reduce((total, [, mass]) => total + mass, 0);
  const [first] = [...rows].sort(([, a], [, b]) => b - a);
  return first ? `${sum.toFixed(3)} (mostly ${first[0]})` : sum.toFixed(3);
}

function method(side: Distribution): string {
  if (side.method === "samples") return `${side.samples} samples (${side.because})`;
  return `expanded, ${side.evaluatedTokens} tokens (${side.stoppedBy})`;
}
