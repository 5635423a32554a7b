/** The library's types in a strict project of their own, checked whole (skipLibCheck false): our examples, and every block of the documents. */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const DOCUMENTS = ["README.md", "docs/library.md"];

/** The TypeScript blocks of a document. */
function blocksOf(path: string): string[] {
  const text = readFileSync(join(ROOT, path), "utf8");
  return [...text.matchAll(/^```(?:ts|typescript)\n([\s\S]*?)^```$/gm)].map(([, block]) => block as string);
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "inward-types-"));
  // As npm links a package: what it exports is found by package.json, what it needs from where it really is.
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(ROOT, join(folder, "node_modules", "inward"), "junction");
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  copyFileSync(join(ROOT, "tests/types/examples/whole.ts"), join(folder, "whole.ts"));
  for (const document of DOCUMENTS) {
    for (const [at, block] of blocksOf(document).entries()) {
      writeFileSync(join(folder, `${document.replace(/\W/g, "-")}-${at + 1}.ts`), `${block}\nexport {};\n`);
    }
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the documents have examples", () => {
  expect(blocksOf("docs/library.md").length).toBeGreaterThan(8);
});

test.each([true, false])(
  "everything compiles, exactOptionalPropertyTypes %s",
  (exactOptionalPropertyTypes) => {
    const compilerOptions = {
      target: "ES2022",
      module: "NodeNext",
      strict: true,
      skipLibCheck: false,
      exactOptionalPropertyTypes,
      noUncheckedIndexedAccess: true,
      noEmit: true,
      types: [],
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
    expect([status, stdout]).toEqual([0, ""]);
  },
  300_000,
);
