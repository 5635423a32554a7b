/** Self against what needs no look at itself: rules, a classifier, itself untrained, controls; other wordings; series. */
import type { ComparedSelf, Comparisons } from "../../records/comparisons.js";
import type { Plan } from "../../records/plan.js";
import type { Scores } from "../../records/scores.js";
import { overallRow, partyColumns, thirdPartyRows } from "../comparison/comparison-tables.js";
import { type Block, note, type Section, type Table } from "../document.js";
import { selfFigure } from "../figures/comparison-figure.js";
import { formatCount } from "../format-number.js";
import { selfPredictionSentences } from "../privileged-access-words.js";
import { readableName } from "../readable-name.js";
import { seriesBlocks } from "./series-blocks.js";

/** @throws InwardError REPORT_FAILED */
export async function selfSection(
  { confidence, series = [] }: Comparisons,
  selves: readonly ComparedSelf[],
  plan: Plan,
  scores: Scores,
): Promise<Section> {
  const percent = Number((100 * confidence).toFixed(6));
  const blocks: Block[] = [];
  for (const [index, one] of selves.entries()) {
    blocks.push(...(await blocksOf(one, percent, selves.length > 1 ? `-${index + 1}` : "")));
  }
  const [rule] = selves.map(({ verdict }) => verdict.rule);
  return {
    id: "self",
    title: "Self against controls",
    blocks: [
      note(
        "Does a model predict what it does better than can be had without looking at itself? Controls are adapters trained in the same way on labels that tell nothing about the string asked about.",
      ),
      ...blocks,
      ...(await seriesBlocks(plan, scores, series)),
      ...(rule === undefined ? [] : [note(`Rule of the verdicts: ${rule}`)]),
    ],
  };
}

export function selfTitle({ self, target, seeds }: ComparedSelf): string {
  const who = self === target ? `${self} about itself` : `${self} about ${target}`;
  return seeds > 1 ? `${who}, ${formatCount(seeds)} seeds pooled` : who;
}

async function blocksOf(one: ComparedSelf, percent: number, suffix: string): Promise<Block[]> {
  const [first, ...others] = selfPredictionSentences(one.verdict);
  const title = selfTitle(one);
  const caption =
    "Share of trials that are right, with intervals: self and the oracle mode on the trials of the first comparison, each of the others on those that it shares with self. The table gives the paired differences.";
  const figure = { kind: "figure" as const, name: `self-prediction${suffix}`, title, caption };
  return [
    { kind: "subheading", title },
    { kind: "paragraph", tone: "verdict", text: [{ strong: first ?? "" }, ` ${others.join(" ")}`] },
    ...(Object.keys(one.thirdParties).length > 0 ? [{ ...figure, svg: await selfFigure(title, one) }] : []),
    partyTable(one, percent),
    ...wordingTable(one, percent),
  ];
}

function partyTable({ thirdParties, verdict }: ComparedSelf, percent: number): Table {
  return {
    kind: "table",
    caption: `Self against everything that it was compared with (micro), each on the trials that both have, with ${percent} % intervals`,
    columns: partyColumns(),
    rows: thirdPartyRows(thirdParties, verdict.thirdParties),
  };
}

function wordingTable({ ablations }: ComparedSelf, percent: number): Block[] {
  const all = Object.entries(ablations);
  if (all.length === 0) return [];
  return [
    {
      kind: "table",
      caption: `The same predictor asked in wordings that it was not trained on (micro), with ${percent} % intervals: a gain that needs the trained wording is one of form`,
      columns: partyColumns("Wording").slice(0, -1),
      rows: all.map(([wording, { overall }]) => ({ cells: overallRow(readableName(wording), overall[0]) })),
    },
  ];
}
