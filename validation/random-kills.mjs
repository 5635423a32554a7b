// Kills a study with every stage in it (or a benchmark of quantized files, or a study of yours) at random moments and starts it again until
// it ends: node validation/random-kills.mjs [--kills 200] [--seed 1] [--of study | quantize | <study.yaml>] [--longest seconds] [--in folder]
// With --in, an undisturbed run that stands there serves again, and what differs stays there.
// A kill -9 strikes the command, one process that it started, or all of them at once. After each, what stands in the folder must be what an
// undisturbed run wrote: finished files byte for byte, lines of unfinished ones from the first on. At the end of each run all bytes must be
// the undisturbed run's. Exit code 4 where something differs, or where a process ended with no coded error.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
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
  },
});
const random = dice(Number(values.seed));
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
const begin = (name, cached) => startInward([...command, name], { cwd: folder, env: environment(name, cached) });

/** Where answers were looked up stands in the manifest, and where a run was killed decides what there was to be looked up. */
const GROWS = /(^|\/)(manifest|stages|engines)\.json$|03-engines\.json$|\.checkpoint\/|\.partial-\d+$/;
function withoutCache(text) {
  const kept = JSON.parse(text, (key, value) => (key === "fromCache" ? undefined : value));
  return JSON.stringify(kept);
}
function isSame(name, one, other) {
  if (one.equals(other)) return true;
  return name === "manifest.json" && withoutCache(one.toString()) === withoutCache(other.toString());
}

/** What stands there after a kill and is not what the undisturbed run wrote; a stage's own mark says that a file is finished. */
function spoilt(whole, name) {
  if (!existsSync(join(folder, name))) return [];
  const marks = existsSync(join(folder, name, "stages.json"))
    ? JSON.parse(readFileSync(join(folder, name, "stages.json"), "utf8"))
    : {};
  const isMarked = (path) =>
    Object.keys(marks).some((mark) => path.includes(mark.split("/").at(-1))) && Object.keys(marks).length > 0;
  return filesOf(join(folder, name)).filter((path) => {
    if (GROWS.test(path)) return false;
    const there = readFileSync(join(folder, name, path));
    if (!existsSync(join(whole, path))) return isMarked(path);
    const wanted = readFileSync(join(whole, path));
    if (there.equals(wanted)) return false;
    if (!path.endsWith(".jsonl")) return !isPassing(path);
    const end = there.lastIndexOf(10) + 1;
    return !there.subarray(0, end).equals(wanted.subarray(0, end));
  });
}

/** Index files of states, which grow with every shard: whole each time, and the last one is the undisturbed run's. */
const isPassing = (path) => /0[57]-.*(states|index)\.json$/.test(path);

function stageOf(name) {
  const events = join(folder, name, "events.jsonl");
  if (!existsSync(events)) return values.of === "quantize" ? "quantize" : "planning";
  const lines = readFileSync(events, "utf8").trimEnd().split("\n");
  const last = lines.map((line) => line.startsWith("{") && line.endsWith("}") && JSON.parse(line)).filter(Boolean);
  const begun = last.findLast(({ event }) => event === "stage_begun" || event === "stage_done");
  return begun === undefined
    ? "before the first stage"
    : begun.event === "stage_begun"
      ? begun.stage
      : "between stages";
}

console.error(folder);
const undisturbed = `whole-${isOurs ? values.of : "study"}`;
const whole = join(folder, undisturbed);
const took = join(folder, `${undisturbed}.seconds`);
const started = performance.now();
const first = await begin(undisturbed, false).ended;
if (first.status !== 0) throw new Error(first.output);
if (!existsSync(took)) writeFileSync(took, String((performance.now() - started) / 1000));
const wholeSeconds = Number(readFileSync(took, "utf8"));
// So that a dozen kills go over all of a run, and the command is killed before it asks anything now and then.
const longest = Number(values.longest ?? Math.max(1.5, wholeSeconds / 5));
console.error(`undisturbed: ${wholeSeconds.toFixed(1)} s, ${filesOf(whole).length} files`);

const faults = [];
const [victims, stages, codes] = [{}, {}, {}];
const count = (of, what) => {
  of[what] = (of[what] ?? 0) + 1;
};
let [kills, runs, same] = [0, 0, 0];
while (kills < Number(values.kills)) {
  const name = `run-${values.of === "quantize" ? "q" : ""}${values.seed}-${++runs}`;
  const cached = runs % 2 === 0;
  for (let finished = false; !finished; ) {
    const { child, ended } = begin(name, cached);
    let end;
    ended.then((how) => (end = how));
    let struck = false;
    while (end === undefined) {
      const wait = new Promise((done) => setTimeout(done, 1000 * (0.15 + random() * longest)));
      await (kills < Number(values.kills) && !struck ? Promise.race([wait, ended]) : ended);
      if (end !== undefined || kills >= Number(values.kills)) continue;
      const workers = descendantsOf(child.pid);
      const victim = ["command", "all", ...(workers.length > 0 ? ["worker", "worker"] : [])][
        below(workers.length > 0 ? 4 : 2)
      ];
      const stage = stageOf(name);
      const target = victim === "worker" ? workers[below(workers.length)] : victim === "all" ? -child.pid : child.pid;
      if (!killed(target)) continue;
      kills++;
      count(victims, victim);
      count(stages, stage);
      struck = victim !== "worker";
      if (struck) await ended;
    }
    if (!isCoded(end) && end.status !== "SIGKILL")
      faults.push(`${name}: ended with ${end.status}: ${end.output.slice(-600)}`);
    if (end.status !== 0 && end.status !== "SIGKILL") count(codes, end.error);
    for (const path of spoilt(whole, name))
      faults.push(`${name}, after kill ${kills}: ${path} is not what it should be`);
    finished = end.status === 0;
    if (faults.length > 20) break;
  }
  const names = new Set([...filesOf(whole), ...filesOf(join(folder, name))]);
  const different = [...names].filter((path) => {
    const [one, other] = [join(whole, path), join(folder, name, path)];
    return !(existsSync(one) && existsSync(other) && isSame(path, readFileSync(one), readFileSync(other)));
  });
  if (different.length === 0) same++;
  for (const path of different) faults.push(`${name}: ${path} differs at the end`);
  process.stderr.write(`${kills} kills, ${runs} runs, ${same} with the same bytes\n`);
  if (different.length === 0) {
    rmSync(join(folder, name), { recursive: true });
    rmSync(join(folder, `answers-${name}`), { recursive: true, force: true });
  }
  if (faults.length > 20) break;
}
const listed = (of) =>
  Object.entries(of)
    .sort(([, a], [, b]) => b - a)
    .map(([what, times]) => `${what} ${times}`)
    .join(", ");
console.log(
  `seed ${values.seed}: ${kills} kills (${listed(victims)}) in ${runs} runs; ${same} of ${runs} ended with the same bytes`,
);
console.log(`struck in: ${listed(stages)}`);
console.log(`commands that a worker's death ended: ${listed(codes) || "none"}`);
for (const fault of faults.slice(0, 30)) console.log(fault);
if (faults.length === 0 && values.in === undefined) rmSync(folder, { recursive: true, force: true });
else console.log(folder);
process.exitCode = faults.length === 0 ? 0 : 4;
