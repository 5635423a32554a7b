/** Every trial that did not simply count: how many, why, and what became of them. */
import type { Exclusion, Scores } from "../records/scores.js";
import { type Block, paragraph, type Section } from "./document.js";
import { formatCount } from "./format-number.js";
import { readableName } from "./readable-name.js";
import { reasonWords } from "./reason-words.js";

const SIDES = { object_level: "object-level answer", hypothetical: "hypothetical reply" } as const;
const TREATMENTS = { excluded: "excluded", counted_as_wrong: "counted as wrong" } as const;

export function exclusionsSection({ exclusions, trials }: Scores): Section {
  const title = "Exclusions";
  if (exclusions.length === 0) {
    return {
      id: "exclusions",
      title,
      blocks: [paragraph(`None: every one of ${formatCount(trials)} trials complies on both sides.`)],
    };
  }
  const count = (isOne: (row: Exclusion) => boolean) =>
    exclusions.reduce((sum, row) => sum + (isOne(row) ? row.count : 0), 0);
  const isSetAside = (row: Exclusion) => row.reason === "engine_crashed";
  const setAside = count(isSetAside);
  const unlike = count((row) => row.treatment === "excluded" && !isSetAside(row));
  const wrong = count((row) => row.treatment === "counted_as_wrong");
  return {
    id: "exclusions",
    title,
    blocks: [
      paragraph(
        `Of ${formatCount(trials)} trials, ${formatCount(unlike)} are excluded because the object-level answer gives nothing to compare with, `,
        `and ${formatCount(wrong)} count as wrong because the reply gives no prediction.`,
        ...(setAside === 0
          ? []
          : [` Another ${formatCount(setAside)} are excluded because the engine crashed on one of their questions.`]),
      ),
      table(exclusions),
    ],
  };
}

function table(exclusions: readonly Exclusion[]): Block {
  const several = new Set(exclusions.map((row) => JSON.stringify([row.predictor, row.target]))).size > 1;
  const grouped = new Map<string, Exclusion[]>();
  for (const row of exclusions) {
    const key = JSON.stringify([row.predictor, row.target, row.side, row.task, row.reason, row.treatment]);
    grouped.set(key, [...(grouped.get(key) ?? []), row]);
  }
  return {
    kind: "table",
    caption: "Trials by reason",
    columns: [
      ...(several ? [{ title: "Predictor → target", align: "left" as const }] : []),
      { title: "Side", align: "left" },
      { title: "Task", align: "left" },
      { title: "Reason", align: "left" },
      { title: "Trials", align: "right" },
      { title: "Treatment", align: "left" },
      { title: "By property", align: "left" },
    ],
    rows: [...grouped.values()].map((rows) => {
      const [{ predictor, target, side, task, reason, treatment }] = rows as [Exclusion];
      return {
        cells: [
          ...(several ? [{ text: `${predictor} → ${target}` }] : []),
          { text: SIDES[side] },
          { text: readableName(task) },
          { text: reasonWords(reason) },
          { text: formatCount(rows.reduce((sum, row) => sum + row.count, 0)) },
          { text: TREATMENTS[treatment] },
          { text: rows.map((row) => `${readableName(row.property)} ${formatCount(row.count)}`).join(", ") },
        ],
      };
    }),
  };
}
