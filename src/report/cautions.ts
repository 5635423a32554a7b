/** What a reader should know beside a result: behaviors that hardly vary, what the string gives away, few strings. */
import type { AverageScore, CellScore, Estimate } from "../records/scores.js";
import { FEW_STRINGS, HIGH_MODE_SHARE, LOW_ENTROPY_BITS } from "../score/worth-measuring.js";
import { bestHeuristic } from "./best-heuristic.js";
import { formatCount, formatEstimate } from "./format-number.js";
import { plural, readableName } from "./readable-name.js";

/**
 * @param average the micro average
 * @param accuracy its accuracy
 * @param cells the cells that it averages
 */
export function cautions(
  average: Pick<AverageScore, "heuristics">,
  accuracy: Extract<Estimate, { ok: true }>,
  cells: readonly CellScore[],
): string[] {
  return [...variety(cells), ...stringRules(average), ...fewStrings(accuracy.clusters)];
}

/** Whether a cell's behavior varies too little for an accuracy to say more than the mode. */
function hardlyVaries({ behaviorEntropyBits, behaviorModeShare }: CellScore): boolean {
  return behaviorEntropyBits < LOW_ENTROPY_BITS || behaviorModeShare > HIGH_MODE_SHARE;
}

function variety(cells: readonly CellScore[]): string[] {
  const scored = cells.filter((cell) => cell.behaviors.length > 0);
  const flat = scored.filter(hardlyVaries).length;
  if (flat === 0) return [];
  const where =
    flat === scored.length
      ? `all ${formatCount(flat)} cells`
      : `${formatCount(flat)} of ${formatCount(scored.length)} cells`;
  return [
    `In ${scored.length === 1 ? "the only cell" : where} the behavior hardly varies (entropy below ${LOW_ENTROPY_BITS} bits, or one value above ${100 * HIGH_MODE_SHARE} %): predictions there measure nothing beyond the mode.`,
  ];
}

function stringRules({ heuristics }: Pick<AverageScore, "heuristics">): string[] {
  const best = bestHeuristic(heuristics);
  if (!best) return [];
  const chosen = best.of > 1 ? `, the best of ${best.of} chosen after seeing the answers,` : "";
  return [
    `A rule that sees only the string (${readableName(best.rule)})${chosen} is right in ${formatEstimate(best.estimate)} of the ${formatCount(best.estimate.n)} trials it applies to.`,
  ];
}

function fewStrings(clusters: number): string[] {
  return clusters < FEW_STRINGS
    ? [`Only ${plural(clusters, "string", formatCount(clusters))} stand behind this: the intervals are rough.`]
    : [];
}
