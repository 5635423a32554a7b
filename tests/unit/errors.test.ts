/** Errors are an API: every code is used, documented, and tells what to do next. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { ERRORS, InwardError } from "../../src/errors.js";
import { INWARD_VERSION } from "../../src/base/version.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const source = [
  ...readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && path !== "errors.ts")
    .map((path) => join("src", path)),
  // The addon throws with the same codes.
  ...readdirSync(join(ROOT, "native/core"), { recursive: true, encoding: "utf8" })
    .filter((path) => /\.(cpp|h)$/.test(path))
    .map((path) => join("native/core", path)),
]
  .map(read)
  .join("\n");
const documented = [...read("docs/errors.md").matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1]);

describe("the table of errors", () => {
  test.each(Object.keys(ERRORS))("%s is thrown somewhere", (code) => {
    expect(source.includes(`"${code}"`)).toBe(true);
  });

  test("README documents exactly these codes", () => {
    expect([...documented].sort()).toEqual(Object.keys(ERRORS).sort());
  });

  test("every hint is a sentence", () => {
    for (const { hint } of Object.values(ERRORS)) expect(hint).toMatch(/^[A-Zi].{10,}/);
  });

  test("an error knows its hint and exit code", () => {
    const error = new InwardError("MODEL_NOT_FOUND", "no such model: x");
    expect([error.exitCode, error.hint, error.message]).toEqual([3, ERRORS.MODEL_NOT_FOUND.hint, "no such model: x"]);
  });
});

test("the version in the sources is the package's", () => {
  expect(JSON.parse(read("package.json")).version).toBe(INWARD_VERSION);
});
