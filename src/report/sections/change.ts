/** Behavioral change: what was taught, whose predictions followed, and by how much, beside the modes of both behaviors. */

import type { ShiftAccuracy } from "../../score/comparison/comparison.js";
import { scopesOfArms } from "../../score/comparison/judge-change.js";
import type { ArmScores, ChangeShifts, ShiftArm, Shifts, ShiftScope } from "../../score/comparison/shift.js";
import { changeVerdicts } from "../../score/verdicts/behavioral-change.js";
import {
  type Block,
  countCell,
  estimateCell,
  type Figure,
  formatCount,
  formatEstimate,
  INTERVALS,
  left,
  aside,
  right,
  type Section,
  shareCell,
  type TableCell,
  type TableRow,
} from "../document.js";
import { barsFigure } from "../figures/bars.js";
import { PALETTE } from "../figures/draw.js";
import type { Verdict } from "../../score/verdicts/verdict.js";
import type { Plan } from "../../study/plan.js";
import { verdictBlock } from "../sentences.js";
import { withStanding } from "../standing.js";
import type { StateNames } from "../state-names.js";
import { ARM_NAMES, joinWords, type PropertyNames, readableName, SCOPE_NAMES, sourceWords } from "../terms.js";
import { testCell } from "./comparison-cells.js";

// Accuracy about the old and the new behavior, of everybody who was asked, by scope; matched; and by task and property.

const SIDES = [
  "About the new",
  "Mode of the new",
  "New − its mode, points",
  "About the old",
  "Mode of the old",
  "New − old, points",
];

function armTable({ arms }: ChangeShifts, percent: number): Block {
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

function matchedTable({ arms }: ChangeShifts, percent: number): Block {
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

/** Of the changed model alone; a task is taught or it is not. */
function shiftCellTable({ arms }: ChangeShifts, percent: number, property: PropertyNames): Block[] {
  const changed = arms.find(({ role }) => role === "changed");
  const cells = changed ? scopesOf(changed).flatMap(([, scores]) => scores.cells) : [];
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
            { text: property(cell.property) },
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

/** What was not taught first. */
function scopesOf({ scopes }: ShiftArm): (readonly [ShiftScope, ArmScores])[] {
  return (["elsewhere", "taught"] as const).flatMap((scope) => {
    const scores = scopes[scope];
    return scores ? [[scope, scores] as const] : [];
  });
}

function sides({ aboutNew, modeNew, aboveModeNew, aboutOld, modeOld, difference }: ShiftAccuracy): TableCell[] {
  return [
    ...[aboutNew, modeNew].map((one) => estimateCell(one)),
    estimateCell(aboveModeNew, true),
    ...[aboutOld, modeOld].map((one) => estimateCell(one)),
    estimateCell(difference, true),
  ];
}

function groupOf({ predictor, role }: ShiftArm): string {
  return `${predictor}, ${ARM_NAMES[role]}`;
}

/** @throws InwardError REPORT_FAILED */
export async function changeSection(
  shifts: Shifts,
  plan: Pick<Plan, "primary">,
  names: StateNames,
  property: PropertyNames,
): Promise<Section> {
  const { changes } = shifts;
  const blocks: Block[] = [];
  for (const [index, change] of changes.entries()) {
    const verdicts = changeVerdicts(change, shifts).map((verdict) => withStanding(plan, verdict));
    blocks.push(
      ...(await blocksOf(change, shifts, verdicts, changes.length > 1 ? `-${index + 1}` : "", { names, property })),
    );
  }
  const [first] = changes.flatMap(({ arms }) => arms.flatMap(scopesOf).map(([, { overall }]) => overall[0]));
  return {
    id: "change",
    title: "Behavioral change",
    blocks: [
      aside(
        "A self-predicting model was finetuned further, on object-level questions alone, to behave otherwise. Looked at are the held-out strings whose behavior shifted: does it now predict the new behavior or the old one? Who never saw the change can know of the new one only what the strings give away. Tasks that were not taught are judged first; those that were taught stand beside them, and the two are never pooled.",
      ),
      ...blocks,
      ...(first ? [aside(`What is estimated: ${first.estimand}. `, INTERVALS, ".")] : []),
    ],
  };
}

async function blocksOf(
  change: ChangeShifts,
  shifts: Shifts,
  verdicts: readonly Verdict[],
  suffix: string,
  { names, property }: { readonly names: StateNames; readonly property: PropertyNames },
): Promise<Block[]> {
  const { name, before, after, arms } = change;
  const percent = Number((100 * shifts.confidence).toFixed(6));
  return [
    { kind: "subheading", title: `${name}: ${names(before)} became ${names(after)}` },
    ...verdicts.map((verdict) => verdictBlock(verdict, names)),
    aside(whatWasTaught(change)),
    ...(arms.length > 0 ? [await figureOf(change, suffix, names)] : []),
    armTable(change, percent),
    matchedTable(change, percent),
    ...shiftCellTable(change, percent, property),
  ];
}

function whatWasTaught({ before, after, staleLabels, answers, taughtTasks, arms }: ChangeShifts): string {
  const changed = arms.find(({ role }) => role === "changed");
  const shifted = (changed ? scopesOf(changed) : []).map(
    ([scope, { trials, shifted }]) =>
      ` Of ${formatCount(trials.both)} behaviors that it shows before and after in ${SCOPE_NAMES[scope]}, ${formatEstimate(shifted)} are other ones.`,
  );
  if (staleLabels !== undefined) {
    return `Stale labels: ${after} has an implant, and ${staleLabels} goes on from it with the labels of ${before}, which are those of before. Does it say what it does now, or what it was told?${shifted.join("")}`;
  }
  return `${before} learnt to answer train strings of ${joinWords(taughtTasks.map(readableName))} with ${sourceWords(answers)}.${shifted.join("")}`;
}

/** On the trials that are judged first. */
async function figureOf({ name, arms }: ChangeShifts, suffix: string, names: StateNames): Promise<Figure> {
  const [main] = scopesOfArms(arms) as [ShiftScope];
  const title = `Before or after? Predictions once behavior shifted (${name})`;
  const none = { ok: false as const, reason: "nobody was asked" };
  const bars = arms.flatMap(({ predictor, role, scopes }) => {
    const micro = scopes[main]?.overall[0];
    const who = role === "changed" || role === "unchanged" ? ARM_NAMES[role] : names(predictor);
    return [
      { label: `new: ${who}`, estimate: micro?.aboutNew ?? none, colour: PALETTE.blue, mark: micro?.modeNew },
      { label: `old: ${who}`, estimate: micro?.aboutOld ?? none, colour: PALETTE.pale, mark: micro?.modeOld },
    ];
  });
  const caption = `Of the trials of ${SCOPE_NAMES[main]} whose behavior shifted, the share that each predictor has right about the new behavior and about the old one, with intervals. Upright marks: always giving the most common new (or old) behavior.`;
  return { kind: "figure", name: `shift${suffix}`, title, caption, svg: await barsFigure(title, bars) };
}
