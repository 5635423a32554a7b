// A run with very many trials in the viewer: node validation/view-many-trials.mjs <run> [trials] [rounds]. Copies the run, repeats its trials
// under further strings, and says what a person waits for in a real Chromium: until rows are painted, and frames while the list scrolls.
// Each number is of the best of several rounds: other work on the machine only ever adds to it. What the page's main thread computes in a
// frame is its own CPU time, which other work hardly moves: below 16.7 ms it keeps up with 60 frames a second.
// Without network: unshare -n sh -c 'ip link set lo up; node validation/view-many-trials.mjs <run>'
import { cpSync, createWriteStream, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { openViewer } from "./viewer-in-chromium.mjs";

const [run, count = "100000", rounds = "3"] = process.argv.slice(2);
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

const { address, browser, page, close } = await openViewer(copy, { viewport: { width: 1440, height: 900 } });
await page.goto(address);
await page.getByRole("table").waitFor();
const id = await page.evaluate(async () => (await (await fetch("data/runs.json")).json()).runs[0].id);
const origin = new URL(address).origin;
// When rows are painted, milliseconds from the beginning of the navigation.
await page.addInitScript(() => {
  const look = () => {
    if (document.querySelector(".grid-body .grid-row"))
      requestAnimationFrame(() => setTimeout(() => (globalThis.rowsSeen = performance.now())));
    else requestAnimationFrame(look);
  };
  if (location.hash.endsWith("/trials")) look();
});
const seen = async () => {
  await page.goto("about:blank");
  await page.goto(`${origin}/#/runs/${id}/trials`);
  await page.waitForFunction(() => globalThis.rowsSeen !== undefined);
  return (await page.evaluate(() => globalThis.rowsSeen)) / 1000;
};
const times = { first: await seen(), again: Number.POSITIVE_INFINITY };
for (let round = 0; round < Number(rounds); round++) times.again = Math.min(times.again, await seen());
const bytes = await page.evaluate(
  async (run) => (await (await fetch(`data/runs/${run}/trials.json`)).text()).length,
  id,
);
/** What the page's main thread computes while something is done, milliseconds of its own CPU time, by Chromium's trace. */
const traced = async (act) => {
  const session = await browser.newBrowserCDPSession();
  const events = [];
  session.on("Tracing.dataCollected", ({ value }) => events.push(...value));
  const includedCategories = ["toplevel", "__metadata"];
  await session.send("Tracing.start", { transferMode: "ReportEvents", traceConfig: { includedCategories } });
  const found = await act();
  const ended = new Promise((done) => session.once("Tracing.tracingComplete", done));
  await session.send("Tracing.end");
  await ended;
  const thread = ({ pid, tid }) => `${pid}/${tid}`;
  const mains = new Set(
    events.filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain").map(thread),
  );
  const tasks = events.filter((event) => event.name === "ThreadControllerImpl::RunTask" && mains.has(thread(event)));
  if (tasks.length === 0) throw new Error("this Chromium's trace names its tasks otherwise");
  return { found, cpu: tasks.reduce((sum, { tdur = 0 }) => sum + tdur / 1000, 0) };
};
const FRAMES = 240;
/** @param step pixels a frame; 0: the whole list in so many frames */
const scrolled = async (step) => {
  const { found, cpu } = await traced(() =>
    page.evaluate(
      async ([step, frames]) => {
        const grid = document.querySelector("[role=grid]");
        const gaps = [];
        let long = 0;
        const watcher = new PerformanceObserver((list) => {
          long += list.getEntries().length;
        });
        watcher.observe({ type: "longtask" });
        grid.scrollTop = 0;
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        let last = performance.now();
        for (let frame = 1; frame <= frames; frame++) {
          grid.scrollTop = step === 0 ? (grid.scrollHeight / frames) * frame : step * frame;
          await new Promise((done) => requestAnimationFrame(done));
          const now = performance.now();
          gaps.push(now - last);
          last = now;
        }
        watcher.disconnect();
        gaps.sort((a, b) => a - b);
        const at = (share) => gaps[Math.floor(share * (gaps.length - 1))];
        return { median: at(0.5), most95: at(0.95), most: at(1), long };
      },
      [step, FRAMES],
    ),
  );
  return { ...found, cpu: cpu / FRAMES };
};
const best = async (step) => {
  const all = [];
  for (let round = 0; round < Number(rounds); round++) all.push(await scrolled(step));
  const least = (name) => Math.min(...all.map((one) => one[name]));
  return Object.fromEntries(Object.keys(all[0]).map((name) => [name, least(name)]));
};
const wheel = await best(100);
const leap = await best(0);
const rows = await page.evaluate(() => document.querySelectorAll(".grid-body .grid-row").length);
const begun = performance.now();
await page.getByRole("searchbox").first().fill("zebra");
await page.waitForFunction(() => location.hash.includes("q=zebra"));
await page.getByRole("status").waitFor();
const search = (performance.now() - begun) / 1000;
await close();
rmSync(above, { recursive: true, force: true });
const told = (name, { median, most95, most, long, cpu }) =>
  `${name}: a frame in ${median.toFixed(1)} ms (median), ${most95.toFixed(1)} (95 %), ${most.toFixed(1)} at most, ${long} long tasks; the main thread computes ${cpu.toFixed(1)} ms a frame`;
process.stdout.write(
  [
    `${count} trials, ${(bytes / 1e6).toFixed(1)} MB of columns; least of ${rounds}`,
    `until rows are painted: ${times.first.toFixed(2)} s the first time (the run is read), ${times.again.toFixed(2)} s after that`,
    told("scrolling 100 pixels a frame", wheel),
    told(`scrolling over all of them in ${FRAMES} frames`, leap),
    `${rows} rows stand in the page; a search: ${search.toFixed(2)} s`,
    "",
  ].join("\n"),
);
