/** What lenses see: heat maps with the control beside them, curves over the layers, how good the maps are, and what may be concluded. */

import { type LensQuestion, lensGain, type LensReadSite, type LensResults } from "../../probe/lens-results.js";
import {
  aside,
  type Block,
  estimateCell,
  formatCount,
  formatMissing,
  type Inline,
  INTERVALS,
  left,
  paragraph,
  right,
  type Section,
  type Table,
  type TableCell,
} from "../document.js";
import type { Estimate } from "../../score/interval.js";
import { type MapPanel, siteCurveFigure, siteMapFigure } from "../figures/probe-figure.js";
import type { StateNames } from "../state-names.js";
import { plural, type PropertyNames, readableName } from "../terms.js";
import { labelWords } from "./probes-section.js";

const ofScore = (score: LensReadSite["score"], of: (one: Extract<typeof score, { readonly ok: true }>) => Estimate) =>
  score.ok ? of(score) : score;
const PANELS: readonly MapPanel<LensReadSite>[] = [
  { panel: "own value first", of: ({ score }) => ofScore(score, ({ first }) => first) },
  { panel: "another string's", of: ({ score }) => ofScore(score, ({ otherFirst }) => otherFirst) },
];
const CURVE = {
  of: ({ score }: LensReadSite) => lensGain(score),
  axis: "nats beyond other strings' values",
  format: "+.2f",
};
const LENS_WORDS: Readonly<Record<string, string>> = { logit: "logit lens", tuned: "tuned lens" };
const ALPHA = 0.05;

/** @throws InwardError REPORT_FAILED */
export async function lensSection(results: LensResults, names: StateNames, property: PropertyNames): Promise<Section> {
  const questions: Block[] = [];
  for (const [at, question] of results.questions.entries()) {
    questions.push(...(await questionBlocks(question, at + 1, results, names, property)));
  }
  return {
    id: "lenses",
    title: "What lenses see",
    blocks: [
      paragraph(
        { strong: "Visible to the model's end is not used. " },
        "A lens asks the last norm and the unembedding about a state in the middle of the model. A value that is visible there lies along the direction " +
          "in which it would be said; the model may use it, or not, and may compute with what no lens sees. So a value that is seen before the end does " +
          "not show that the model simulates its answer, and one that is not seen does not show that it does not; only interventions can.",
      ),
      { kind: "list", items: [...method(results), ...fileItems(results, names)] },
      ...results.unread.map(({ state, reason }) => paragraph(`${names(state)} was not read: ${reason}`)),
      ...endBlocks(results, names),
      ...lensMapBlocks(results, names),
      ...questions,
    ],
  };
}

function method({ settings, spanTokens }: LensResults): Inline[][] {
  return [
    [
      { strong: "Read. " },
      `Held-out strings' prompts as they are asked, at the declared residuals; of a span of several tokens ${spanTokens === "last" ? "the last one's state" : "the mean of all states"}. A value's probability is the sum over the tokens that it may begin with, in three cases, with a blank before it and without; tokens with which several values begin count for none.`,
    ],
    [
      { strong: "Control. " },
      "The values of the other held-out strings in the same prompt, all of them, so that what makes a word likely everywhere is in both. Where something is known beyond which a value is read, only strings of which the same is known.",
    ],
    [
      { strong: "First. " },
      `The value leads all others that were compared by ${settings.leastNats} nats or more; what leads by less is not told apart.`,
    ],
    [
      { strong: "Tests. " },
      "Values are permuted among held-out strings, one-sided, on their logprobs; p-values are adjusted after Holm over the declared sites of one question and one lens (all of its layers and spans), and over nothing else.",
    ],
    [{ strong: "Intervals. " }, INTERVALS, "."],
  ];
}

