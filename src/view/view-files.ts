/** The files under `data/`, by name: what a server answers with and what a bundle holds. Names are made here, and looked up, never joined to paths. */

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { INWARD_VERSION } from "../base/version.js";
import { compareRuns } from "../run/compare-runs.js";
import { RUN_FILES, type RunFile, RunFolder } from "../run/folder.js";
import { isWritten } from "../run/stages.js";
import { PromptTokenizer } from "../run/trials/trial-tokens.js";
import { RunEvents, unitsUnderWay } from "./run-progress.js";
import { insideView } from "./inside-view.js";
import { quantizeView } from "./quantize-view.js";
import { orReason, planIn, listedRun, runView } from "./run-view.js";
import { readServedFile } from "../run/trials/plain-files.js";
import { findRuns, isInPlace, type ServedRun } from "./served-runs.js";
import { readTrialTable } from "../run/trials/trial-table.js";
import { type OpenTrials, openTrials, trialTokenLenses, trialView } from "../run/trials/trial-view.js";
import type { TrialTokens, TrialView } from "../run/trials/trial-shapes.js";
import type { CompareView, RunList, ViewFacts } from "./view-api.js";

/** Runs whose trials are held at once: columns of a large one take hundreds of megabytes. */
const HELD = 3;

interface Held {
  readonly stamp: string;
  readonly opened: Promise<OpenTrials>;
}

/** Content of a name, or nothing where there is no such thing. */
export type ViewFile =
  | { readonly kind: "json"; readonly value: unknown }
  | { readonly kind: "html"; readonly bytes: Buffer };

export interface ViewFilesOptions {
  /** Folders as `namedFolders` gives them. */
  readonly folders: readonly string[];
  /** Where model files may lie that plans name by path. */
  readonly models?: readonly string[];
}

export class ViewFiles {
  #found: ReadonlyMap<string, ServedRun> = new Map();
  readonly #held = new Map<string, Held>();
  readonly #events = new Map<string, RunEvents>();
  readonly #compared = new Map<string, Promise<CompareView>>();
  readonly #tokenizer: PromptTokenizer;

  constructor(private readonly options: ViewFilesOptions) {
    this.#tokenizer = new PromptTokenizer(options.models);
  }

  /**
   * @param parts of a name under `data/`, such as ["runs", "<id>", "trials", "12.json"]
   * @returns undefined where nothing has that name
   */
  async get(parts: readonly string[]): Promise<ViewFile | undefined> {
    const [first, id = "", ...rest] = parts;
    if (first === "view.json" && parts.length === 1) return json({ inward: INWARD_VERSION } satisfies ViewFacts);
    if (first === "runs.json" && parts.length === 1) return json(await this.list());
    if (first === "compare" && rest.length === 1) return this.#compare(id, (rest[0] as string).replace(/\.json$/, ""));
    const run = first === "runs" ? this.run(id) : undefined;
    if (run === undefined) return undefined;
    const [name, inner] = rest;
    if (rest.length === 1) return this.#ofRun(run, name as string);
    if (rest.length !== 2 || inner === undefined) return undefined;
    const line = /^(\d{1,9})\.json$/.exec(inner)?.[1];
    if (line === undefined) return undefined;
    if (name === "trials") return json(await this.trial(run, Number(line)));
    if (name === "tokens") return json(await this.tokens(run, Number(line)));
    if (name === "lenses") return json(await trialTokenLenses(await this.opened(run), Number(line)));
    return undefined;
  }

  /** One that was found before is not looked for again, as long as it is a folder in its place; a run that was just begun is found. */
  run(id: string): ServedRun | undefined {
    const known = this.#found.get(id);
    if (known !== undefined && isInPlace(known)) return known;
    this.#found = new Map(findRuns(this.options.folders).runs.map((one) => [one.id, one]));
    return this.#found.get(id);
  }

  async list(): Promise<RunList> {
    const { runs, passedOver } = findRuns(this.options.folders);
    const summaries = [];
    for (const run of runs) summaries.push(await listedRun(run));
    summaries.sort((a, b) => (a.changed < b.changed ? 1 : a.changed > b.changed ? -1 : a.id < b.id ? -1 : 1));
    return { inward: INWARD_VERSION, folders: this.options.folders, runs: summaries, passedOver };
  }

