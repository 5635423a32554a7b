/** The control for learning nothing but a marginal: the same labels, each dealt out to another string of its task and property. Pure. */
import { createHash } from "node:crypto";
import type { SetCandidate } from "./build-sets.js";

/**
 * Candidates that could enter a set change labels in a seeded circle, so none keeps its own (another string's may be the same value)
 * and every value is as frequent as before. The others stay what they are. Needs two that could enter; one alone keeps its label.
 */
export function scrambleLabels(candidates: readonly SetCandidate[], seed: number): SetCandidate[] {
  const cells = new Map<string, number[]>();
  candidates.forEach(({ behavior, readable }, at) => {
    if (!readable || !behavior.compliance.ok || !behavior.extraction.ok) return;
    const key = JSON.stringify([behavior.task, behavior.property]);
    const cell = cells.get(key);
    if (cell) cell.push(at);
    else cells.set(key, [at]);
  });
  const scrambled = [...candidates];
  for (const [key, places] of cells) {
    const rank = (at: number) => hash(`scramble/${seed}/${key}/${(candidates[at] as SetCandidate).item.id}`);
    const circle = places.map((at) => ({ at, rank: rank(at) })).sort((a, b) => (a.rank < b.rank ? -1 : 1));
    circle.forEach(({ at }, place) => {
      const candidate = candidates[at] as SetCandidate;
      const giver = candidates[(circle[(place + 1) % circle.length] as { at: number }).at] as SetCandidate;
      scrambled[at] = { ...candidate, behavior: { ...candidate.behavior, extraction: giver.behavior.extraction } };
    });
  }
  return scrambled;
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
