/** Behavioral change: what was taught, whose predictions followed, and by how much, beside the modes of both behaviors. */

import type { ShiftAccuracy } from "../../score/comparison/comparison.js";
import type { ChangeShifts, ShiftArm, Shifts, ShiftScope } from "../../score/comparison/shift.js";
import { changeVerdict } from "../../score/verdicts/behavioral-change.js";
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
import { aboutText, verdictBlock } from "../sentences.js";
import type { StateNames } from "../state-names.js";
import { ARM_NAMES, joinWords, readableName, SCOPE_NAMES, sourceWords } from "../terms.js";
import { testCell } from "./comparison-section.js";

// Accuracy about the old and the new behavior, of everybody who was asked, by scope; matched; and by task and property.

const SIDES = ["About the new", "Mode of the new", "About the old", "Mode of the old", "New − old, points"];

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

/** Of the changed model alone. */
function shiftCellTable({ arms }: ChangeShifts, percent: number): Block[] {
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

/** @throws InwardError REPORT_FAILED */
export async function changeSection({ changes, confidence }: Shifts, names: StateNames): Promise<Section> {
  const blocks: Block[] = [];
  for (const [index, change] of changes.entries()) {
    blocks.push(...(await blocksOf(change, confidence, changes.length > 1 ? `-${index + 1}` : "", names)));
  }
  const [first] = changes.flatMap(({ arms }) => arms.flatMap(({ scopes }) => scopes.all?.overall[0] ?? []));
  return {
    id: "change",
    title: "Behavioral change",
    blocks: [
      aside(
        "A self-predicting model was finetuned further, on object-level questions alone, to behave otherwise. Looked at are the held-out strings whose behavior shifted: does it now predict the new behavior or the old one? Who never saw the change can know of the new one only what the strings give away.",
      ),
      ...blocks,
      ...(first ? [aside(`What is estimated: ${first.estimand}. `, INTERVALS, ".")] : []),
    ],
  };
}

async function blocksOf(change: ChangeShifts, confidence: number, suffix: string, names: StateNames): Promise<Block[]> {
  const { arms } = change;
  const percent = Number((100 * confidence).toFixed(6));
  const verdict = changeVerdict(change, confidence);
  return [
    { kind: "subheading", title: aboutText(verdict.about, names) },
    verdictBlock(verdict, names),
    aside(whatWasTaught(change)),
    ...(arms.length > 0 ? [await figureOf(change, suffix, names)] : []),
    armTable(change, percent),
    matchedTable(change, percent),
    ...shiftCellTable(change, percent),
  ];
}

function whatWasTaught({ before, answers, taughtTasks, arms }: ChangeShifts): string {
  const scores = arms.find(({ role }) => role === "changed")?.scopes.all;
  const both = scores ? formatCount(scores.trials.both) : "0";
  const shifted = scores
    ? ` Of ${both} behaviors that it shows before and after, ${formatEstimate(scores.shifted)} are other ones.`
    : "";
  return `${before} learnt to answer train strings of ${joinWords(taughtTasks.map(readableName))} with ${sourceWords(answers)}.${shifted}`;
}

async function figureOf(change: ChangeShifts, suffix: string, names: StateNames): Promise<Figure> {
  const title = `Before or after? Predictions once behavior shifted (${change.name})`;
  const bars = change.arms.flatMap(({ predictor, role, scopes, judgement }) => {
    const micro = scopes.all?.overall[0];
    const none = judgement.difference;
    const who = role === "changed" || role === "unchanged" ? ARM_NAMES[role] : names(predictor);
    return [
      { label: `new: ${who}`, estimate: micro?.aboutNew ?? none, colour: PALETTE.blue, mark: micro?.modeNew },
      { label: `old: ${who}`, estimate: micro?.aboutOld ?? none, colour: PALETTE.pale, mark: micro?.modeOld },
    ];
  });
  const caption =
    "Of the trials whose behavior shifted, the share that each predictor has right about the new behavior and about the old one, with intervals. Upright marks: always giving the most common new (or old) behavior.";
  return { kind: "figure", name: `shift${suffix}`, title, caption, svg: await barsFigure(title, bars) };
}
