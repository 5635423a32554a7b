/** How far training moved the behavior itself: the same strings, asked before and after. */
import type { BehaviorDrift } from "../../records/scores.js";
import { type Block, note, paragraph, type Section, type TableRow } from "../document.js";
import { formatCount } from "../format-number.js";
import { estimateCell } from "../table-parts.js";
import { readableName } from "../readable-name.js";
import type { TrainingEffect } from "./effects-of.js";
import { whatItLearnt } from "./training-words.js";

export function driftSection(effects: readonly TrainingEffect[], confidence: number): Section {
  const percent = Number((100 * confidence).toFixed(6));
  const blocks = effects.flatMap((effect): Block[] => [
    ...(effects.length > 1 ? [{ kind: "subheading" as const, title: whatItLearnt(effect) }] : []),
    effect.drift.length > 0
      ? driftTable(effect, percent)
      : paragraph(`Not asked: what ${effect.name} does itself is no target of this study.`),
  ]);
  return {
    id: "drift",
    title: "How far the behavior moved",
    blocks: [
      note(
        "Training on hypothetical questions also changes what a model answers to object-level questions. ",
        "So the trained model was asked those again: predictions about its old and about its new behavior are scored apart.",
      ),
      ...blocks,
    ],
  };
}

function driftTable({ drift }: TrainingEffect, percent: number): Block {
  return {
    kind: "table",
    caption: `Share of behaviors that differ, of the strings that have one both before and after, with ${percent} % intervals`,
    groupTitle: "Task",
    columns: [
      { title: "Property", align: "left" },
      { title: "Differ", align: "right" },
      { title: "Both have one", align: "right" },
      { title: "Only before", align: "right" },
      { title: "Only after", align: "right" },
      { title: "Neither", align: "right" },
    ],
    rows: drift.map(driftRow),
  };
}

function driftRow({ task, property, differ, both, beforeOnly, afterOnly, neither }: BehaviorDrift): TableRow {
  return {
    group: task === undefined ? "all tasks" : readableName(task),
    cells: [
      { text: property === undefined ? "all properties" : readableName(property) },
      estimateCell(differ),
      ...[both, beforeOnly, afterOnly, neither].map((count) => ({ text: formatCount(count) })),
    ],
  };
}
