/** Trials that a report carries, and the page that lists them: the viewer's own script and style, in the file, and nothing to load. */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { aside, formatCount, type Section } from "./document.js";
import { plural } from "./terms.js";

export interface TrialsInPage {
  readonly shown: number;
  readonly of: number;
  /** Of those that are shown, and of all. */
  readonly strings: number;
  readonly ofStrings: number;
  /** Strings that were left out because each takes a tenth of the room by itself. */
  readonly tooLarge: number;
  /** Safe between the tags of an HTML file. */
  readonly json: string;
}

/** What lists them, as it was built. */
export interface TrialsPage {
  readonly script: string;
  readonly style: string;
}

/** What `npm run build` makes of page/. */
const ASSETS = fileURLToPath(new URL("../../dist/page/assets", import.meta.url));

/** @returns undefined where it was not built */
export function readTrialsPage(folder = ASSETS): TrialsPage | undefined {
  try {
    const names = readdirSync(folder);
    const [script, ...others] = names.filter((name) => name.endsWith(".js"));
    const style = names.find((name) => name.endsWith(".css"));
    if (script === undefined || style === undefined || others.length > 0) return undefined;
    return { script: readFileSync(join(folder, script), "utf8"), style: readFileSync(join(folder, style), "utf8") };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

export function trialsSection(trials: TrialsInPage): Section {
  const { shown, of, strings, ofStrings, tooLarge } = trials;
  const whole = shown === of;
  const large =
    tooLarge === 0
      ? ""
      : ` ${plural(tooLarge, "string", formatCount(tooLarge))} with very long texts are not among them.`;
  return {
    id: "trials",
    title: whole ? "All trials" : `${formatCount(shown)} of ${formatCount(of)} trials`,
    blocks: [
      aside(
        whole
          ? `All ${plural(of, "trial", formatCount(of))} are in this file, token by token: filter, sort and open them.`
          : `More do not fit into the five megabytes that a report has for them: ${plural(shown, "trial", formatCount(shown))} are in this file, all of ${formatCount(strings)} of ${plural(ofStrings, "string", formatCount(ofStrings))}, chosen by a fixed rule that sees neither answers nor outcomes.${large} Shares of these are no scores. All of them: `,
        ...(whole ? [] : [{ code: "npx inward view" }, "."]),
      ),
      {
        kind: "trials",
        words:
          "The list is in the HTML file of the same name, opened from disk: it is shown by the script in that file.",
      },
    ],
  };
}

/** @returns the policy under which the page may run, and what stands at the end of the body */
export function trialsPageHtml(
  json: string,
  { script, style }: TrialsPage,
): { readonly policy: string; readonly html: string } {
  // In a script that was built, both stand in texts alone.
  const safe = `${script.replace(/<(?=\/script|!--)/gi, "\\x3C").trim()}\n`;
  const hash = createHash("sha256").update(safe).digest("base64");
  return {
    policy: `script-src 'sha256-${hash}'; img-src blob:; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'`,
    html: [
      `<template id="inward-page"><style>${style.replace(/<(?=\/style)/gi, "\\3C ").trim()}</style></template>`,
      `<script type="application/json" id="inward-trials">${json}</script>`,
      `<script type="module">${safe}</script>`,
    ].join("\n"),
  };
}
