// npm test: types, style, then every test. Arguments go to vitest, e.g. npm test -- tests/unit
import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { prepare, ROOT, run } from "./prepare.mjs";

const named = process.argv.slice(2);
// For a part of the tests nothing is fetched that they do not ask for.
const wantsBrowser = named.length === 0 || named.some((one) => /view-page|e2e\/?$/.test(one));
const CHECKS = [
  ["checking types", "node_modules/typescript/bin/tsc", "--noEmit"],
  ["checking the page's types", "node_modules/typescript/bin/tsc", "-p", "page"],
  ["checking style", "node_modules/@biomejs/biome/bin/biome", "check", "."],
];

const logs = mkdtempSync(join(tmpdir(), "inward-test-"));
let checks = [];
let browser = Promise.resolve({});
const begun = [];
process.on("exit", () => {
  for (const child of begun) child.kill();
  rmSync(logs, { recursive: true, force: true });
});
// Each is one busy core, and a download none: they go on while the native code is built.
prepare(() => {
  checks = CHECKS.map(([title, ...command]) => ({ title, done: begin(title, command) }));
  if (wantsBrowser) browser = begin("looking for Chromium", ["scripts/fetch-chromium.mjs"]).then(browserOf);
});
for (const { title, done } of checks) {
  const { code, output } = await done;
  process.stderr.write(`== ${title}\n${output}`);
  if (code !== 0) process.exit(code ?? 130);
}
const { path, missing } = await browser;
if (missing) process.stderr.write(`== no Chromium, so that tests of the viewer's page are skipped: ${missing}\n`);
run("running tests", process.execPath, ["node_modules/vitest/vitest.mjs", "run", ...named], {
  ...(path ? { INWARD_CHROMIUM: path } : {}),
});

/** Output is kept in a file: nobody reads a pipe while this process waits for the compiler. */
function begin(title, command) {
  const log = join(logs, title);
  const to = openSync(log, "w");
  const child = spawn(process.execPath, command, { cwd: ROOT, stdio: ["ignore", to, to] });
  closeSync(to);
  begun.push(child);
  return new Promise((resolve) => {
    const end = (code, more = "") => resolve({ code, output: readFileSync(log, "utf8") + more });
    child.on("error", ({ message }) => end(1, `${command[0]} cannot be started: ${message}\n`));
    child.on("exit", (code) => end(code));
  });
}

/** Its last line says what was found. */
function browserOf({ output }) {
  const last = output.trimEnd().split("\n").at(-1) ?? "";
  try {
    return JSON.parse(last);
  } catch {
    return { missing: `looking for it failed: ${last}` };
  }
}
