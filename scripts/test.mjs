// npm test: types, style, then every test. Arguments go to vitest, e.g. npm test -- tests/unit
import { findOrFetchChromium } from "./fetch-chromium.mjs";
import { prepare, run } from "./prepare.mjs";

prepare();
run("checking types", process.execPath, ["node_modules/typescript/bin/tsc", "--noEmit"]);
run("checking the page's types", process.execPath, ["node_modules/typescript/bin/tsc", "-p", "page"]);
run("checking style", process.execPath, ["node_modules/@biomejs/biome/bin/biome", "check", "."]);
const named = process.argv.slice(2);
// For a part of the tests nothing is fetched that they do not ask for.
const browser = named.length === 0 || named.some((one) => /view-page|e2e\/?$/.test(one)) ? findOrFetchChromium() : {};
if (browser.missing)
  process.stderr.write(`== no Chromium, so that tests of the viewer's page are skipped: ${browser.missing}\n`);
run("running tests", process.execPath, ["node_modules/vitest/vitest.mjs", "run", ...named], {
  ...(browser.path ? { INWARD_CHROMIUM: browser.path } : {}),
});
