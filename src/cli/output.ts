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
