/** Whether a text that files are looked at on is what their importance matrix was made from: by its content, and not by what it is called. */

import { existsSync } from "node:fs";
import { basename, dirname, isAbsolute, resolve } from "node:path";
import type { ImportanceMatrix } from "../gguf/imatrix.js";
import { readTextFile, type TextFile } from "./text-windows.js";

/** A text that an importance matrix names, beside the text that is looked at. */
export interface ImatrixText {
  /** As the matrix names it, or as the benchmark does. */
  readonly name: string;
  /** `same` byte for byte · `shares` so many lines · `other` not one line · `unknown` not found, so that only its name could be compared. */
  readonly is: "same" | "shares" | "other" | "unknown";
  /** Share of the looked-at text's lines of 20 characters and more that are in it; absent where it is unknown. */
  readonly sharedLines?: number;
  /** unknown: whether it has the same file name. */
  readonly sameName?: boolean;
  readonly sha256?: string;
}

/** Shorter ones, such as a closing brace, stand in any text. */
const LINE = 20;

/**
 * @param text what is looked at
 * @param named texts that the benchmark says it was made from; those that the matrix names are looked for where they were, beside the matrix, and
 * beside the text
 * @throws InwardError STUDY_INVALID for a text of the benchmark's that cannot be read
 */
export function compareImatrixTexts(
  { datasets, path }: Pick<ImportanceMatrix, "datasets" | "path">,
  text: TextFile,
  named: readonly string[] = [],
): ImatrixText[] {
  const given = named.map((file) => compared(basename(file), readTextFile(file), text));
  const foundAs = datasets.map((dataset): ImatrixText => {
    const places = [
      ...(isAbsolute(dataset) ? [dataset] : []),
      ...[dirname(path), dirname(text.path)].flatMap((folder) => [
        resolve(folder, dataset),
        resolve(folder, nameOf(dataset)),
      ]),
    ];
    const place = places.find((one) => existsSync(one));
    const file = place === undefined ? undefined : readable(place);
    return file
      ? compared(dataset, file, text)
      : { name: dataset, is: "unknown", sameName: nameOf(dataset) === nameOf(text.path) };
  });
  // A text that the benchmark names stands for one that the matrix names so: what lies about here under that name may be another.
  const isGiven = ({ name }: ImatrixText) => given.some((one) => nameOf(one.name) === nameOf(name));
  return [...given, ...foundAs.filter((one) => !isGiven(one))];
}

function nameOf(path: string): string {
  return path.split(/[\\/]/).at(-1) ?? path;
}

function readable(path: string): TextFile | undefined {
  try {
    return readTextFile(path);
  } catch {
    return undefined;
  }
}

function compared(name: string, calibration: TextFile, text: TextFile): ImatrixText {
  const { sha256 } = calibration;
  const lines = (of: string) =>
    of
      .split(/\r?\n/)
      .map((line) => line.trim())
      .filter((line) => line.length >= LINE);
  const known = new Set(lines(calibration.text));
  const own = lines(text.text);
  const sharedLines = own.length === 0 ? 0 : own.filter((line) => known.has(line)).length / own.length;
  if (sha256 === text.sha256 || calibration.text === text.text) return { name, is: "same", sharedLines: 1, sha256 };
  return { name, is: sharedLines > 0 ? "shares" : "other", sharedLines, sha256 };
}
