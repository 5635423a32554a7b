/** Answers taken apart, as a page shows them: the report's sentences beside all numbers, of which the report has the largest. */

import { type InsideResults, isCarrier, isFollowed, isTold, isWriter } from "../probe/inside-results.js";
import {
  attributionWords,
  headsWords,
  INSIDE_CONTROLS,
  INSIDE_METHODS,
  insideTests,
  looksAt,
  patchscopeWords,
  subspaceWords,
} from "../report/sections/inside-section.js";
import { stateNames } from "../report/state-names.js";
import { propertyNames, readableName } from "../report/terms.js";
import { RunFolder } from "../run/folder.js";
import { readContent } from "../run/records.js";
import { isWritten } from "../run/stages.js";
import { orReason } from "./run-view.js";
import type { ServedRun } from "./served-runs.js";
import type { InsideView } from "./view-api.js";

/** @returns undefined where a run of its plan has none @throws STORE_* */
export async function insideView(run: ServedRun): Promise<InsideView | undefined> {
  const folder = await RunFolder.look(run.folder);
  const { plan } = folder;
  if (!isWritten(plan, "insideResults")) return undefined;
  const results = await readContent(folder, "insideResults");
  const scores = await orReason(() => readContent(folder, "scores"));
  const property = scores.ok ? propertyNames(plan, scores.value) : readableName;
  return shownResults(results, { state: stateNames(plan), property });
}

function shownResults(results: InsideResults, names: Parameters<typeof headsWords>[2]): InsideView {
  const { settings, attribution, heads, subspace, patchscope } = results;
  return {
    tests: insideTests(settings),
    controls: INSIDE_CONTROLS,
    methods: INSIDE_METHODS,
    attribution: attribution.map(({ effects, ...one }) => ({
      ...one,
      words: attributionWords({ ...one, effects }, settings, names),
      effects: effects.map((effect) => ({ ...effect, found: isWriter(effect, settings) })),
    })),
    heads: heads.map(({ effects, ...one }) => ({
      ...one,
      words: headsWords({ ...one, effects }, settings, names),
      effects: effects.map((effect) => ({
        ...effect,
        found: isCarrier(effect, settings),
        looksAt: looksAt({ ...one, effects }, effect),
      })),
    })),
    subspace: subspace.map(({ sites, ...one }) => ({
      ...one,
      words: subspaceWords({ ...one, sites }, settings, names),
      sites: sites.map((site) => (site.ok ? { ...site, found: isFollowed(site, settings) } : site)),
    })),
    patchscope: patchscope.map(({ pairs, ...one }) => ({
      ...one,
      words: patchscopeWords({ ...one, pairs }, settings, names),
      pairs: pairs.map((pair) => ({ ...pair, found: isTold(pair, settings) })),
    })),
  };
}
