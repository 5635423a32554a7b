/** The streams: data on stdout, everything else on stderr. */

import { machineLimit } from "../base/files.js";
import { ERRORS, InwardError } from "../errors.js";
import { withoutSecrets } from "../model/worker-process.js";
import type { AdjustedP } from "../score/comparison/tests.js";
import type { Estimate } from "../score/interval.js";

export function print(text: string): void {
  process.stdout.write(`${forTerminal(text, process.stdout)}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

export function notice(text: string): void {
  process.stderr.write(`${forTerminal(text, process.stderr)}\n`);
}

/**
 * What a terminal obeys or hides instead of showing: control characters but for line feed and tab, marks that turn the direction of
 * writing, other separators of lines, and marks without a shape but for the two that join letters and emoji. What models say and
 * files hold may have them.
 */
const UNSHOWN = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}\p{Cf}\p{Cs}]/gu;
const SHOWN = new Set(["\n", "\t", "\u200c", "\u200d"]);

/** On a terminal such characters are shown as JSON writes them (ESC as \u001b); elsewhere the text is left as it is, byte for byte. */
export function forTerminal(text: string, { isTTY }: { readonly isTTY?: boolean }): string {
  if (!isTTY) return text;
  return text.replace(UNSHOWN, (mark) =>
    SHOWN.has(mark)
      ? mark
      : mark
          .split("")
          .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
          .join(""),
  );
}

/** Rows as an aligned table; columns whose cells all look like numbers stand to the right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const numeric = header.map(
    (_, column) => rows.length > 0 && rows.every((row) => /^[\d.,%+-]*$/.test(row[column] ?? "")),
  );
  const widths = widthsOf([header, ...rows]);
  const rule = widths.map((width) => "-".repeat(width));
  return aligned([header, rule, ...rows], widths, numeric);
}

/** Rows in columns, without a header. */
export function columns(rows: readonly (readonly string[])[]): string {
  return aligned(rows, widthsOf(rows), []);
}

function widthsOf(rows: readonly (readonly string[])[]): number[] {
  return (rows[0] ?? []).map((_, column) => rows.reduce((most, row) => Math.max(most, row[column]?.length ?? 0), 0));
}

function aligned(
  rows: readonly (readonly string[])[],
  widths: readonly number[],
  toTheRight: readonly boolean[],
): string {
  const cell = (text: string, column: number) =>
    toTheRight[column] ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0);
  return rows.map((row) => row.map(cell).join("  ").trimEnd()).join("\n");
}

/** With its interval, or why there is none. */
export function intervalText(one: Estimate, digits: number): string {
  if (!one.ok) return `- (${one.reason})`;
  const [value, low, high] = [one.value, one.low, one.high].map((each) => each.toFixed(digits));
  return `${value} [${low}, ${high}]`;
}

/** A mean that stands where its estimate has no interval, too. */
export function meanText(mean: number, one: Estimate): string {
  return one.ok ? intervalText(one, 3) : `${mean.toFixed(3)} (no interval)`;
}

export function pCell(one: AdjustedP): string {
  return one.ok ? one.p.toFixed(4) : `- (${one.reason})`;
}

/** Says what went wrong on stderr (and on stdout as JSON when asked) and sets the exit code. Never a stack trace. */
export function reportError(error: unknown, json: boolean): void {
  const coded =
    error instanceof InwardError
      ? error
      : (machineLimit(error) ??
        new InwardError("INTERNAL", error instanceof Error ? error.message : String(error), { cause: error }));
  const message = withoutSecrets(coded.message);
  // One line: commands that print a line for each event end with it.
  if (json) print(JSON.stringify({ error: { code: coded.code, message, hint: coded.hint } }));
  notice(`${coded.code}: ${message}\n  ${ERRORS[coded.code].hint}`);
  if (coded.code === "INTERNAL" && process.env.INWARD_DEBUG && error instanceof Error)
    notice(withoutSecrets(error.stack ?? ""));
  process.exitCode = coded.exitCode;
}

// Byte counts for people, in the decimal units that disks and downloads use.

const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** Three digits at most: `98.4 MB`, `512 B`. */
export function readableBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** Ctrl-C: the first lets the work in flight end cleanly, the second ends the process at once. */
let controller: AbortController | undefined;

/** One signal for the whole process, however often it is asked for. */
export function abortOnInterrupt(): AbortSignal {
  if (controller) return controller.signal;
  const own = new AbortController();
  controller = own;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (own.signal.aborted) process.exit(130);
      process.stderr.write("\nStopping after what is in flight; once more to stop at once.\n");
      own.abort();
    });
  }
  return own.signal;
}