/** What files of lenses are, in our words and in theirs. */
function fileItems({ files = [] }: LensResults, names: StateNames): Inline[][] {
  return files.map(({ name, file, sha256, model, kind, layers, says }) => {
    const { baseModel, revision, unembedHash, prompts, unread = [] } = says;
    const about =
      baseModel === undefined
        ? "The file does not say of which model it is"
        : `The file says that it is of ${baseModel}${revision === undefined ? "" : `, revision ${revision}`}`;
    const more = [
      ...(prompts === undefined ? [] : [`made of ${plural(prompts, "prompt", formatCount(prompts))}`]),
      ...(unembedHash === undefined
        ? []
        : [`for an unembedding with the hash ${unembedHash.slice(0, 12)}…, which is not compared`]),
    ];
    const what =
      kind === "tuned"
        ? "A tuned lens (x + W·x + b of what a layer begins with)"
        : "A Jacobian lens (J·h of what a layer ends with)";
    return [
      { strong: `${name}. ` },
      `${what}, read from `,
      { code: file },
      ` (sha256 ${sha256.slice(0, 12)}…), of layers ${layerRanges(layers)}. ${[about, ...more].join("; ")}. It is used on ${names(model)}, whose width and layers fit; that it is the same model is the study's word. ` +
        `${unread.length > 0 ? `Not read: ${unread.join(", ")}. ` : ""}Below it is held against what the model says.`,
    ];
  });
}

/** 0–10, 12 */
function layerRanges(layers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const layer of layers) {
    const last = runs.at(-1);
    if (last && last[1] === layer - 1) last[1] = layer;
    else runs.push([layer, layer]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first} to ${last}`)).join(", ");
}

function endBlocks({ states }: LensResults, names: StateNames): Block[] {
  return states.map(({ state, end }) =>
    aside(
      end.ok
        ? `${names(state)}: after the last layer the logit lens gives the first token that was said its recorded log-probability within ${end.greatestNats.toPrecision(2)} nats on ${plural(end.prompts, "prompt", formatCount(end.prompts))}; ${end.otherToken === 0 ? "its likeliest token is the one that was said, everywhere" : `on ${formatCount(end.otherToken)} its likeliest token is another than was said`}.`
        : `${names(state)}: what the lens says after the last layer is not held against what was said: ${end.reason}.`,
    ),
  );
}

function lensMapBlocks({ states }: LensResults, names: StateNames): Block[] {
  const rows = states.flatMap(({ state, tuned, given = [] }) => [
    ...tuned.map((one) => ({ state, lens: "tuned", one })),
    ...given.map((one) => ({ state, lens: one.lens, one })),
  ]);
  if (rows.length === 0) return [];
  const held = (one: (typeof rows)[number]["one"], of: "tunedNats" | "logitLensNats" | "loweredNats"): TableCell => {
    if ("ok" in one) return { text: formatMissing(one.reason), missing: true };
    return one.heldOut.ok
      ? natsWithInterval(one.heldOut[of])
      : { text: formatMissing(one.heldOut.reason), missing: true };
  };
  return [
    {
      kind: "table",
      caption:
        "Lenses with a map, on held-out strings: nats from what the model says to what the lens says, with the map and without. A map that does not lower it is worth nothing",
      groupTitle: "State",
      columns: [
        left("Lens"),
        left("Site"),
        right("With the map"),
        right("Logit lens"),
        right("Lowered by"),
        right("Ridge"),
        right("Map of layer"),
      ],
      rows: rows.map(({ state, lens, one }) => ({
        group: names(state),
        cells: [
          { text: lens },
          { text: one.site },
          held(one, "tunedNats"),
          held(one, "logitLensNats"),
          held(one, "loweredNats"),
          { text: "ridge" in one ? String(one.ridge ?? "") : "" },
          { text: "layer" in one ? String(one.layer) : "" },
        ],
      })),
    },
  ];
}

async function questionBlocks(
  question: LensQuestion,
  number: number,
  { settings }: LensResults,
  names: StateNames,
  property: PropertyNames,
): Promise<Block[]> {
  const { predictor, target, task, prompt, label, lens, heldOutStrings, leftOut, values } = question;
  const asked = question.property === undefined ? "" : property(question.property);
  const whose = predictor === target ? "its own" : `those of ${names(target)}`;
  const title = `${readableName(task)}, ${LENS_WORDS[lens] ?? `lens ${lens}`}: ${labelWords(label, asked)}`;
  const where = `${prompt === "hypothetical" ? "hypothetical" : "object-level"} prompts of ${names(predictor)}, answers: ${whose}`;
  const leftOutWords = Object.entries(leftOut).map(([reason, count]) => `${formatCount(count)} ${reason}`);
  const blocks: Block[] = [
    { kind: "subheading", title: `${title} (${where})` },
    paragraph(verdict(question, settings.leastNats)),
    aside(
      `${plural(heldOutStrings, "held-out string", formatCount(heldOutStrings))}, ${plural(values, "value", formatCount(values))}${leftOutWords.length > 0 ? `; not read: ${leftOutWords.join(", ")}` : ""}.`,
    ),
  ];
  if (!question.sites.some(({ score }) => score.ok)) return blocks;
  const mapTitle = `${title}: how often the own value is first, and another string's`;
  const curveTitle = `${title}: beyond other strings' values, by layer`;
  const curved = question.sites.filter(({ part }) => part === "residual_after");
  return [
    ...blocks,
    {
      kind: "figure",
      name: `lens-map-${number}`,
      title: mapTitle,
      svg: await siteMapFigure(mapTitle, question.sites, PANELS),
      caption: `Of 100 held-out strings. ${where}.`,
    },
    {
      kind: "figure",
      name: `lens-curve-${number}`,
      title: curveTitle,
      svg: await siteCurveFigure(curveTitle, curved, CURVE),
      caption: `Mean ln P of the own value less that of other strings' values, with intervals. ${where}.`,
    },
    siteTable(question, title),
  ];
}

