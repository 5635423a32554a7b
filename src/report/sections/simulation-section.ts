/** What was written inside, and what became of predictions: maps with their nulls, the slope with its interval, examples before and after. */

import type { PatchedRow } from "../../ask/patched-distributions.js";
import type { Distribution } from "../../ask/expand-distribution.js";
import type { Estimate } from "../../score/interval.js";
import { logitDifferenceChange, valueEffects } from "../../score/simulation/patch-effects.js";
import type { Verdict } from "../../score/verdicts/verdict.js";
import type { JudgedSite, SimulationResults, SimulationScores } from "../../score/simulation/simulation.js";
import {
  aside,
  type Block,
  decimalText,
  estimateCell,
  formatCount,
  formatMissing,
  formatPercent,
  type Inline,
  INTERVALS,
  left,
  paragraph,
  right,
  type Section,
  type Table,
  type TableCell,
} from "../document.js";
import { effectMapFigure, slopeFigure } from "../figures/simulation-figure.js";
import { verdictBlock } from "../sentences.js";
import { MOVED_BY, SIMULATION_REASONS } from "../simulation-words.js";
import type { StateNames } from "../state-names.js";
import { plural, type PropertyNames, readableName } from "../terms.js";

/** @throws InwardError REPORT_FAILED */
export async function simulationSection(
  { questions }: SimulationResults,
  verdicts: readonly Verdict[],
  rows: readonly PatchedRow[],
  names: StateNames,
  property: PropertyNames,
): Promise<Section> {
  const blocks: Block[] = [];
  for (const [at, question] of questions.entries()) {
    const { state, task, property: asked } = question;
    const own = verdicts.filter(({ about }) => {
      return (
        about.kind === "simulation" && about.predictor === state && about.task === task && about.property === asked
      );
    });
    blocks.push(...(await questionBlocks(question, own, rows, at + 1, names, property)));
  }
  return {
    id: "simulation",
    title: "What follows when something is written inside",
    blocks: [
      paragraph(
        "A model that looks its prediction up says the same as one that simulates its answer first. They differ in what happens when the answer is " +
          "changed inside and the text stays: then a simulator's prediction goes with it.",
      ),
      { kind: "list", items: METHOD },
      ...blocks,
    ],
  };
}

const METHOD: Inline[][] = [
  [
    { strong: "Another string's behavior. " },
    "What the object-level run of a string with another behavior has at a site is written into the hypothetical question. Followed: how far predictions go to the donor's behavior, less how far they go there with a donor whose behavior is the string's own.",
  ],
  [
    { strong: "The same behavior. " },
    "A donor with the same behavior must change nothing: share of predictions that it changes.",
  ],
  [
    { strong: "Behavior moved, the text as it is. " },
    "One vector is added in the object-level question and in the hypothetical one: the mean difference between runs with two behaviors (steering), or what another state of the model has on the same string. Each is held against one as long that leads elsewhere, so that what any disturbance does falls out.",
  ],
  [
    { strong: "Slope. " },
    "Of the change of predictions on that of behaviors, over all values: 1 who simulates, 0 who looks up. Shares are of answers that show a value; where more show none than one, the answer is broken and not counted.",
  ],
  [
    { strong: "Nulls. " },
    "Vectors as long by chance, the vector at another token, donors of another task, and the end of the last layer, which nothing but the unembedding reads.",
  ],
  [
    { strong: "Tests. " },
    "Signs are flipped by string; p-values are adjusted after Holm over the declared sites of one question, and over nothing else.",
  ],
  [{ strong: "Intervals. " }, INTERVALS, "."],
];

const ANSWERED: Readonly<Record<SimulationScores["finding"], string>> = {
  simulates: "Simulates",
  looks_up: "Looks up",
  cannot_tell: "Cannot be told",
};

