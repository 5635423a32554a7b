/** The viewer as files for a web server or an archive: the page, and what its server would say of these runs, as they are now. */

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { makeFolder, writeWhole } from "../base/files.js";
import { InwardError } from "../errors.js";
import { ViewFiles, type ViewFilesOptions } from "./view-files.js";
import { filesUnder } from "./view-server.js";
import type { TrialTokens, TrialView } from "../run/trials/trial-shapes.js";
import type { ViewFacts } from "./view-api.js";

/** Trials in a file of a bundle. */
export const TRIALS_A_FILE = 100;

/** Studies of which each two are compared: so many make thirty comparisons, of seconds each. */
const MOST_COMPARED = 6;

export interface BundleOptions extends ViewFilesOptions {
  readonly page: string;
  readonly out: string;
  /** Whether prompts are cut into tokens, of models that are here. Default true. */
  readonly tokens?: boolean;
  readonly onProgress?: (done: number, total: number, run: string) => void;
  readonly signal?: AbortSignal;
}

export interface Bundle {
  readonly folder: string;
  readonly runs: number;
  readonly trials: number;
  readonly files: number;
  /** What is not in it, and why. */
  readonly notes: readonly string[];
}

/** @throws VIEW_BUNDLE where there is something already · VIEW_PAGE · STORE_DISK_FULL, STORE_UNWRITABLE · INTERRUPTED */
export async function bundleView({
  page,
  out,
  tokens = true,
  onProgress,
  signal,
  ...options
}: BundleOptions): Promise<Bundle> {
  if (existsSync(out))
    throw new InwardError("VIEW_BUNDLE", `${out} is there already; a bundle is written to a new folder.`);
  const files = new ViewFiles(options);
  const notes: string[] = [];
  let written = 0;
  let trials = 0;
  const write = async (name: string, content: string | Uint8Array) => {
    if (signal?.aborted) throw new InwardError("INTERRUPTED", `Stopped; what is in ${out} is no whole bundle.`);
    makeFolder(dirname(join(out, name)));
    await writeWhole(join(out, name), content);
    written++;
  };
  try {
    const list = await files.list();
    for (const name of filesUnder(page)) await write(name, readFileSync(join(page, name)));
    for (const summary of list.runs) {
      const own = `data/runs/${summary.id}`;
      for (const name of ["run.json", "inside.json", "quantize.json", "trials.json", "report.html"]) {
        if ((name === "quantize.json") !== (summary.kind === "quantize") && name !== "report.html") continue;
        try {
          const found = await files.get(["runs", summary.id, name]);
          if (found) await write(`${own}/${name}`, found.kind === "json" ? JSON.stringify(found.value) : found.bytes);
        } catch (error) {
          if (!(error instanceof InwardError) || !error.code.startsWith("STORE_") || isOurs(error)) throw error;
          notes.push(`${summary.study}, ${name}: ${error.message}`);
        }
      }
      const run = files.run(summary.id);
      if (summary.kind !== "study" || run === undefined || !existsSync(join(out, own, "trials.json"))) continue;
      const lines = (await files.opened(run)).read.table.columns.line;
      for (let from = 0; from < lines.length; from += TRIALS_A_FILE) {
        const some = lines.slice(from, from + TRIALS_A_FILE);
        const views: Record<string, { readonly view: TrialView; readonly tokens?: TrialTokens }> = {};
        for (const line of some) {
          const view = await files.trial(run, line);
          if (view) views[line] = { view, ...(tokens ? { tokens: await files.tokens(run, line) } : {}) };
          if (!view?.inside.whole.ok) continue;
          const lenses = await files.get(["runs", summary.id, "lenses", `${line}.json`]);
          if (lenses?.kind === "json") await write(`${own}/lenses/${line}.json`, JSON.stringify(lenses.value));
        }
        await write(`${own}/trials/${from / TRIALS_A_FILE}.json`, JSON.stringify(views));
        trials += some.length;
        onProgress?.(Math.min(lines.length, from + TRIALS_A_FILE), lines.length, summary.study);
      }
    }
    const studies = list.runs.filter(({ kind }) => kind === "study");
    if (studies.length <= MOST_COMPARED) {
      for (const { id: first } of studies) {
        for (const { id: second } of studies.filter(({ id }) => id !== first)) {
          const found = await files.get(["compare", first, `${second}.json`]);
          if (found?.kind === "json") await write(`data/compare/${first}/${second}.json`, JSON.stringify(found.value));
        }
      }
    } else notes.push(`Comparisons of two runs are not in it: there are more than ${MOST_COMPARED} studies.`);
    const facts: ViewFacts = { inward: list.inward, bundledAt: new Date().toISOString(), trialsAFile: TRIALS_A_FILE };
    await write("data/runs.json", JSON.stringify(list));
    await write("data/view.json", JSON.stringify(facts));
    return { folder: out, runs: list.runs.length, trials, files: written, notes };
  } finally {
    await files.close();
  }
}

/** Of the bundle that is being written, and no fault of a run. */
function isOurs({ code }: InwardError): boolean {
  return code === "STORE_DISK_FULL" || code === "STORE_UNWRITABLE";
}
