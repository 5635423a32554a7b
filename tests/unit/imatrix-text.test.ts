/** An importance matrix' text beside the one that is looked at: told apart by content, whatever the files are called. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { compareImatrixTexts } from "../../src/quantize/imatrix-text.js";
import { readTextFile } from "../../src/quantize/text-windows.js";

const folder = mkdtempSync(join(tmpdir(), "inward-imatrix-text-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const LINES = ["The river ran past the old mill all night.", "Nobody had turned the wheel in fifty years.", "}"];
mkdirSync(join(folder, "elsewhere"));
const write = (name: string, lines: readonly string[]) => {
  writeFileSync(join(folder, name), `${lines.join("\n")}\n`);
  return join(folder, name);
};
const text = readTextFile(write("wiki.txt", LINES));
const matrix = (...datasets: string[]) => ({ datasets, path: join(folder, "m.imatrix.gguf") });
const told = (datasets: readonly string[], named?: readonly string[]) =>
  compareImatrixTexts(matrix(...datasets), text, named).map(({ name, is, sharedLines, sameName }) => [
    name,
    is,
    sharedLines ?? sameName,
  ]);

test("the same bytes under another name are the same text", () => {
  write("calibration.txt", LINES);
  expect(told(["calibration.txt"])).toEqual([["calibration.txt", "same", 1]]);
  // Where the matrix says it was, which is not here; beside the matrix there is one of that name.
  expect(told(["/somebody/else/calibration.txt"])).toEqual([["/somebody/else/calibration.txt", "same", 1]]);
});

test("a text that shares lines is told by how many, short lines apart", () => {
  write("half.txt", ["Another book altogether, of another year.", LINES[0] as string, "}"]);
  expect(told(["half.txt"])).toEqual([["half.txt", "shares", 0.5]]);
  write("none.txt", ["Another book altogether, of another year.", "}"]);
  expect(told(["none.txt"])).toEqual([["none.txt", "other", 0]]);
});

test("another text of the same name is another text, once its content is known", () => {
  const other = write("elsewhere/wiki.txt", ["Another book altogether, of another year."]);
  expect(told(["C:\\texts\\wiki.txt"], [other])).toEqual([["wiki.txt", "other", 0]]);
});

test("what nobody has here is unknown, and whether its name is the same is told", () => {
  expect(told(["/gone/corpus.txt"])).toEqual([["/gone/corpus.txt", "unknown", false]]);
});

test("a text that the benchmark names must be there", () => {
  expect(() => told([], [join(folder, "missing.txt")])).toThrow(/cannot be read/);
});
