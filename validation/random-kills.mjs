// Kills a study with every stage in it (or a benchmark of quantized files, or a study of yours) at random moments and starts it again until
// it ends: node validation/random-kills.mjs [--kills 200] [--seed 1] [--of study | quantize | <study.yaml>] [--longest seconds] [--in folder]
// [--tally file] [--seconds n] [--workers n]
// With --in, an undisturbed run that stands there serves again, and what differs stays there. With --tally, each run that has ended is a line
// of that file, the next call goes on counting from there, and --seconds begins no run after so many: the same command again until all are done.
// A kill -9 strikes the command, one process that it started, or all of them at once: after a random time, or, half the time, soon after one of
// the next stages has begun, so that short ones are struck too. After each, what stands in the folder must be what an undisturbed run wrote:
// finished files byte for byte, lines of unfinished ones from the first on. At the end of each run all bytes must be the undisturbed run's.
// --workers shares the struck runs out; the undisturbed one is one process's.
// Exit code 4 where something differs, or where a process ended with no coded error.
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { writeEverything } from "./everything-study.mjs";
import { descendantsOf, dice, filesOf, isCoded, killed, startInward } from "./inward-processes.mjs";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "200" },
    seed: { type: "string", default: "1" },
    of: { type: "string", default: "study" },
    longest: { type: "string" },
    in: { type: "string" },
    tally: { type: "string" },
    workers: { type: "string" },
    seconds: { type: "string", default: "Infinity" },
  },
});
/** Of a run, so that one can be done again alone. */
let random = dice(Number(values.seed));
const below = (count) => Math.floor(random() * count);
const folder = values.in === undefined ? mkdtempSync(join(tmpdir(), "inward-kills-")) : resolve(values.in);
mkdirSync(folder, { recursive: true });
const own = { INWARD_MODELS: join(folder, "models"), XDG_CACHE_HOME: join(folder, "cache") };
const isOurs = values.of === "study" || values.of === "quantize";
const commands = isOurs ? await writeEverything(folder, { env: own }) : undefined;
const command = commands?.[values.of] ?? ["run", resolve(values.of), "--offline", "--out"];

/** @param name of a run's folder @param cached whether it may look up what it asked before it was killed */
const environment = (name, cached) => ({
  ...(isOurs ? own : {}),
  INWARD_ANSWER_CACHE: cached ? join(folder, `answers-${name}`) : "off",
});
const shared = values.workers === undefined ? [] : ["--workers", values.workers, "--unit-questions", "6"];
const begin = (name, cached, more = []) =>
  startInward([...command, name, ...more], { cwd: folder, env: environment(name, cached) });
/** What has to be the undisturbed run's: units are gone from it when all are put together, but for how they were cut. */
const resultsOf = (run) => filesOf(run, /events\.jsonl$|run\.lock|(^|\/)units(\/|$)/);

/**
 * Where answers were looked up stands in the manifest, and a paragraph of the report says it; where a run was killed decides what there was
 * to be looked up. All else of them is compared.
 */
