/** What can be read inside: heat maps with their controls, curves over the layers, and what may be concluded from them. */

import {
  probeAccuracy,
  probeGain,
  type MaybeDifference,
  type ProbedQuestion,
  type ProbedSite,
  type ProbeResults,
} from "../../probe/probe-results.js";
import type { ProbeLabel } from "../../study/probe-schema.js";
import {
  aside,
  type Block,
  estimateCell,
  formatCount,
  formatEstimate,
  formatMissing,
  formatPoints,
  type Inline,
  INTERVALS,
  left,
  paragraph,
  right,
  type Section,
  type Table,
  type TableCell,
} from "../document.js";
import { type MapPanel, placeName, siteCurveFigure, siteMapFigure } from "../figures/probe-figure.js";
import type { StateNames } from "../state-names.js";
import { plural, type PropertyNames, readableName } from "../terms.js";

const PANELS: readonly MapPanel<ProbedSite>[] = [
  { panel: "probe", of: ({ score }) => probeAccuracy(score) },
  { panel: "control task", of: ({ control }) => probeAccuracy(control) },
  { panel: "shuffled labels", of: ({ shuffled }) => probeAccuracy(shuffled) },
  { panel: "random weights", of: ({ randomWeights }) => probeAccuracy(randomWeights) },
];
const CURVE = {
  of: ({ score }: ProbedSite) => probeGain(score),
  axis: "accuracy beyond the base",
  format: "+.0%",
};

/** @throws InwardError REPORT_FAILED */
export async function probesSection(
  results: ProbeResults,
  names: StateNames,
  property: PropertyNames,
): Promise<Section> {
  const questions: Block[] = [];
  for (const [at, question] of results.questions.entries()) {
    questions.push(...(await questionBlocks(question, at + 1, names, property)));
  }
  return {
    id: "probes",
    title: "What can be read inside",
    blocks: [
      paragraph(
        { strong: "Readable is never used. " },
        "A linear probe that reads a label off a state shows that the label, or something that goes with it, is there for whoever looks. It does " +
          "not show that the model looks: what is read may be a by-product that nothing after it depends on. And what no linear probe reads may " +
          "be there all the same, in another form. So nothing here says whether a model simulates its answer; only interventions can.",
      ),
      { kind: "list", items: method(results) },
      ...questions,
    ],
  };
}

function method({ settings, spanTokens }: ProbeResults): Inline[][] {
  return [
    [
      { strong: "States. " },
      `Of the prompts as they are asked, token by token; for train strings the hypothetical questions were looked into without being answered. Of a span of several tokens ${spanTokens === "last" ? "the last one's" : "the mean of all"}.`,
    ],
    [
      { strong: "Probes. " },
      `Multinomial logistic regression, learnt on train strings, scored on held-out strings, its penalty (C of ${settings.cs.join(", ")}) chosen in ${settings.folds} folds of the train strings. Labels are the target's first answers.`,
    ],
    [
      { strong: "Base. " },
      "Who sees no state: the most frequent label of the train strings; where one label is given, the most frequent of those with the same. Points are the probe's accuracy beyond that.",
    ],
    [
      { strong: "Beside it. " },
      "Shuffled labels: the same probe where there is nothing to be read. Control task: labels by chance for each last token of what differs between the prompts, mostly of the string; selectivity is the accuracy less that, and where the control is read as well, labels could be learnt by heart from that token. Tokens: a bag of the prompt's tokens, without any model. Embedding: the states before the first layer. Without adapter: the same model before training. Random weights: a network of the same shape, each matrix drawn anew with the mean square of the trained one, asked the same prompts: what any such network shows. Other model: another network's states about the same answers, at the nearest share of its layers.",
    ],
    [
      { strong: "Tests. " },
      "Labels are permuted among held-out strings, one-sided; p-values are adjusted after Holm over the declared sites of one question (all of its layers and spans, the embedding aside), and over nothing else: with many questions some sites come out by chance.",
    ],
    [{ strong: "Intervals. " }, INTERVALS, "."],
  ];
}

export function labelWords(label: ProbeLabel, property: string): string {
  const words: Readonly<Record<ProbeLabel, string>> = {
    behavior: "the first word of the answer",
    property,
    both: `the first word of the answer together with ${property}`,
    behavior_given_property: `the first word of the answer, beyond what ${property} itself tells`,
    property_given_behavior: `${property}, beyond what the first word of the answer itself tells`,
  };
  return words[label];
}

async function questionBlocks(
  question: ProbedQuestion,
  number: number,
  names: StateNames,
  property: PropertyNames,
): Promise<Block[]> {
  const { predictor, target, task, prompt, label, tokens, trainStrings, heldOutStrings, leftOut } = question;
  const asked = question.property === undefined ? "" : property(question.property);
  const whose = predictor === target ? "its own" : `those of ${names(target)}`;
  const title = `${readableName(task)}: ${labelWords(label, asked)}`;
  const where = `${prompt === "hypothetical" ? "hypothetical" : "object-level"} prompts of ${names(predictor)}, answers: ${whose}`;
  const leftOutWords = Object.entries(leftOut).map(([reason, count]) => `${formatCount(count)} ${reason}`);
  const blocks: Block[] = [
    { kind: "subheading", title: `${title} (${where})` },
    paragraph(verdict(question)),
    aside(
      `${plural(trainStrings, "train string", formatCount(trainStrings))}, ${formatCount(heldOutStrings)} held out${leftOutWords.length > 0 ? `; without a label: ${leftOutWords.join(", ")}` : ""}. The prompt's tokens alone: ${formatEstimate(probeAccuracy(tokens))}${tokens.ok ? `, ${formatPoints(probeGain(tokens))} beyond the base` : ""}.`,
    ),
  ];
  if (!question.sites.some(({ score }) => score.ok)) return blocks;
  const ids = `${number}`;
  const mapTitle = `${title}: accuracy at each site, and of its controls`;
  const curveTitle = `${title}: beyond the base, by layer`;
  return [
    ...blocks,
    {
      kind: "figure",
      name: `probe-map-${ids}`,
      title: mapTitle,
      svg: await siteMapFigure(mapTitle, question.sites, PANELS),
      caption: `Of 100 held-out strings, how many are read right. ${where}.`,
    },
    {
      kind: "figure",
      name: `probe-curve-${ids}`,
      title: curveTitle,
      svg: await siteCurveFigure(curveTitle, question.sites, CURVE),
      caption: `Accuracy less that of who sees no state, with intervals. ${where}.`,
    },
    siteTable(question, title),
  ];
}