async function questionBlocks(
  question: SimulationScores,
  verdicts: readonly Verdict[],
  rows: readonly PatchedRow[],
  number: number,
  names: StateNames,
  property: PropertyNames,
): Promise<Block[]> {
  const { state, task, sites, finding, reasons, leftOut, strings } = question;
  const title = `${readableName(task)}: ${property(question.property)}`;
  const who = `${names(state)} about itself`;
  const lacking = Object.entries(leftOut).map(([reason, count]) => `${formatCount(count)} ${reason}`);
  const opening: Block[] = [
    { kind: "subheading", title: `${title} (${who})` },
    paragraph({ strong: `${ANSWERED[finding]}: ` }, `${reasons.map((one) => SIMULATION_REASONS[one]).join("; ")}.`),
    ...verdicts.map((verdict) => verdictBlock(verdict, names)),
    aside(
      `${plural(strings, "string", formatCount(strings))} patched${lacking.length > 0 ? `; left out: ${lacking.join(", ")}` : ""}.`,
    ),
  ];
  if (sites.length === 0) return opening;
  const ids = `${number}`;
  const mapTitle = `${title}: what patches do at each site, and nulls`;
  const slopeTitle = `${title}: Δ prediction on Δ behavior`;
  return [
    ...opening,
    {
      kind: "figure",
      name: number === 1 ? "simulation-slope" : `simulation-slope-${ids}`,
      title: slopeTitle,
      svg: await slopeFigure(slopeTitle, sites),
      caption: `Slope at each site with its interval; 1 is a simulator's, 0 a lookup's. ${who}.`,
    },
    {
      kind: "figure",
      name: `simulation-map-${ids}`,
      title: mapTitle,
      svg: await effectMapFigure(mapTitle, sites),
      caption: `Points by which predictions go to the behavior that was written, or moved to. ${who}.`,
    },
    siteTable(question, title),
    ...apartTable(question, title),
    ...exampleBlocks(question, rows, title),
  ];
}

function patchedPlaceText({ site, span, role }: JudgedSite): string {
  return `${site} of ${span}${role === "declared" ? "" : ` (${SIMULATION_REASONS[role]})`}`;
}

function holmCell(holm: JudgedSite["followHolm"]): TableCell {
  return holm.ok ? { text: holm.p.toFixed(3) } : { text: formatMissing(holm.reason), missing: true };
}

function slopeCell(estimate: Estimate | undefined): TableCell {
  if (!estimate) return { text: formatMissing("not moved in this way"), missing: true };
  return estimate.ok ? { text: decimalText(estimate, 2) } : { text: formatMissing(estimate.reason), missing: true };
}

function brokenText({ broken }: JudgedSite): string {
  const all = broken.reduce((sum, { rows }) => sum + rows, 0);
  const those = broken.reduce((sum, one) => sum + one.broken, 0);
  return all === 0 ? "—" : formatPercent(those / all);
}

function siteTable({ sites }: SimulationScores, title: string): Table {
  return {
    kind: "table",
    caption: `${title}: every site, its tests and its nulls`,
    columns: [
      left("Site"),
      left("Found"),
      right("Donor followed"),
      right("p, Holm"),
      right("Same behavior changes"),
      left("Moved by"),
      right("Behavior moves"),
      right("Prediction moves"),
      right("Slope"),
      right("p, Holm"),
      right("By chance"),
      right("At another token"),
      right("Other task"),
      right("Broken"),
    ],
    rows: sites.flatMap((site) => {
      const ways = site.covariations.length > 0 ? site.covariations : [undefined];
      return ways.map((way, at) => {
        const judged = site.judged[at];
        const none = { text: formatMissing("no vector"), missing: true };
        return {
          cells: [
            { text: patchedPlaceText(site) },
            { text: ANSWERED[site.finding].toLowerCase() },
            estimateCell(site.follow, true),
            holmCell(site.followHolm),
            estimateCell(site.sameChanges),
            way ? { text: MOVED_BY[way.by] as string } : none,
            way ? estimateCell(way.behaviorMoves) : none,
            way ? estimateCell(way.predictionMoves, true) : none,
            slopeCell(way?.slope),
            judged ? holmCell(judged.holm) : none,
            estimateCell(site.nulls.random, true),
            estimateCell(site.nulls.shifted, true),
            estimateCell(site.nulls.other_task, true),
            { text: brokenText(site) },
          ],
        };
      });
    }),
  };
}

