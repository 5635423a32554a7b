/** The trials of a run as one file holds them: whole strings with all of their trials, as many as have room, so that a list and its tokens work offline. */

import { realpathSync } from "node:fs";
import { inSeededOrder } from "../../base/random.js";
import { InwardError } from "../../errors.js";
import type { TrialsInPage } from "../../report/trials-in-page.js";
import type { RunFile, RunFolder } from "../folder.js";
import { PackedValues } from "./packed-values.js";
import { partOfTable } from "./part-of-table.js";
import { PromptTokenizer, type RememberedSides } from "./trial-tokens.js";
import { readTrialTable } from "./trial-table.js";
import { openTrials, trialView } from "./trial-view.js";

/** What mail takes with the rest of a report, where it is not a very large one. */
const MOST_BYTES = 5_000_000;
/** Of a row of the table, at most: places in lists and numbers. */
const ROW_BYTES = 200;
/** A string that alone takes more than this share is left out, and the next one tried. */
const LARGE = 0.1;

export interface EmbedOptions {
  /** Default 5 MB, as UTF-8. */
  readonly mostBytes?: number;
  readonly signal?: AbortSignal;
}

/** @param reads files that are there @throws STORE_*, INTERRUPTED */
export async function embedTrials(
  run: RunFolder,
  reads: ReadonlySet<RunFile>,
  { mostBytes = MOST_BYTES, signal }: EmbedOptions = {},
): Promise<TrialsInPage> {
  const folder = { folder: realpathSync(run.path) };
  const isWritten = (file: RunFile) => reads.has(file);
  const read = await readTrialTable(folder, run.plan, isWritten);
  const { table } = read;
  const open = openTrials(run, read, folder, isWritten);
  const rowsOf = new Map<number, number[]>();
  for (const [row, item] of table.columns.itemOf.entries()) rowsOf.set(item, [...(rowsOf.get(item) ?? []), row]);
  const packed = new PackedValues();
  const tokenizer = new PromptTokenizer();
  const trials: string[] = [];
  const rows: number[] = [];
  let [strings, tooLarge, bytes] = [0, 0, 0];
  try {
    const order = inSeededOrder(
      [...rowsOf.keys()],
      (item) => `report/${table.items[item]?.task}/${table.items[item]?.id}`,
    );
    for (const item of order) {
      const before = packed.mark();
      const own: string[] = [];
      // Trials about one string share its prompts; another string's are others.
      const sides: RememberedSides = new Map();
      for (const row of rowsOf.get(item) ?? []) {
        if (signal?.aborted) throw new InwardError("INTERRUPTED", "Interrupted while trials were put into the report.");
        const line = table.columns.line[row] as number;
        const view = await trialView(open, line);
        if (view === undefined) continue;
        const tokens = await tokenizer.tokensOf(run.plan, view, sides);
        own.push(`"${line}":${packed.add({ view, tokens })}`);
        if (packed.bytes > mostBytes) break;
      }
      const taken = own.join(",").length + ROW_BYTES * own.length;
      if (packed.bytes + bytes + taken > mostBytes) {
        const alone = packed.bytes - before.bytes + taken;
        packed.backTo(before);
        if (alone <= LARGE * mostBytes) break;
        tooLarge++;
        continue;
      }
      bytes += taken;
      trials.push(...own);
      rows.push(...(rowsOf.get(item) ?? []));
      strings++;
    }
  } finally {
    await tokenizer.close();
  }
  const shown = packed.add(
    partOfTable(
      table,
      rows.sort((a, b) => a - b),
    ),
  );
  return {
    shown: rows.length,
    of: table.rows,
    strings,
    ofStrings: rowsOf.size,
    tooLarge,
    json: `{"table":${shown},"trials":{${trials.join(",")}},"list":${packed.list()}}`,
  };
}
