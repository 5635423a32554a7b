/** Self against cross: the verdict in words, a figure, every difference with its tests, third parties beside, method and limits. */
import type { ComparedPredictors, Comparisons } from "../../records/comparisons.js";
import type { Plan } from "../../records/plan.js";
import { type Block, type Figure, type Inline, note, type Section } from "../document.js";
import { comparisonFigure } from "../figures/comparison-figure.js";
import { formatCount } from "../format-number.js";
import { privilegedAccessSentences } from "../privileged-access-words.js";
import { comparisonLimits } from "./comparison-limits.js";
import { comparisonMethod } from "./comparison-method.js";
import { comparisonTitle } from "./comparison-names.js";
import {
  otherComparisonsTable,
  overallTable,
  sensitivityTable,
  taskTable,
  thirdPartyTable,
} from "./comparison-tables.js";
import { splitComparisons } from "./main-comparisons.js";
import { formatP } from "./p-value.js";

/** @throws InwardError REPORT_FAILED */
export async function comparisonSection(scores: Comparisons, plan: Plan): Promise<Section> {
  const blocks: Block[] = [];
  const { full, others } = splitComparisons(plan, scores.comparisons);
  for (const [index, one] of full.entries()) {
    blocks.push(...(await blocksOf(one, scores.confidence, plan, full.length > 1 ? `-${index + 1}` : "")));
  }
  if (others.length > 0) {
    const percent = Number((100 * scores.confidence).toFixed(6));
    blocks.push({ kind: "subheading", title: "Other comparisons" }, otherComparisonsTable(others, percent));
  }
  return {
    id: "comparison",
    title: "Self against cross",
    blocks: [
      note(
        "Does a model predict what it does better than another model that learnt the same, and better than what needs no model? Both sides are compared on the same trials.",
      ),
      ...blocks,
      { kind: "subheading", title: "How self and cross were compared" },
      { kind: "list", items: comparisonMethod({ ...scores, comparisons: full }) },
      { kind: "subheading", title: "What the comparison does not show" },
      { kind: "list", items: comparisonLimits(scores, plan).map((text) => [text]) },
    ],
  };
}

async function blocksOf(one: ComparedPredictors, confidence: number, plan: Plan, suffix: string): Promise<Block[]> {
  const percent = Number((100 * confidence).toFixed(6));
  const heldOut = plan.tasks.filter(({ trained }) => trained === false).map(({ definition }) => definition.name);
  const [first, ...others] = privilegedAccessSentences(one.verdict);
  return [
    { kind: "subheading", title: comparisonTitle(one) },
    { kind: "paragraph", tone: "verdict", text: [{ strong: first ?? "" }, ` ${others.join(" ")}`] },
    ...unlike(one),
    await figureOf(one, suffix),
    overallTable(one, percent),
    taskTable(one, percent, heldOut),
    { kind: "facts", facts: factsOf(one) },
    sensitivityTable(one, percent),
    ...(one.crossBehavior.ok && one.crossBehavior.state !== one.cross
      ? [
          note(
            `What ${one.cross} itself does was not asked: the answers of ${one.crossBehavior.state}, without the adapter, stand for it where the two behave differently.`,
          ),
        ]
      : []),
    thirdPartyTable(one, percent),
  ];
}

/** Anything but access in which the two differ. */
function unlike({ trained, sameWeights, self, cross }: ComparedPredictors): Block[] {
  const which = trained.self ? [self, cross] : [cross, self];
  return [
    ...(trained.self === trained.cross
      ? []
      : [
          note(
            `${which[0]} was trained to predict and ${which[1]} was not: the difference is one of training before it is one of access.`,
          ),
        ]),
    ...(sameWeights
      ? [
          note(
            `${cross} runs on the same base weights as the target, under another name: it is another training, not another model.`,
          ),
        ]
      : []),
  ];
}

function factsOf({ comparison }: ComparedPredictors): { name: string; value: Inline[] }[] {
  const { mcnemar, designEffect, trials } = comparison;
  const count = formatCount;
  return [
    {
      name: "Trials",
      value: [
        `${count(trials.paired)} paired; ${count(trials.selfOnly)} of self only, ${count(trials.crossOnly)} of cross only, ${count(trials.notScored)} without a behavior or a reply`,
      ],
    },
    {
      name: "Right",
      value: [
        `both ${count(mcnemar.bothRight)}, self alone ${count(mcnemar.selfOnly)}, cross alone ${count(mcnemar.crossOnly)}, neither ${count(mcnemar.bothWrong)}`,
      ],
    },
    {
      name: "McNemar",
      value: [`exact p ${formatP(mcnemar.exactP)}, mid-p ${formatP(mcnemar.midP)}. ${mcnemar.clustering}.`],
    },
    {
      name: "Design effect",
      value: [
        designEffect.ok
          ? `${designEffect.value.toFixed(2)} (correlation ${designEffect.correlation.toFixed(2)} of the ${designEffect.rowsPerString.toFixed(1)} trials of a string)`
          : `— (${designEffect.reason})`,
      ],
    },
  ];
}

async function figureOf(one: ComparedPredictors, suffix: string): Promise<Figure> {
  const title = comparisonTitle(one);
  const caption =
    "Share of trials that are right, with intervals. Self, cross and the oracle mode on the trials that self and cross share; the train mode, the rule and the classifier on those that they share with self. The tables give the paired differences.";
  return { kind: "figure", name: `comparison${suffix}`, title, caption, svg: await comparisonFigure(title, one) };
}
