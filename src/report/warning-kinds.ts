/** Warnings of cells under one mark per kind: sentences that differ only in their numbers and quoted values are one kind. */
import type { CellScore } from "../records/scores.js";

export interface WarningKind {
  readonly mark: string;
  /** The sentence itself where all cells share it, else with … for what differs. */
  readonly text: string;
}

export interface MarkedWarnings {
  readonly kinds: readonly WarningKind[];
  marksOf(cell: CellScore): string[];
}

/** @returns kinds marked a, b, … z, aa, ab, … in the order in which cells first show them */
export function markWarnings(cells: readonly CellScore[]): MarkedWarnings {
  const sentences = new Map<string, Set<string>>();
  for (const warning of cells.flatMap((cell) => cell.warnings)) {
    const kind = kindOf(warning);
    sentences.set(kind, (sentences.get(kind) ?? new Set()).add(warning));
  }
  const names = [...sentences.keys()];
  const marks = new Map(names.map((kind, index) => [kind, markAt(index)]));
  return {
    kinds: names.map((kind) => {
      const [only, ...others] = sentences.get(kind) as Set<string>;
      return { mark: marks.get(kind) as string, text: others.length === 0 ? (only as string) : kind };
    }),
    marksOf: (cell) =>
      [...new Set(cell.warnings.map((warning) => marks.get(kindOf(warning)) as string))].sort(byLength),
  };
}

function kindOf(warning: string): string {
  return warning.replace(/"(?:[^"\\]|\\.)*"/g, "…").replace(/[-−+]?\d+(?:[.,]\d+)*/g, "…");
}

function markAt(index: number): string {
  const last = String.fromCharCode(97 + (index % 26));
  return index < 26 ? last : markAt(Math.floor(index / 26) - 1) + last;
}

function byLength(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : 1);
}
