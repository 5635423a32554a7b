/** The streams: data on stdout, everything else on stderr. */

import { ERRORS, InwardError } from "../errors.js";

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Rows as an aligned table; columns whose cells all look like numbers stand to the right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? "").length)),
  );
  const numeric = header.map(
    (_, column) => rows.length > 0 && rows.every((row) => /^[\d.,%+-]*$/.test(row[column] ?? "")),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (numeric[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd();
  return [line(header), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

/** Says what went wrong on stderr (and on stdout as JSON when asked) and sets the exit code. Never a stack trace. */
export function reportError(error: unknown, json: boolean): void {
  const coded =
    error instanceof InwardError
      ? error
      : new InwardError("INTERNAL", error instanceof Error ? error.message : String(error), { cause: error });
  // One line: commands that print a line for each event end with it.
  if (json) print(JSON.stringify({ error: { code: coded.code, message: coded.message, hint: coded.hint } }));
  note(`${coded.code}: ${coded.message}\n  ${ERRORS[coded.code].hint}`);
  if (coded.code === "INTERNAL" && process.env.INWARD_DEBUG && error instanceof Error) note(error.stack ?? "");
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
