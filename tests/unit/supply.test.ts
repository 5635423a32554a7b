/** What users install beside inward is what was looked at; and what the check would say of what was not. */
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

interface Check {
  supplyFaults(manifest: object, lock: object, installed: (path: string) => object | undefined): string[];
  isAllowed(expression: string): boolean;
}
const { supplyFaults, isAllowed } = (await import("../../scripts/check-supply.mjs" as string)) as Check;
const read = (path: string) => JSON.parse(readFileSync(path, "utf8"));
const installed = (path: string) => (existsSync(`${path}/package.json`) ? read(`${path}/package.json`) : undefined);

test("every package is exact, has a checksum, runs nothing when it is installed, and may be used for anything", () => {
  expect(supplyFaults(read("package.json"), read("package-lock.json"), installed)).toEqual([]);
});

const WHOLE = { version: "1.0.0", integrity: `sha512-${"A".repeat(86)}==`, license: "MIT" };
test.each<[string, object, object | undefined, RegExp]>([
  ["no checksum", { ...WHOLE, integrity: undefined }, undefined, /no sha512/],
  ["a weaker checksum", { ...WHOLE, integrity: "sha1-AAAA" }, undefined, /no sha512/],
  ["another place", { ...WHOLE, resolved: "git+ssh://git@x/y" }, undefined, /comes from git/],
  ["a script of its own", { ...WHOLE, hasInstallScript: true }, undefined, /runs code when it is installed/],
  ["a licence that asks for more", { ...WHOLE, license: "GPL-3.0" }, undefined, /is under "GPL-3.0"/],
  ["another licence on the disk", WHOLE, { version: "1.0.0", license: "SSPL-1.0" }, /is under "SSPL-1.0"/],
  ["no licence", { ...WHOLE, license: undefined }, { version: "1.0.0" }, /says no licence/],
  ["another version on the disk", WHOLE, { version: "1.0.1", license: "MIT" }, /1.0.1 is installed/],
])("%s is said", (_, entry, own, words) => {
  const faults = supplyFaults({ allowScripts: {} }, { packages: { "": {}, "node_modules/a": entry } }, () => own);
  expect(faults).toHaveLength(1);
  expect(faults[0]).toMatch(words);
});

test("a range is no version, and licences are read as they are written", () => {
  expect(supplyFaults({ dependencies: { a: "^1.0.0" } }, { packages: {} }, () => undefined)).toHaveLength(1);
  expect(["(MIT OR GPL-3.0)", "MIT AND ISC", "Apache-2.0"].every(isAllowed)).toBe(true);
  expect(["MIT AND GPL-3.0", "(GPL-2.0 OR GPL-3.0)", "SEE LICENSE IN x", ""].some(isAllowed)).toBe(false);
});
