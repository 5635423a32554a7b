/** Behavioral change: what was taught, whose predictions followed, and by how much, beside the modes of both behaviors. */
import type { ChangeShifts, Shifts } from "../../records/shifts.js";
import { type Block, type Figure, note, type Section } from "../document.js";
import { barsFigure } from "../figures/bars-figure.js";
import { PALETTE } from "../figures/palette.js";
import { formatCount, formatEstimate } from "../format-number.js";
import { joinWords, readableName } from "../readable-name.js";
import { armTable, matchedTable, shiftCellTable } from "./shift-tables.js";
import { ARM_NAMES, armSentence, changeTitle, sourceWords } from "./shift-words.js";

/** @throws InwardError REPORT_FAILED */
export async function changeSection({ changes, confidence }: Shifts): Promise<Section> {
  const percent = Number((100 * confidence).toFixed(6));
  const blocks: Block[] = [];
  for (const [index, change] of changes.entries()) {
    blocks.push(...(await blocksOf(change, percent, changes.length > 1 ? `-${index + 1}` : "")));
  }
  const [first] = changes.flatMap(({ arms }) => arms.flatMap(({ scopes }) => scopes.all?.overall[0] ?? []));
  return {
    id: "change",
    title: "Behavioral change",
    blocks: [
      note(
        "A self-predicting model was finetuned further, on object-level questions alone, to behave otherwise. Looked at are the held-out strings whose behavior shifted: does it now predict the new behavior or the old one? Who never saw the change can know of the new one only what the strings give away.",
      ),
      ...blocks,
      ...(first ? [note(`Intervals: ${first.intervalMethod}. What is estimated: ${first.estimand}.`)] : []),
    ],
  };
}

async function blocksOf(change: ChangeShifts, percent: number, suffix: string): Promise<Block[]> {
  const { arms, because } = change;
  const [first, ...others] = arms.map(armSentence);
  const why = because.length === 0 ? "" : ` To be kept in mind: ${because.join("; ")}.`;
  return [
    { kind: "subheading", title: changeTitle(change) },
    {
      kind: "paragraph",
      tone: "verdict",
      text: [{ strong: first ?? "Nobody was asked." }, ` ${others.join(" ")}${why}`],
    },
    note(whatWasTaught(change)),
    ...(arms.length > 0 ? [await figureOf(change, suffix)] : []),
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

async function figureOf(change: ChangeShifts, suffix: string): Promise<Figure> {
  const title = `Before or after? Predictions once behavior shifted (${change.name})`;
  const bars = change.arms.flatMap(({ predictor, role, scopes, judgement }) => {
    const micro = scopes.all?.overall[0];
    const none = judgement.difference;
    const who = role === "changed" || role === "unchanged" ? ARM_NAMES[role] : predictor;
    return [
      { label: `new: ${who}`, estimate: micro?.aboutNew ?? none, colour: PALETTE.blue, ...markOf(micro?.modeNew) },
      { label: `old: ${who}`, estimate: micro?.aboutOld ?? none, colour: PALETTE.pale, ...markOf(micro?.modeOld) },
    ];
  });
  const caption =
    "Of the trials whose behavior shifted, the share that each predictor has right about the new behavior and about the old one, with intervals. Upright marks: always giving the most common new (or old) behavior.";
  return { kind: "figure", name: `shift${suffix}`, title, caption, svg: await barsFigure(title, bars) };
}

function markOf<T>(mark: T | undefined): { mark?: T } {
  return mark === undefined ? {} : { mark };
}
