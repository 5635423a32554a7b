/** Accuracy about the old and the new behavior, of everybody who was asked, by scope; matched; and by task and property. */
import type { ShiftAccuracy } from "../../records/comparison.js";
import type { ChangeShifts, ShiftArm, ShiftScope } from "../../records/shifts.js";
import { testCell } from "../comparison/p-value.js";
import type { Block, TableCell, TableRow } from "../document.js";
import { formatCount } from "../format-number.js";
import { countCell, estimateCell, left, right, shareCell } from "../table-parts.js";
import { readableName } from "../readable-name.js";
import { ARM_NAMES, SCOPE_NAMES } from "./shift-words.js";

const SIDES = ["About the new", "Mode of the new", "About the old", "Mode of the old", "New − old, points"];

export function armTable({ arms }: ChangeShifts, percent: number): Block {
  return {
    kind: "table",
    caption: `Right predictions on the trials whose behavior shifted (micro), with ${percent} % intervals (cluster bootstrap by string)`,
    groupTitle: "Predictor",
    columns: [
      left("Trials of"),
      right("Behaviors that shifted"),
      ...SIDES.map(right),
      right("Sign-flip p"),
      right("Replies comply"),
      right("n"),
    ],
    rows: arms.flatMap((arm) =>
      scopesOf(arm).map(([scope, scores]): TableRow => {
        const [micro] = scores.overall;
        return {
          group: groupOf(arm),
          cells: [
            { text: SCOPE_NAMES[scope] },
            estimateCell(scores.shifted),
            ...sides(micro),
            testCell(micro.signFlip),
            shareCell(scores.hypotheticalCompliance),
            countCell(micro.difference),
          ],
        };
      }),
    ),
  };
}

export function matchedTable({ arms }: ChangeShifts, percent: number): Block {
  return {
    kind: "table",
    caption: `The same where old and new behaviors are equally frequent, value by value, so that no value is right by being common (micro), with ${percent} % intervals`,
    groupTitle: "Predictor",
    columns: [left("Trials of"), ...SIDES.map(right), right("n")],
    rows: arms.flatMap((arm) =>
      scopesOf(arm).map(
        ([
          scope,
          {
            entropyMatched: [matched],
          },
        ]): TableRow => ({
          group: groupOf(arm),
          cells: [{ text: SCOPE_NAMES[scope] }, ...sides(matched), countCell(matched.difference)],
        }),
      ),
    ),
  };
}

/** Of the changed model alone. */
export function shiftCellTable({ arms }: ChangeShifts, percent: number): Block[] {
  const changed = arms.find(({ role }) => role === "changed");
  const cells = changed?.scopes.all?.cells ?? [];
  if (!changed || cells.length === 0) return [];
  return [
    {
      kind: "table",
      caption: `${changed.predictor} by task and property, with ${percent} % intervals that are not adjusted for their number`,
      groupTitle: "Task",
      columns: [
        left("Property"),
        right("Shifted"),
        right("Values"),
        ...SIDES.map(right),
        right("Sign-flip p"),
        right("n"),
      ],
      rows: cells.map(
        (cell): TableRow => ({
          group: readableName(cell.task),
          cells: [
            { text: readableName(cell.property) },
            shareCell(cell.shifted),
            { text: formatCount(cell.values) },
            ...sides(cell),
            testCell(cell.signFlip),
            countCell(cell.difference),
          ],
        }),
      ),
    },
  ];
}

/** Where everything was taught, "taught" says nothing more than "all". */
function scopesOf({ scopes }: ShiftArm) {
  return Object.entries(scopes)
    .map(([scope, scores]) => [scope as ShiftScope, scores] as const)
    .filter(([scope]) => scope !== "taught" || scopes.elsewhere);
}

function sides({ aboutNew, modeNew, aboutOld, modeOld, difference }: ShiftAccuracy): TableCell[] {
  return [...[aboutNew, modeNew, aboutOld, modeOld].map((one) => estimateCell(one)), estimateCell(difference, true)];
}

function groupOf({ predictor, role }: ShiftArm): string {
  return `${predictor}, ${ARM_NAMES[role]}`;
}