/** Of a trained state, strings whose behavior training moved apart from the others. */
function apartTable({ sites }: SimulationScores, title: string): Table[] {
  if (!sites.some(({ apart }) => apart)) return [];
  return [
    {
      kind: "table",
      caption: `${title}: strings whose behavior training moved, and the others, apart`,
      columns: [
        left("Site"),
        left("Strings"),
        right("Number"),
        right("Donor followed"),
        right("Slope, steering vectors"),
      ],
      rows: sites.flatMap((site) =>
        (["moved", "unmoved"] as const).flatMap((which) => {
          const apart = site.apart?.[which];
          if (!apart) return [];
          return [
            {
              cells: [
                { text: patchedPlaceText(site) },
                { text: which === "moved" ? "behavior moved" : "behavior not moved" },
                { text: formatCount(apart.strings) },
                estimateCell(apart.follow, true),
                slopeCell(apart.slopes.steered),
              ],
            },
          ];
        }),
      ),
    },
  ];
}

const MOST_EXAMPLES = 4;
const MOST_VALUES = 3;

/** Distributions of some strings, before and after a donor with another behavior, at the site that the finding rests on. */
function exampleBlocks(question: SimulationScores, rows: readonly PatchedRow[], title: string): Block[] {
  const { state, task, property, decidedBy, sites } = question;
  const place = decidedBy ?? sites.find(({ role }) => role === "declared");
  if (!place) return [];
  const own = rows.filter((row) => row.state === state && row.task === task && row.property === property);
  const before = new Map(
    own.flatMap((row) => {
      return row.kind === "none" && row.distribution ? [[`${row.side}/${row.item}`, row.distribution] as const] : [];
    }),
  );
  const after = own.filter(
    (row) =>
      ["other", "same", "steered"].includes(row.kind) &&
      row.side === "hypothetical" &&
      row.site === place.site &&
      row.span === place.span &&
      row.number === 0,
  );
  const items = [...new Set(after.map(({ item }) => item))].slice(0, MOST_EXAMPLES);
  const shown = after.filter(({ item }) => items.includes(item));
  if (shown.length === 0) return [];
  return [
    {
      kind: "table",
      caption: `${title}: predictions of some strings before and after, at ${place.site} of ${place.span}`,
      columns: [
        left("String"),
        left("Written"),
        left("Own behavior"),
        left("Moved to"),
        left("Before"),
        left("After"),
        right("Logit difference, nats"),
      ],
      rows: shown.flatMap((row) => {
        const was = before.get(`hypothetical/${row.item}`);
        if (!was || !row.distribution) return [];
        const change = logitDifferenceChange(valueEffects(was, row.distribution), row.toward ?? row.own, row.own);
        const nats: TableCell =
          change === undefined || row.toward === row.own
            ? {
                text: formatMissing(row.toward === row.own ? "the same value" : "one of the values has no probability"),
                missing: true,
              }
            : { text: `${change > 0 ? "+" : ""}${change.toFixed(2)}` };
        return [
          {
            cells: [
              { text: row.item },
              { text: `${WRITTEN_AS[row.kind] ?? row.kind}${row.donor === undefined ? "" : ` ${row.donor}`}` },
              { text: row.own },
              { text: row.toward ?? "—" },
              { text: topText(was) },
              { text: topText(row.distribution) },
              nats,
            ],
          },
        ];
      }),
    },
  ];
}

const WRITTEN_AS: Readonly<Record<string, string>> = {
  other: "donor with another behavior",
  same: "donor with the same behavior",
  steered: "steering vector",
};

/** yes 97.0 %, no 2.9 %; no value 0.1 % */
function topText(distribution: Distribution): string {
  const top = distribution.values.slice(0, MOST_VALUES);
  const shown = top.map(({ value, probability }) => `${value} ${formatPercent(probability)}`);
  const rest = distribution.values.slice(MOST_VALUES).reduce((sum, { probability }) => sum + probability, 0);
  const none = Object.values(distribution.notCompliant).reduce((sum, one) => sum + (one ?? 0), 0);
  const tail = distribution.method === "expansion" ? distribution.tail : 0;
  return [
    shown.length > 0 ? shown.join(", ") : "no value",
    ...(rest > 0 ? [`others ${formatPercent(rest)}`] : []),
    ...(none > 0 ? [`without a value ${formatPercent(none)}`] : []),
    ...(tail > 0 ? [`not looked into ${formatPercent(tail)}`] : []),
  ].join("; ");
}
