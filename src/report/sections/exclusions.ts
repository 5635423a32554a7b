/** Every trial that did not simply count: how many, why, and what became of them. */

import { groupBy } from "../../base/group-by.js";
import { isSetAside } from "../../tasks/answer.js";
import type { Exclusion, Scores } from "../../score/scores.js";
import { type Block, formatCount, paragraph, type Section } from "../document.js";
import { type PropertyNames, readableName, reasonWords } from "../terms.js";

const SIDES = { object_level: "object-level answer", hypothetical: "hypothetical reply" } as const;
const TREATMENTS = { excluded: "excluded", counted_as_wrong: "counted as wrong" } as const;

/** @param isMain pairs whose exclusions stand by task and property; those of the others are summed over them */
export function exclusionsSection(
  { exclusions, trials }: Scores,
  isMain: (pair: Pick<Exclusion, "predictor" | "target">) => boolean = () => true,
  property: PropertyNames = readableName,
): Section {
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
  const crashed = count(({ reason }) => reason === "engine_crashed");
  const setAside = count(({ reason }) => isSetAside(reason));
  const notThere = setAside - crashed;
  const unlike = count(({ treatment, reason }) => treatment === "excluded" && !isSetAside(reason));
  const wrong = count((row) => row.treatment === "counted_as_wrong");
  return {
    id: "exclusions",
    title,
    blocks: [
      paragraph(
        `Of ${formatCount(trials)} trials, ${formatCount(unlike)} are excluded because the object-level answer gives nothing to compare with, `,
        `and ${formatCount(wrong)} count as wrong because the reply gives no prediction.`,
        ...(crashed === 0
          ? []
          : [` Another ${formatCount(crashed)} are excluded because the engine crashed on one of their questions.`]),
        ...(notThere === 0
          ? []
          : [` Another ${formatCount(notThere)} are excluded because a log that was made elsewhere has no answer.`]),
      ),
      ...tables(exclusions, isMain, property),
    ],
  };
}

function tables(
  exclusions: readonly Exclusion[],
  isMain: (row: Exclusion) => boolean,
  property: PropertyNames,
): Block[] {
  const several = new Set(exclusions.map((row) => JSON.stringify([row.predictor, row.target]))).size > 1;
  const main = exclusions.filter(isMain);
  const rest = exclusions.filter((row) => !isMain(row));
  return [
    ...(main.length > 0 ? [exclusionTable(main, several, property)] : []),
    ...(rest.length > 0 ? [summedTable(rest)] : []),
  ];
}

function summedTable(exclusions: readonly Exclusion[]): Block {
  const grouped = groupBy(exclusions, (row) => JSON.stringify([row.predictor, row.target, row.side, row.treatment]));
  return {
    kind: "table",
    caption: "The same for other seeds, series, controls, wordings and changed models, over all tasks and properties",
    columns: [
      { title: "Predictor → target", align: "left" },
      { title: "Side", align: "left" },
      { title: "Trials", align: "right" },
      { title: "Treatment", align: "left" },
      { title: "By reason", align: "left" },
    ],
    rows: [...grouped.values()].map((rows) => {
      const [{ predictor, target, side, treatment }] = rows as [Exclusion];
      const reasons = [...new Set(rows.map(({ reason }) => reason))];
      const sum = (some: readonly Exclusion[]) => formatCount(some.reduce((total, { count }) => total + count, 0));
      return {
        cells: [
          { text: `${predictor} → ${target}` },
          { text: SIDES[side] },
          { text: sum(rows) },
          { text: TREATMENTS[treatment] },
          {
            text: reasons
              .map((reason) => `${reasonWords(reason)}: ${sum(rows.filter((row) => row.reason === reason))}`)
              .join("; "),
          },
        ],
      };
    }),
  };
}

function exclusionTable(exclusions: readonly Exclusion[], several: boolean, property: PropertyNames): Block {
  const grouped = groupBy(exclusions, (row) =>
    JSON.stringify([row.predictor, row.target, row.side, row.task, row.reason, row.treatment]),
  );
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
          { text: rows.map((row) => `${property(row.property)} ${formatCount(row.count)}`).join(", ") },
        ],
      };
    }),
  };
}