const isFound = ({ holm, score }: ProbedSite, alpha: number) =>
  holm.ok && holm.p <= alpha && score.ok && score.gainAccuracy.ok && score.gainAccuracy.low > 0;

/** At how many declared sites something is read, and what that does and does not say. */
function verdict({ sites, prompt }: ProbedQuestion): string {
  const declared = sites.filter(({ isEmbedding }) => !isEmbedding);
  const scored = declared.filter(({ score }) => score.ok);
  if (scored.length === 0) {
    const [first] = declared;
    return `Nothing can be said: ${first && !first.score.ok ? first.score.reason : "no site was declared"}.`;
  }
  const alpha = 0.05;
  const found = declared.filter((site) => isFound(site, alpha));
  if (found.length === 0) {
    return `At none of ${formatCount(scored.length)} sites is it read beyond the base on strings that the probe has not seen (Holm, 5 %). This does not show that it is not there: a linear probe of so few strings sees little.`;
  }
  const places = found.slice(0, 4).map(({ part, layer, span }) => `${part}.${layer} at ${span}`);
  const more = found.length > places.length ? `, and ${formatCount(found.length - places.length)} more` : "";
  const early =
    prompt === "hypothetical" ? "" : " On object-level prompts this is no surprise: the answer is about to be said.";
  return `Readable beyond the base at ${formatCount(found.length)} of ${formatCount(scored.length)} sites (Holm, 5 %, and an interval above 0): ${places.join(", ")}${more}. ${besideControls(found)} That the prediction is computed from it does not follow.${early}`;
}

/** At how many of the sites that were found the probe also exceeds whoever sees less, or another thing. */
function besideControls(found: readonly ProbedSite[]): string {
  const controls: readonly (readonly [string, (site: ProbedSite) => MaybeDifference])[] = [
    ["the prompt's tokens alone", ({ beyondTokens }) => beyondTokens],
    ["the embedding", ({ beyondEmbedding }) => beyondEmbedding],
    ["random weights", ({ beyondRandomWeights }) => beyondRandomWeights],
    ["the control task", ({ selectivity }) => selectivity],
    ["another model", ({ beyondOtherModel }) => beyondOtherModel],
  ];
  const [beaten, open]: [string[], string[]] = [[], []];
  let aboveTokens = 0;
  for (const [at, [name, of]] of controls.entries()) {
    const known = found.map(of).filter((one) => one.ok);
    const above = known.filter((one) => one.difference.ok && one.difference.low > 0).length;
    if (at === 0) aboveTokens = above;
    if (known.length === 0) open.push(name);
    else beaten.push(`${name} at ${formatCount(above)}`);
  }
  const shown = beaten.length > 0 ? `Of these it is above, with its interval: ${beaten.join(", ")}.` : "";
  const notShown = open.length > 0 ? ` Not compared: ${open.join(", ")}.` : "";
  const text =
    aboveTokens > 0
      ? ""
      : " A classifier that sees the prompt's tokens and no model is not shown to read less: what is read may be no more than what the text tells.";
  return `${shown}${notShown}${text}`.trim();
}

function differenceCell(found: MaybeDifference): TableCell {
  return found.ok ? estimateCell(found.difference, true) : { text: formatMissing(found.reason), missing: true };
}

function siteTable({ sites }: ProbedQuestion, title: string): Table {
  return {
    kind: "table",
    caption: `${title}: every site and what stands beside it`,
    groupTitle: "Span",
    columns: [
      left("Site"),
      right("Right"),
      right("Beyond the base"),
      right("p, Holm"),
      right("Shuffled labels"),
      right("Control task"),
      right("Selectivity"),
      right("Beyond tokens"),
      right("Beyond embedding"),
      right("Beyond no adapter"),
      right("Random weights"),
      right("Beyond random weights"),
      right("Other model"),
      right("Beyond other model"),
    ],
    rows: sites.map((site) => ({
      group: site.span,
      cells: [
        { text: placeName(site) },
        estimateCell(probeAccuracy(site.score)),
        estimateCell(probeGain(site.score), true),
        site.holm.ok ? { text: site.holm.p.toFixed(3) } : { text: formatMissing(site.holm.reason), missing: true },
        estimateCell(probeAccuracy(site.shuffled)),
        estimateCell(probeAccuracy(site.control)),
        differenceCell(site.selectivity),
        differenceCell(site.beyondTokens),
        differenceCell(site.beyondEmbedding),
        differenceCell(site.beyondWithoutAdapter),
        estimateCell(probeAccuracy(site.randomWeights)),
        differenceCell(site.beyondRandomWeights),
        site.otherModel.ok
          ? estimateCell(probeAccuracy(site.otherModel.score))
          : { text: formatMissing(site.otherModel.reason), missing: true },
        differenceCell(site.beyondOtherModel),
      ],
    })),
  };
}
