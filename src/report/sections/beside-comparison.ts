/** Under self against cross: two models about each other with skill taken out, and models as they came. Neither can be a study's primary contrast. */

import type { ComparedNetOfSkill, ComparedUntrained, Comparisons } from "../../score/comparison/comparisons.js";
import { planScopes } from "../../score/scope.js";
import { netOfSkillVerdict, untrainedVerdict } from "../../score/verdicts/cross-prediction.js";
import type { Plan } from "../../study/plan.js";
import { aside, type Block, countCell, decimalText, estimateCell, formatMissing, left, right } from "../document.js";
import { verdictBlock } from "../sentences.js";
import { withStanding } from "../standing.js";
import type { StateNames } from "../state-names.js";
import { FINDING_WORDS, SCOPE_WORDS } from "../terms.js";
import { overallRow, partyColumns, testCell, WEIGHTS } from "./comparison-cells.js";

/** The main scope first. @returns nothing where no two models predict themselves and each other */
export function netOfSkillBlocks(scores: Comparisons, plan: Plan, names: StateNames): Block[] {
  const some = planScopes(plan).all.flatMap((scope) => scores.netOfSkill.filter((one) => one.scope === scope));
  if (some.length === 0) return [];
  return [
    { kind: "subheading", title: "With skill and predictability taken out" },
    aside(
      "Where two models predict themselves and each other, what each knows better about itself is left when the two differences are added: a better predictor is better about both targets, and an easier target is easier for both. What a model predicts by answering as it would itself stays in. A yes takes the same on the scale of −log(1 − accuracy).",
    ),
    ...some.flatMap((one) => [
      verdictBlock(withStanding(plan, netOfSkillVerdict(one)), names),
      netTable(one, percentOf(scores), names),
    ]),
  ];
}

function netTable(
  { scope, first, second, overall, onMisses }: ComparedNetOfSkill,
  percent: number,
  names: StateNames,
): Block {
  const about = (predictor: string, target: string) => `${names(predictor)} about ${names(target)}`;
  const misses = onMisses.ok ? decimalText(onMisses, 3) : formatMissing(onMisses.reason);
  return {
    kind: "table",
    caption: `Right predictions of both about both${whereOf(scope)}, on the questions that all four replied to, with ${percent} % intervals (cluster bootstrap by string, paired); the sum is first − second + third − fourth, in points. The same sum of −log(1 − accuracy): ${misses}`,
    columns: [
      left("Average"),
      ...[
        about(first.self, first.target),
        about(first.cross, first.target),
        about(second.self, second.target),
        about(second.cross, second.target),
        "Sum",
        "Sign-flip p",
        "n",
      ].map(right),
    ],
    rows: overall.map(({ kind, accuracies, difference, signFlip }) => ({
      cells: [
        { text: WEIGHTS[kind] },
        ...accuracies.map((accuracy) => estimateCell(accuracy)),
        estimateCell(difference, true),
        testCell(signFlip),
        countCell(difference),
      ],
    })),
  };
}

/** The main scope first. @returns nothing where the study trains nobody, or asked no model as it came about another */
export function untrainedBlocks(scores: Comparisons, plan: Plan, names: StateNames): Block[] {
  const some = planScopes(plan).all.flatMap((scope) => scores.untrained.filter((one) => one.scope === scope));
  if (some.length === 0) return [];
  return [
    { kind: "subheading", title: "Before any training" },
    aside(
      "The models as they came, about the same behavior, on the trials where both reply in form. It tells what training started from, and decides nothing.",
    ),
    ...some.flatMap((one) => [
      verdictBlock(withStanding(plan, untrainedVerdict(one, scores.confidence)), names),
      untrainedTable(one, percentOf(scores), names),
    ]),
  ];
}

function untrainedTable(
  { scope, target, cross, comparison: { overall }, judgement }: ComparedUntrained,
  percent: number,
  names: StateNames,
): Block {
  return {
    kind: "table",
    caption: `${names(target)} about itself against ${names(cross)}${whereOf(scope)}, both untrained and in form, with ${percent} % intervals (cluster bootstrap by string, paired)`,
    columns: [...partyColumns("Average").slice(0, -1), right("Mode (oracle)"), left("Finding")],
    rows: overall.map((row, at) => ({
      cells: [
        ...overallRow(WEIGHTS[row.kind], row),
        estimateCell(row.modeBaseline),
        { text: at === 0 ? FINDING_WORDS[judgement.finding] : formatMissing("not judged"), missing: at > 0 },
      ],
    })),
  };
}

function whereOf(scope: ComparedUntrained["scope"]): string {
  return scope === "all" ? "" : `, ${SCOPE_WORDS[scope]}`;
}

function percentOf({ confidence }: Comparisons): number {
  return Number((100 * confidence).toFixed(6));
}
