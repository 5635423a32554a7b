/** Each predictor about each target: few pairs one by one, more of them as rows, and what is not shown in full a row each. */
import type { Plan } from "../records/plan.js";
import type { Scores } from "../records/scores.js";
import { note, type Section } from "./document.js";
import { headlineSection, pairBlocks, pairsOf } from "./headline-section.js";
import { mainPairs } from "./main-pairs.js";
import { otherPairsBlocks } from "./other-pairs.js";
import { pairsBlocks } from "./pairs-table.js";

/** More pairs are easier to read side by side. */
const MOST_ONE_BY_ONE = 3;

export function predictorsSection(plan: Plan, scores: Scores): Section {
  const all = pairsOf(scores);
  const isMain = mainPairs(plan);
  const main = all.filter(isMain);
  const others = all.filter((pair) => !isMain(pair));
  if (others.length === 0 && main.length <= MOST_ONE_BY_ONE) return headlineSection(scores);
  return {
    ...headlineSection(scores),
    blocks: [
      ...(main.length > MOST_ONE_BY_ONE
        ? pairsBlocks(main, scores.confidence)
        : main.flatMap((pair) => pairBlocks(pair, scores.confidence, true))),
      ...otherPairsBlocks(plan, others, scores.confidence),
      note(`Intervals: ${scores.intervalMethod}`),
    ],
  };
}
