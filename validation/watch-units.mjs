// A run in units watched in a real Chromium: node validation/watch-units.mjs [workers=2] [questions of a unit=4]
// The viewer is open before the run begins, and its page is never loaded again. A worker is killed with -9 in its unit, then the launcher, whose
// command is given again. What the page says is printed as it changes; what it must say and does not, ends with 1.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeEverything } from "./everything-study.mjs";
import { descendantsOf, isUnitWorker, killed, startInward } from "./inward-processes.mjs";
import { openViewer } from "./viewer-in-chromium.mjs";

const [workers = "2", questions = "4"] = process.argv.slice(2);
process.env.INWARD_ANSWER_CACHE = "off";
const folder = mkdtempSync(join(tmpdir(), "inward-watched-"));
await writeEverything(folder);
mkdirSync(join(folder, "runs"));
const { address, page, close } = await openViewer("runs", { cwd: folder });
// biome-ignore lint/performance/useDomNodeTextContent: what a person sees of it
const seenOf = (place, options) => place.innerText(options);
const faults = [];
page.on("pageerror", ({ message }) => faults.push(message));
const begun = performance.now();
const tell = (text) =>
  process.stdout.write(`${((performance.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${text}\n`);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const until = async (what, holds, seconds = 240) => {
  const end = performance.now() + 1000 * seconds;
  for (;;) {
    const found = await holds();
    if (found) return found;
    if (performance.now() > end)
      throw new Error(`${what}: not within ${seconds} s. The page: ${await seenOf(page.locator("body"))}`);
    await sleep(100);
  }
};
const launch = () => {
  const args = ["run", "everything.yaml", "--out", "runs/watched", "--workers", workers, "--unit-questions", questions];
  return startInward(args, { cwd: folder });
};
const workersOf = ({ child }) => descendantsOf(child.pid).filter(isUnitWorker);
const sentence = () =>
  seenOf(page.locator("p", { hasText: "Several processes share this run." }), { timeout: 100 }).catch(() => "");
/** [done, running, waiting, failed] */
const counts = async () =>
  (await sentence())
    .match(/\d[\d,]*/g)
    ?.slice(0, 4)
    .map((one) => Number(one.replaceAll(",", "")));

let status = 1;
let run;
try {
  await page.goto(address);
  await page.getByText("inward").first().waitFor();
  run = launch();
  // The list is looked at again by whoever opens it; from here on nothing is loaded.
  await until("the run is listed", async () => {
    await page.reload();
    await sleep(500);
    return (await page.locator("tr", { hasText: "running" }).count()) > 0;
  });
  await page.locator("tr", { hasText: "running" }).getByRole("link").first().click();
  await page.evaluate("globalThis.loadedOnce = true");
  await until("units are told", sentence);
  const seen = new Set();
  const watch = setInterval(async () => {
    const text = await sentence();
    if (text === "" || seen.has(text)) return;
    seen.add(text);
    tell(text);
  }, 100);
  await until("some are done while others run", async () => {
    const [done, running] = (await counts()) ?? [];
    return done > 2 && running > 0;
  });
  const victim = await until("a worker", () => workersOf(run)[0]);
  killed(victim);
  tell(`killed worker ${victim}`);
  const killedAt = performance.now();
  await until("the page tells that a process has ended", () =>
    page.locator("ul.bad li", { hasText: "a process ended" }).count(),
  );
  const why = await seenOf(page.locator("ul.bad li", { hasText: "a process ended" }).first());
  tell(`told ${((performance.now() - killedAt) / 1000).toFixed(1)} s later: ${why}`);
  const [atKill = 0] = (await counts()) ?? [];
  await until("units go on", async () => ((await counts())?.[0] ?? 0) > atKill);
  process.kill(-run.child.pid, "SIGKILL");
  tell("killed the launcher and all that it had started");
  await run.ended;
  await until("the page tells that nobody works in it", () => page.getByText("No process works in it").count());
  tell("told: no process works in it");
  run = launch();
  const { status: code, output } = await run.ended;
  if (code !== 0) throw new Error(`the run ended with ${code}: ${output}`);
  await page.getByText("Decided by:").first().waitFor();
  clearInterval(watch);
  if ((await page.evaluate("globalThis.loadedOnce")) !== true) throw new Error("the page was loaded again");
  tell(`${seen.size} states of the units were seen; the run is finished`);
  if (faults.length > 0) throw new Error(`errors of the page: ${faults.join("; ")}`);
  status = 0;
} finally {
  if (run) killed(-run.child.pid);
  await close();
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = status;