  async #ofRun(run: ServedRun, name: string): Promise<ViewFile | undefined> {
    switch (name) {
      case "run.json":
        return json(await runView(run));
      case "progress.json": {
        const events = this.#events.get(run.id) ?? new RunEvents(run);
        this.#events.set(run.id, events);
        const units = await unitsUnderWay(run.folder);
        return json({ ...events.look(await RunFolder.look(run.folder)), ...(units ? { units } : {}) });
      }
      case "trials.json":
        return json((await this.opened(run)).read.table);
      case "inside.json":
        return json(await insideView(run));
      case "quantize.json":
        return json(await quantizeView(run));
      case "report.html": {
        const plan = planIn(run);
        const isQuantize = plan.ok && plan.value.quantizeVersion !== undefined;
        return { kind: "html", bytes: readServedFile(run, isQuantize ? "06-report.html" : "09-report.html") };
      }
    }
    return undefined;
  }

  /** Read once, and again when its files are others. @throws STORE_* */
  async opened(run: ServedRun): Promise<OpenTrials> {
    const stamp = await stampOf(run);
    const known = this.#held.get(run.id);
    if (known?.stamp === stamp) {
      this.#held.delete(run.id);
      this.#held.set(run.id, known);
      return known.opened;
    }
    const opened = openRun(run);
    this.#held.set(run.id, { stamp, opened });
    opened.catch(() => this.#held.delete(run.id));
    for (const old of [...this.#held.keys()].slice(0, Math.max(0, this.#held.size - HELD))) this.#held.delete(old);
    return opened;
  }

  async trial(run: ServedRun, line: number): Promise<TrialView | undefined> {
    return trialView(await this.opened(run), line);
  }

  async tokens(run: ServedRun, line: number): Promise<TrialTokens | undefined> {
    const opened = await this.opened(run);
    const view = await trialView(opened, line);
    return view && this.#tokenizer.tokensOf(opened.run.plan, view);
  }

  async #compare(firstId: string, secondId: string): Promise<ViewFile | undefined> {
    const [first, second] = [this.run(firstId), this.run(secondId)];
    if (first === undefined || second === undefined) return undefined;
    const key = JSON.stringify([first.id, second.id, await stampOf(first), await stampOf(second)]);
    const known = this.#compared.get(key) ?? compareView(first, second);
    this.#compared.clear();
    this.#compared.set(key, known);
    return json(await known);
  }

  close(): Promise<void> {
    return this.#tokenizer.close();
  }
}

function json(value: unknown): ViewFile | undefined {
  return value === undefined ? undefined : { kind: "json", value };
}

async function openRun(run: ServedRun): Promise<OpenTrials> {
  const folder = await RunFolder.look(run.folder);
  const has = (file: RunFile) => isWritten(folder.plan, file);
  return openTrials(folder, await readTrialTable(run, folder.plan, has), run, has);
}

/** Of the files that the table of trials is made from. */
async function stampOf({ folder }: ServedRun): Promise<string> {
  const names = [RUN_FILES.plan, RUN_FILES.trials, RUN_FILES.stages, RUN_FILES.hypothetical, RUN_FILES.objectLevel];
  const stamps = await Promise.all(
    names.map((name) =>
      stat(join(folder, name)).then(
        ({ size, mtimeMs, ino }) => [size, mtimeMs, ino],
        () => 0,
      ),
    ),
  );
  return JSON.stringify(stamps);
}

async function compareView(first: ServedRun, second: ServedRun): Promise<CompareView> {
  return {
    first: first.id,
    second: second.id,
    compared: await orReason(async () => {
      const { plan, pairs, leftOut, firstOnly, secondOnly } = await compareRuns(first.folder, second.folder);
      return {
        samePlan: plan.same,
        differences: plan.differences,
        strings: plan.strings,
        pairs,
        notes: [
          ...leftOut.map(
            ({ target, task, property }) =>
              `Left out, since it hardly varies in one of the two: ${property} of ${target} on ${task}.`,
          ),
          ...(firstOnly.length > 0 ? [`In the first alone: ${firstOnly.join(", ")}.`] : []),
          ...(secondOnly.length > 0 ? [`In the second alone: ${secondOnly.join(", ")}.`] : []),
        ],
      };
    }),
  };
}
