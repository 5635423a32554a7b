/** Trials that stand in the page itself, where it is a part of a report: read when they are first looked at. */

import { unpacked } from "../../src/run/trials/packed-values.js";
import type { TrialTable, TrialTokens, TrialView } from "../../src/run/trials/trial-shapes.js";

/** In addresses, in the place of a run's. */
export const REPORT = "report";

interface EmbeddedTrials {
  readonly table: TrialTable;
  readonly trial: (line: number) => { readonly view: TrialView; readonly tokens: TrialTokens } | undefined;
}

let read: EmbeddedTrials | undefined;

export function embeddedTrials(): EmbeddedTrials | undefined {
  if (read) return read;
  const text = document.getElementById("inward-trials")?.textContent;
  if (!text) return undefined;
  const { list, table, trials } = JSON.parse(text) as {
    readonly list: readonly unknown[];
    readonly table: unknown;
    readonly trials: Readonly<Record<string, unknown>>;
  };
  read = {
    table: unpacked(list, table) as TrialTable,
    trial: (line) => {
      const found = trials[String(line)];
      return found === undefined ? undefined : (unpacked(list, found) as ReturnType<EmbeddedTrials["trial"]>);
    },
  };
  return read;
}
