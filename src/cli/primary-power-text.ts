/** The power of a primary contrast for a person: what the planned strings can show, and what it takes. */

import { primaryText } from "../report/standing.js";
import type { PrimaryPower } from "../run/primary-power.js";
import type { ContrastPower } from "../score/contrast-power.js";
import { pointsText } from "../score/comparison/judge.js";
import { table } from "./output.js";

export function primaryPowerText({ primary, pilot, power, notCounted }: PrimaryPower): string {
  const title = `primary contrast: ${primary.experiment}, ${primaryText(primary)}, ${pointsText(primary.smallestDifference)} count`;
  if (!power.ok) return `${title}\n  no calculation: ${power.reason}`;
  const basis = pilot
    ? `scatter from the run of ${pilot.study} (plan ${pilot.planHash.slice(0, 8)}), tasks ${pilot.tasks.join(", ")}:`
    : "scatter from an assumption, not from a pilot:";
  return [
    title,
    basis,
    ...(pilot ? [pilotTable(power)] : []),
    `a yes takes ${power.comparisons.length === 1 ? "the comparison with" : "all comparisons together, with"} ${power.comparisons.map(({ against }) => against).join(", ")}:`,
    neededTable(power),
    "assuming:",
    ...(notCounted === undefined ? [] : [`- ${notCounted}`]),
    ...power.assumptions.map((one) => `- ${one}`),
  ].join("\n");
}

type Calculated = Extract<ContrastPower, { ok: true }>;

function pilotTable({ comparisons }: Calculated): string {
  return table(
    ["self minus", "difference in the pilot", "standard error", "trials", "strings"],
    comparisons.map(({ against, pilot }) => [
      against,
      pilot ? signed(pilot.difference) : "",
      pilot ? (100 * pilot.standardError).toFixed(1) : "",
      String(pilot?.trials ?? ""),
      String(pilot?.strings ?? ""),
    ]),
  );
}

function neededTable({ yes, no, smallestDifference }: Calculated): string {
  const powers = no.needed.map(({ power }) => `strings for power ${power}`);
  const row = (what: string, { planned, needed }: Calculated["no"]) => [
    what,
    planned === undefined ? "" : planned.toFixed(2),
    ...needed.map(({ strings }) => (Number.isFinite(strings) ? String(strings) : "out of reach")),
  ];
  return table(
    ["answer, if the true difference is", "its power", ...powers],
    [
      ...yes.map((one) => row(`yes, ${signed(one.difference)} points`, one)),
      row(`no (below ${pointsText(smallestDifference)}), 0`, no),
    ],
  );
}

function signed(difference: number): string {
  return `${difference < 0 ? "" : "+"}${(100 * difference).toFixed(1)}`;
}