const GROWS = /(^|\/)(manifest|stages|engines)\.json$|03-engines\.json$|\.checkpoint\/|\.partial-\d+$/;
const ASKED_BEFORE = /(<h3>|### )Answers that were asked before.*?(?=<h3>|### )/s;
const WITHOUT_CACHE = {
  "manifest.json": (text) => {
    const kept = JSON.parse(text, (key, value) => (key === "fromCache" ? undefined : value));
    return JSON.stringify(kept);
  },
  "09-report.html": (text) => text.replace(ASKED_BEFORE, ""),
  "09-report.md": (text) => text.replace(ASKED_BEFORE, ""),
  "stages.json": (text) => {
    const { manifest: _, report: __, reportMarkdown: ___, ...marks } = JSON.parse(text);
    return JSON.stringify(marks);
  },
};
function isSame(name, one, other, cached) {
  if (one.equals(other)) return true;
  const without = cached ? WITHOUT_CACHE[name] : undefined;
  return without !== undefined && without(one.toString()) === without(other.toString());
}

/** What stands there after a kill and is not what the undisturbed run wrote; a stage's own mark says that a file is finished. */
function spoilt(whole, name, cached) {
  if (!existsSync(join(folder, name))) return [];
  const marks = existsSync(join(folder, name, "stages.json"))
    ? JSON.parse(readFileSync(join(folder, name, "stages.json"), "utf8"))
    : {};
  const isMarked = (path) =>
    Object.keys(marks).some((mark) => path.includes(mark.split("/").at(-1))) && Object.keys(marks).length > 0;
  return resultsOf(join(folder, name)).filter((path) => {
    if (GROWS.test(path)) return false;
    const there = readFileSync(join(folder, name, path));
    if (!existsSync(join(whole, path))) return isMarked(path);
    const wanted = readFileSync(join(whole, path));
    if (isSame(path, wanted, there, cached)) return false;
    if (!path.endsWith(".jsonl")) return !isPassing(path);
    const end = there.lastIndexOf(10) + 1;
    return !there.subarray(0, end).equals(wanted.subarray(0, end));
  });
}

/** Index files of states, which grow with every shard: whole each time, and the last one is the undisturbed run's. */
const isPassing = (path) => /0[57]-.*(states|index)\.json$/.test(path);

/** Events of a run's stages, in order. */
function stageEvents(name) {
  const events = join(folder, name, "events.jsonl");
  if (!existsSync(events)) return [];
  const lines = readFileSync(events, "utf8").split("\n");
  return lines.flatMap((line) => (/^\{.*"stage_(begun|done)".*\}$/.test(line) ? [JSON.parse(line)] : []));
}

/** The parts of a benchmark, the last first, by a file or folder that shows that it has begun. */
const PARTS = {
  "results and report": "05-results.json",
  speed: "04-speed.json",
  "divergence and base file": "03-divergence",
  "adapters asked": "02-adapters-asked",
  "adapters trained": "02-adapters-trained",
  answers: "02-answers",
};

function stageOf(name) {
  if (values.of === "quantize") {
    return Object.keys(PARTS).find((part) => existsSync(join(folder, name, PARTS[part]))) ?? "planning";
  }
  const last = stageEvents(name).at(-1);
  if (last === undefined) return "before the first stage";
  return last.event === "stage_begun" ? last.stage : "between stages";
}

/** Strikes of one stage of a run. */
const MOST_IN_STAGE = 4;
/** How many stages ahead a strike is aimed. */
const AHEAD = 8;

/** Ends when one of the next stages has begun, chosen by chance, and a moment more. @param isOver whether nobody is left to be struck */
async function untilStage(name, isOver) {
  const done = new Set(stageEvents(name).flatMap(({ event, stage }) => (event === "stage_done" ? [stage] : [])));
  const left = stages.filter((stage) => !done.has(stage));
  const aim = left[below(Math.min(AHEAD, left.length))];
  const begun = () => stageEvents(name).filter(({ event, stage }) => event === "stage_begun" && stage === aim).length;
  for (const before = begun(); begun() === before && !isOver(); ) await sleep(15);
  await sleep(random() * 120);
}

console.error(folder);
const undisturbed = `whole-${isOurs ? values.of : "study"}`;
const whole = join(folder, undisturbed);
/** All runs have one path while they go on: a benchmark's plans hold it. */
const name = "run";
const answers = `answers-${name}`;
const removeRun = () => {
  for (const left of [name, answers]) rmSync(join(folder, left), { recursive: true, force: true });
};
const took = join(folder, `${undisturbed}.seconds`);
const started = performance.now();
if (!existsSync(whole)) {
  removeRun();
  const first = await begin(name, false).ended;
  if (first.status !== 0) throw new Error(first.output);
  writeFileSync(took, String((performance.now() - started) / 1000));
  renameSync(join(folder, name), whole);
}
const wholeSeconds = Number(readFileSync(took, "utf8"));
// So that a dozen kills go over all of a run, and the command is killed before it asks anything now and then.
const longest = Number(values.longest ?? Math.max(1.5, wholeSeconds / 5));
console.error(`undisturbed: ${wholeSeconds.toFixed(1)} s, ${resultsOf(whole).length} files`);

const stages = [
  ...new Set(stageEvents(undisturbed).flatMap(({ event, stage }) => (event === "stage_done" ? [stage] : []))),
];

/** Runs that have ended: in an earlier call, and in this one. */
const told = [];
if (values.tally !== undefined && existsSync(values.tally)) {
  const lines = readFileSync(values.tally, "utf8").trimEnd().split("\n").filter(Boolean);
  told.push(...lines.map((line) => JSON.parse(line)).filter(({ of }) => of === values.of));
}
const sum = (of) => told.reduce((all, one) => all + of(one), 0);
const wanted = Number(values.kills);
const begunAt = performance.now();
const isLate = () => performance.now() - begunAt > 1000 * Number(values.seconds);

while (sum(({ kills }) => kills) < wanted && sum(({ faults }) => faults.length) <= 20 && !isLate()) {
  const number = told.length + 1;
  const before = sum(({ kills }) => kills);
  random = dice(Number(values.seed) * 65_537 + number);
  const cached = number % 2 === 0;
  const called = `${values.seed}-${number}`;
  // What an earlier call has left of it.
  removeRun();
  const one = { of: values.of, seed: values.seed, workers: values.workers, number, kills: 0, same: false };
  Object.assign(one, { victims: {}, stages: {}, codes: {}, faults: [] });
  const count = (of, what) => {
    one[of][what] = (one[of][what] ?? 0) + 1;
  };
  for (let finished = false; !finished && one.faults.length <= 20; ) {
    const { child, ended } = begin(name, cached, shared);
    let end;
    ended.then((how) => (end = how));
    let struck = false;
    while (end === undefined) {
      const isLast = struck || before + one.kills >= wanted;
      const isOver = () => end !== undefined;
      const wait = isLast
        ? ended
        : stages.length > 0 && random() < 0.5
          ? untilStage(name, isOver)
          : sleep(1000 * (0.15 + random() * longest));
      await Promise.race([wait, ended]);
      if (end !== undefined || isLast) continue;
      const workers = descendantsOf(child.pid);
      const victims = ["command", "all", ...(workers.length > 0 ? ["worker", "worker"] : [])];
      const victim = victims[below(victims.length)];
      const stage = stageOf(name);
      // A stage that takes as long as strikes are apart would be struck for ever.
      if ((one.stages[stage] ?? 0) >= MOST_IN_STAGE) continue;
      const target = victim === "worker" ? workers[below(workers.length)] : victim === "all" ? -child.pid : child.pid;
      if (!killed(target)) continue;
      one.kills++;
      count("victims", victim);
      count("stages", stage);
      struck = victim !== "worker";
    }
    if (!isCoded(end) && end.status !== "SIGKILL") {
      one.faults.push(`${called}: ended with ${end.status}: ${end.output.slice(-600)}`);
    }
    if (end.status !== 0 && end.status !== "SIGKILL") count("codes", end.error);
    for (const path of spoilt(whole, name, cached)) {
      one.faults.push(`${called}, after kill ${one.kills}: ${path} is not what it should be`);
    }
    finished = end.status === 0;
  }
  const names = new Set([...resultsOf(whole), ...resultsOf(join(folder, name))]);
  const different = [...names].filter((path) => {
    const [undone, other] = [join(whole, path), join(folder, name, path)];
    return !(
      existsSync(undone) &&
      existsSync(other) &&
      isSame(path, readFileSync(undone), readFileSync(other), cached)
    );
  });
  for (const path of different) one.faults.push(`${called}: ${path} differs at the end`);
  one.same = different.length === 0;
  told.push(one);
  if (values.tally !== undefined) appendFileSync(values.tally, `${JSON.stringify(one)}\n`);
  process.stderr.write(
    `${sum(({ kills }) => kills)} kills, ${told.length} runs, ${sum(({ same }) => (same ? 1 : 0))} with the same bytes\n`,
  );
  if (!one.same) renameSync(join(folder, name), join(folder, `differs-${called}`));
  removeRun();
}

/** @param of one count of every run */
function listed(of) {
  const all = {};
  for (const one of told) {
    for (const [what, times] of Object.entries(one[of])) all[what] = (all[what] ?? 0) + times;
  }
  const sorted = Object.entries(all).sort(([, a], [, b]) => b - a);
  return sorted.map(([what, times]) => `${what} ${times}`).join(", ");
}
const faults = told.flatMap((one) => one.faults);
console.log(
  `seed ${values.seed}: ${sum(({ kills }) => kills)} of ${wanted} kills (${listed("victims")}) in ${told.length} runs; ` +
    `${sum(({ same }) => (same ? 1 : 0))} of ${told.length} ended with the same bytes`,
);
console.log(`struck in: ${listed("stages")}`);
console.log(`commands that a worker's death ended: ${listed("codes") || "none"}`);
for (const fault of faults.slice(0, 30)) console.log(fault);
if (faults.length === 0 && values.in === undefined) rmSync(folder, { recursive: true, force: true });
else console.log(folder);
process.exitCode = faults.length === 0 ? 0 : 4;
