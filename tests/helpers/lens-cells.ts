/** What lenses read at every token of a planted run, held against the float64 reference and against the same run's readings at spans. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { LensedState, LensLine, LensToken, LensTokenLine, ValueReadings } from "../../src/probe/lens-results.js";
import type { Matrix } from "./reference/matrix.js";
import { readReferenceModel } from "./reference/reference-model.js";
import { referenceResiduals } from "./reference/reference-pass.js";

/** Logits up to 40 in single precision, twice. */
export const SINGLE = 5e-5;

/** But for the first, which says what they were made from. */
function linesBehindFirst<Line>(path: string): Line[] {
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  return lines.slice(1).map((line) => JSON.parse(line));
}

export const tokenLinesOf = (run: string) => linesBehindFirst<LensTokenLine>(join(run, "07-lens-tokens.jsonl"));
const lensLinesOf = (run: string) => linesBehindFirst<LensLine>(join(run, "07-lens.jsonl"));

/** Every cell of the logit lens on a state's first prompt: what the model would say if the state there stood at its end. */
export async function expectCellsOfReference(run: string, state: string, path: string): Promise<void> {
  const model = await readReferenceModel(path);
  const [prompt] = tokenLinesOf(run).flatMap((line) => (line.what === "prompt" && line.state === state ? [line] : []));
  const [sought] = lensLinesOf(run).flatMap((line) => (line.what === "state" && line.state === state ? [line] : []));
  if (!prompt || !sought) throw new Error(`nothing of ${state}`);
  const ids = prompt.tokens.map(({ id }) => id);
  const { embedded, afterLayers } = referenceResiduals(model, ids);
  const end = afterLayers.length - 1;
  const cells = tokenLinesOf(run).flatMap((line) =>
    line.what === "cells" && line.state === state && line.lens === "logit" && line.prompt === prompt.prompt
      ? [line]
      : [],
  );
  const sites = [...afterLayers.keys()].map((layer) => `residual_after.${layer}`);
  expect(cells.map(({ site }) => site)).toEqual(["residual_before.0", ...sites]);
  expect(prompt.values.length).toBeGreaterThan(0);
  for (const cell of cells) {
    const there = cell.site === "residual_before.0" ? embedded : afterLayers[Number(cell.site.split(".")[1])];
    const { logits } = referenceResiduals(model, ids, (site, own) =>
      site.part === "residual_after" && site.layer === end ? (there as Matrix) : own,
    );
    const near = (one: number | undefined, other: number) =>
      expect(Math.abs((one as number) - other)).toBeLessThan(SINGLE);
    for (const token of ids.keys()) {
      const all = Array.from({ length: prompt.vocabulary }, (_, id) => logits.at(token, id));
      const most = Math.max(...all);
      const total = most + Math.log(all.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
      near(cell.entropyNats[token], -all.reduce((sum, logit) => sum + Math.exp(logit - total) * (logit - total), 0));
      const likeliest = cell.likeliest[cell.likeliestAt[token] as number] as LensToken;
      // Of those that are as likely one is named.
      near(all[likeliest.id], most);
      near(cell.likeliestLogprobs[token], most - total);
      for (const [at, { property, value }] of prompt.values.entries()) {
        const own = sought.groups[`planted/${property}`]?.targets.find(({ name }) => name === value)?.tokenIds ?? [];
        near(
          cell.logprobs[at]?.[token],
          Math.log(own.reduce((sum, id) => sum + Math.exp((all[id] as number) - total), 0)),
        );
        const best = Math.max(...own.map((id) => all[id] as number));
        const place = (than: number) => 1 + all.filter((logit) => logit > than).length;
        expect(cell.ranks[at]?.[token]).toBeGreaterThanOrEqual(place(best + SINGLE));
        expect(cell.ranks[at]?.[token]).toBeLessThanOrEqual(place(best - SINGLE));
      }
    }
  }
}

/** The span is each prompt's last token. @returns the lens of each reading that was compared */
export function expectCellsOfSpans(run: string): string[] {
  const lines = tokenLinesOf(run);
  const lenses = lensLinesOf(run);
  const compared: string[] = [];
  for (const line of lenses) {
    if (line.what !== "site") continue;
    const { state, site, lens } = line;
    const { groups: sought } = lenses.find((one) => one.what === "state" && one.state === state) as LensedState;
    for (const { prompt: id, entropyNats, topToken, groups } of line.readings) {
      const own = lines.filter((one) => one.state === state && one.prompt === id);
      const prompt = own.find((one) => one.what === "prompt");
      if (prompt?.what !== "prompt") continue;
      const cell = own.find((one) => one.what === "cells" && one.site === site && one.lens === lens);
      if (cell?.what !== "cells") throw new Error(`${lens} at ${site} has no cells of ${id}`);
      const last = prompt.tokens.length - 1;
      expect(cell.entropyNats[last]).toBe(Number(entropyNats.toFixed(6)));
      expect(cell.likeliest[cell.likeliestAt[last] as number]?.id).toBe(topToken);
      for (const [at, { property, value }] of prompt.values.entries()) {
        const group = `planted/${property}`;
        const place = sought[group]?.targets.findIndex(({ name }) => name === value) as number;
        const { logprobs, ranks, tied } = groups[group] as ValueReadings;
        const read = [cell.logprobs[at]?.[last], cell.ranks[at]?.[last], cell.tied[at]?.[last]];
        expect(read).toEqual([logprobs[place], ranks[place], tied[place]]);
      }
      expect(cell.besideSpans).toEqual({ readings: 1, greatestNats: 0 });
      compared.push(lens);
    }
  }
  return compared;
}
