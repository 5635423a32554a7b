/**
 * Micro and macro averages over the cells of one predictor about one target. An estimate covers the cells that have it
 * (a rule that means nothing for a task, a cell without train labels or margins are left out); its n and clusters say how much that is.
 */
import type { AverageScore, Estimate, Share } from "../records/scores.js";
import { estimateMean } from "./estimate.js";
import { PROPORTION, type PointRange } from "./measure.js";
import { MEASURED, type Measured, rangeOf, type ScoredCell, type Tallied } from "./score-cell.js";
import type { Tally } from "./tally.js";

/**
 * Micro: every trial counts the same. Macro: every (task, property) counts the same, its wordings pooled.
 * @param cells at least one, all of the same predictor and target
 */
export function averageCells(cells: readonly ScoredCell[], confidence: number): AverageScore[] {
  const { target, predictor } = (cells[0] as ScoredCell).score;
  const rules = [...new Set(cells.flatMap((cell) => Object.keys(cell.heuristics)))].sort();
  return (["micro", "macro"] as const).map((kind) => {
    const average = (pick: (cell: ScoredCell) => Tallied | undefined, range: PointRange): Estimate => {
      const picked = cells.flatMap((cell) => {
        const tallied = pick(cell);
        return tallied ? [{ unit: kind === "micro" ? "" : unitOf(cell), tallied }] : [];
      });
      return averageOf(picked, range, confidence);
    };
    const estimates = Object.fromEntries(
      MEASURED.map((measured) => [measured, average((cell) => cell.tallies[measured], rangeOf(measured))]),
    ) as Record<Measured, Estimate>;
    return {
      target,
      predictor,
      kind,
      cells: new Set(cells.filter((cell) => cell.tallies.accuracy.ok).map(unitOf)).size,
      ...estimates,
      heuristics: Object.fromEntries(rules.map((rule) => [rule, average((cell) => cell.heuristics[rule], PROPORTION)])),
      objectCompliance: addShares(cells.map((cell) => cell.score.objectCompliance)),
      hypotheticalCompliance: addShares(cells.map((cell) => cell.score.hypotheticalCompliance)),
    };
  });
}

function averageOf(
  picked: readonly { unit: string; tallied: Tallied }[],
  range: PointRange,
  confidence: number,
): Estimate {
  const units = new Map<string, Tally[]>();
  for (const { unit, tallied } of picked) {
    if (tallied.ok) units.set(unit, [...(units.get(unit) ?? []), tallied.tally]);
  }
  if (units.size > 0) return estimateMean([...units.values()], range, confidence);
  const reasons = [...new Set(picked.flatMap(({ tallied }) => (tallied.ok ? [] : [tallied.reason])))];
  const more = reasons.length > 1 ? ` (and ${reasons.length - 1} other reasons)` : "";
  return { ok: false, reason: `no cell has it: ${reasons[0]}${more}` };
}

function unitOf({ score }: ScoredCell): string {
  return JSON.stringify([score.task, score.property]);
}

function addShares(shares: readonly Share[]): Share {
  return shares.reduce((sum, { count, of }) => ({ count: sum.count + count, of: sum.of + of }), { count: 0, of: 0 });
}
