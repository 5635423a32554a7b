// Does a study with several workers, kills one of them, an engine of theirs or the launcher at random moments, begins the launcher again
// where it ended, and compares the bytes with an undisturbed run of one process.
// node validation/kill-units.mjs <study.yaml> <undisturbed run folder> [kills=50] [workers=3] [questions of a unit=6] [seconds between=0.2..3]
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { prepare } from "../scripts/prepare.mjs";
import { descendantsOf, dice, isUnitWorker, killed, MAIN } from "./inward-processes.mjs";

prepare();
// What is done again is asked, not looked up.
process.env.INWARD_ANSWER_CACHE = "off";
const [study, whole, kills = "50", workers = "3", questions = "6", shortest = "0.2", longest = "3"] =
  process.argv.slice(2);
const out = join(mkdtempSync(join(tmpdir(), "inward-kill-units-")), "run");
const random = dice(12345);

const counts = { launcher: 0, worker: 0, engine: 0 };
let launches = 0;
let failures = 0;
for (;;) {
  launches++;
  const args = ["run", resolve(study), "--out", out, "--workers", workers, "--unit-questions", questions];
  // Models that the study names by their paths lie beside it.
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: dirname(study), stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr.on("data", (text) => {
    errors = (errors + text).slice(-2000);
  });
  const ended = new Promise((resolve) => child.on("close", (...end) => resolve(end)));
  let timer;
  const killOne = () => {
    const total = counts.launcher + counts.worker + counts.engine;
    if (total >= Number(kills)) return;
    const started = descendantsOf(child.pid);
    const workersNow = started.filter(isUnitWorker);
    const others = started.filter((pid) => !workersNow.includes(pid));
    const place = random();
    const [what, pid] =
      place < 0.2 || workersNow.length === 0
        ? ["launcher", child.pid]
        : place < 0.7 || others.length === 0
          ? ["worker", workersNow[Math.floor(random() * workersNow.length)]]
          : ["engine", others[Math.floor(random() * others.length)]];
    if (killed(pid)) counts[what]++;
    timer = setTimeout(killOne, 1000 * (Number(shortest) + random() * (Number(longest) - Number(shortest))));
  };
  timer = setTimeout(killOne, 1000 * (1.5 + random() * Number(longest)));
  const [code, signal] = await ended;
  clearTimeout(timer);
  if (code === 0) break;
  if (signal === "SIGKILL") continue;
  // A unit that was killed three times in a row ends the launcher; it is begun again.
  failures++;
  process.stderr.write(`ended with ${code}: ${errors.split("\n").filter(Boolean).slice(-2).join(" | ")}\n`);
  if (failures > 20 || !/UNIT_FAILED|ENGINE_CRASHED/.test(errors))
    throw new Error(`the run ended with ${code}: ${errors}`);
}

const results = readdirSync(whole, { recursive: true }).filter((name) =>
  /^(0.*\.\w+|figures\/.*|manifest.json|stages.json)$/.test(name),
);
const extra = readdirSync(out, { recursive: true }).filter(
  (name) => /^(0.*\.\w+|figures\/.*)$/.test(name) && !results.includes(name),
);
const bytes = (folder, name) => {
  try {
    return readFileSync(join(folder, name));
  } catch {
    return Buffer.from("absent");
  }
};
const different = results.filter((name) => !bytes(whole, name).equals(bytes(out, name)));
process.stdout.write(
  `${JSON.stringify(counts)} kills, ${launches} launches, ${failures} given up; ${results.length - different.length} of ${results.length} files the same, ${extra.length} more\n`,
);
for (const name of [...different, ...extra]) process.stdout.write(`different: ${name}\n`);
process.exit(different.length + extra.length === 0 ? 0 : 1);
