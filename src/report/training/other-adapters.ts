/** Adapters that are not told in full, a row each: what they learnt, how their loss ended, and every string left out. */
import type { Plan } from "../../records/plan.js";
import type { TrainedAdapter } from "../../records/trained-adapter.js";
import type { LossPoint } from "../../records/training.js";
import { sourceWords } from "../change/shift-words.js";
import { type Block, note, type TableCell } from "../document.js";
import { formatCount, formatMissing, formatNats } from "../format-number.js";
import { stateWords } from "../main-pairs.js";
import { joinWords, plural, readableName } from "../readable-name.js";
import { reasonWords } from "../reason-words.js";

/** Share of the steps at either end whose mean loss is shown: single batches scatter. */
const END_SHARE = 0.1;

export function otherAdapters(others: readonly TrainedAdapter[], plan: Plan): Block[] {
  if (others.length === 0) return [];
  const changed = others.some(({ name }) => plan.adapters?.[name]?.change);
  return [
    { kind: "subheading", title: "The other adapters" },
    ...(changed
      ? [
          note(
            "A changed adapter goes on from another one and learns answers to object-level questions; hypothetical ones are taught only where the change is planted, as a positive control.",
          ),
        ]
      : []),
    {
      kind: "table",
      caption:
        "Loss in nats per answer token: mean of the first and of the last tenth of the steps; validation after the last step",
      columns: [
        { title: "Adapter", align: "left" },
        { title: "Examples", align: "right" },
        { title: "Strings", align: "right" },
        { title: "Steps", align: "right" },
        { title: "Loss, first", align: "right" },
        { title: "Loss, last", align: "right" },
        { title: "Validation", align: "right" },
        { title: "Strings left out", align: "left" },
        { title: "sha256 of adapter and set", align: "left" },
      ],
      rows: others.map((adapter) => ({ cells: cellsOf(adapter, plan) })),
    },
  ];
}

function cellsOf({ name, card, set }: TrainedAdapter, plan: Plan): TableCell[] {
  const { losses, validation, data } = card;
  const last = validation.at(-1);
  const ends = Math.max(1, Math.round(losses.length * END_SHARE));
  return [
    { text: name, small: lessonOf(name, plan) },
    { text: formatCount(data.examples), small: `${formatCount(data.answerTokens)} answer tokens` },
    { text: formatCount(set.strings) },
    {
      text: formatCount(losses.length),
      small: `rate ${card.settings.learningRate}, ${plural(card.settings.epochs, "epoch", formatCount(card.settings.epochs))}`,
    },
    meanCell(losses.slice(0, ends)),
    meanCell(losses.slice(-ends)),
    last
      ? {
          text: formatNats(last.lossNatsPerToken),
          small: `${formatCount(last.answersRight)} of ${formatCount(last.answers)} answers`,
        }
      : { text: formatMissing("nothing was held back"), missing: true },
    { text: leftOut(set.cells) },
    { text: [{ code: card.adapter.sha256 }, " ", { code: set.sha256 }] },
  ];
}

function lessonOf(name: string, plan: Plan): string {
  const change = plan.adapters?.[name]?.change;
  if (!change) return stateWords(plan, name);
  if (change.alongside !== undefined)
    return `goes on from ${change.from}; learnt the same answers as ${change.alongside}`;
  const tasks = joinWords(change.tasks.map(readableName));
  return `goes on from ${change.from}; learnt to answer ${tasks} with ${sourceWords(change.answers)}`;
}

function meanCell(losses: readonly LossPoint[]): TableCell {
  const tokens = losses.reduce((sum, { answerTokens }) => sum + answerTokens, 0);
  if (tokens === 0) return { text: formatMissing("no step was taken"), missing: true };
  const nats = losses.reduce((sum, { answerTokens, lossNatsPerToken }) => sum + answerTokens * lossNatsPerToken, 0);
  return { text: formatNats(nats / tokens) };
}

/** Over tasks and properties, most common first. */
function leftOut(cells: TrainedAdapter["set"]["cells"]): string {
  const counts = new Map<string, number>();
  for (const { excluded, duplicates } of cells) {
    for (const [reason, count] of Object.entries(excluded)) counts.set(reason, (counts.get(reason) ?? 0) + count);
    if (duplicates > 0) counts.set("duplicates", (counts.get("duplicates") ?? 0) + duplicates);
  }
  const all = [...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  return all.map(([reason, count]) => `${reasonWords(reason)}: ${formatCount(count)}`).join("; ") || "none";
}
