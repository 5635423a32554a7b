// A run with very many trials in the viewer: node validation/view-many-trials.mjs <run> [trials]. Copies the run, repeats its trials under
// further strings, and says what a person waits for in a real Chromium: until rows are seen, and frames a second while it scrolls.
// Without network: unshare -n sh -c 'ip link set lo up; node validation/view-many-trials.mjs <run>'
import { spawn } from "node:child_process";
import { cpSync, createWriteStream, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const [run, count = "100000"] = process.argv.slice(2);
const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const above = mkdtempSync(join(tmpdir(), "inward-many-"));
const copy = join(above, "many");
cpSync(run, copy, { recursive: true, filter: (path) => !/\/(05-adapters|07-states|figures)(\/|$)/.test(path) });
const lines = readFileSync(join(run, "08-trials.jsonl"), "utf8").trim().split("\n");
const file = createWriteStream(join(copy, "08-trials.jsonl"));
for (let at = 0; at < Number(count); at++) {
  const row = JSON.parse(lines[at % lines.length]);
  const round = Math.floor(at / lines.length);
  const text = `${JSON.stringify(round === 0 ? row : { ...row, item: `${row.item}~${round}` })}\n`;
  if (!file.write(text)) await once(file, "drain");
}
file.end();
await once(file, "finish");

const viewer = spawn(process.execPath, [MAIN, "view", copy, "--json"], { stdio: ["ignore", "pipe", "inherit"] });
let said = "";
const address = await new Promise((done) => {
  viewer.stdout.on("data", (text) => {
    said += text;
    if (said.includes("}\n")) done(JSON.parse(said).address);
  });
});
const browser = await chromium.launch({
  executablePath: process.env.INWARD_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
await page.goto(address);
await page.getByRole("table").waitFor();
const id = await page.evaluate(async () => (await (await fetch("data/runs.json")).json()).runs[0].id);
const origin = new URL(address).origin;
const seen = async () => {
  await page.goto("about:blank");
  const begun = performance.now();
  await page.goto(`${origin}/#/runs/${id}/trials`);
  await page.locator(".grid-body .grid-row").first().waitFor();
  return (performance.now() - begun) / 1000;
};
const times = { first: await seen(), again: Math.min(await seen(), await seen()) };
const bytes = await page.evaluate(
  async (run) => (await (await fetch(`data/runs/${run}/trials.json`)).text()).length,
  id,
);
const scrolled = await page.evaluate(async () => {
  const grid = document.querySelector("[role=grid]");
  const gaps = [];
  let last = performance.now();
  for (let frame = 0; frame < 180; frame++) {
    grid.scrollTop = (grid.scrollHeight / 180) * frame;
    await new Promise((done) => requestAnimationFrame(done));
    const now = performance.now();
    gaps.push(now - last);
    last = now;
  }
  gaps.sort((a, b) => a - b);
  const rows = document.querySelectorAll(".grid-body .grid-row").length;
  return { median: gaps[gaps.length >> 1], most: gaps.at(-1), rows };
});
const begun = performance.now();
await page.getByRole("searchbox").fill("zebra");
await page.waitForFunction(() => location.hash.includes("q=zebra"));
await page.getByRole("status").waitFor();
const search = (performance.now() - begun) / 1000;
await browser.close();
viewer.kill("SIGINT");
rmSync(above, { recursive: true, force: true });
process.stdout.write(
  [
    `${count} trials, ${(bytes / 1e6).toFixed(1)} MB of columns`,
    `until rows are seen: ${times.first.toFixed(2)} s the first time (the run is read), ${times.again.toFixed(2)} s after that`,
    `scrolling over all of them: a frame in ${scrolled.median.toFixed(1)} ms (median), ${scrolled.most.toFixed(1)} at most; ${scrolled.rows} rows stand in the page`,
    `a search: ${search.toFixed(2)} s`,
    "",
  ].join("\n"),
);