function verdict({ sites, prompt }: LensQuestion, leastNats: number): string {
  const declared = sites.filter(({ isDeclared }) => isDeclared);
  const read = declared.filter(({ score }) => score.ok);
  if (read.length === 0) {
    const [first] = declared;
    return `Nothing can be said: ${first === undefined ? "no residual was declared" : first.score.ok ? "" : first.score.reason}.`;
  }
  const found = read.filter(({ score, holm }) => {
    const gain = lensGain(score);
    return holm.ok && holm.p <= ALPHA && gain.ok && gain.low > leastNats;
  });
  if (found.length === 0) {
    return `At none of ${formatCount(read.length)} sites does the model's end see it beyond other strings' values (Holm, 5 %, and an interval above ${leastNats} nats). This does not show that it is not there: it may be written in another direction.`;
  }
  const places = found.slice(0, 4).map(({ site, span }) => `${site} at ${span}`);
  const more = found.length > places.length ? `, and ${formatCount(found.length - places.length)} more` : "";
  const early =
    prompt === "hypothetical" ? "" : " On object-level prompts this is no surprise: the answer is about to be said.";
  return `Visible to the model's end beyond other strings' values at ${formatCount(found.length)} of ${formatCount(read.length)} sites (Holm, 5 %, and an interval above ${leastNats} nats): ${places.join(", ")}${more}. That the prediction is computed from it does not follow.${early}`;
}

/** Nats, with the interval. */
function natsWithInterval(estimate: Estimate): TableCell {
  if (!estimate.ok) return { text: formatMissing(estimate.reason), missing: true };
  const { value, low, high } = estimate;
  return { text: `${value.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]` };
}

function siteTable({ sites }: LensQuestion, title: string): Table {
  return {
    kind: "table",
    caption: `${title}: every site and what stands beside it`,
    groupTitle: "Span",
    columns: [
      left("Site"),
      right("Own, ln P"),
      right("Beyond others', nats"),
      right("p, Holm"),
      right("First"),
      right("Another's first"),
      right("Median rank"),
      right("Another's rank"),
      right("Entropy, nats"),
      right("Beyond no adapter, nats"),
      right("Other model, nats"),
      right("Beyond other model, nats"),
    ],
    rows: sites.map((site) => ({
      group: site.span,
      cells: [
        { text: site.site === "residual_before.0" ? "embedding" : site.site },
        natsWithInterval(ofScore(site.score, ({ ownNats }) => ownNats)),
        natsWithInterval(lensGain(site.score)),
        site.holm.ok ? { text: site.holm.p.toFixed(3) } : { text: formatMissing(site.holm.reason), missing: true },
        estimateCell(ofScore(site.score, ({ first }) => first)),
        estimateCell(ofScore(site.score, ({ otherFirst }) => otherFirst)),
        { text: site.score.ok ? String(site.score.medianRank) : formatMissing(site.score.reason) },
        { text: site.score.ok ? String(site.score.otherMedianRank) : formatMissing(site.score.reason) },
        natsWithInterval(ofScore(site.score, ({ entropyNats }) => entropyNats)),
        natsWithInterval(site.beyondWithoutAdapter),
        site.otherModel.ok
          ? natsWithInterval(site.otherModel.gainNats)
          : { text: formatMissing(site.otherModel.reason), missing: true },
        natsWithInterval(site.beyondOtherModel),
      ],
    })),
  };
}
