// A cluster that is made up, under the jobs that inward really submits: node validation/simulate-cluster.mjs [--units 10000,1000000] [--workers 100,1000]
// [--minutes 5] [--seed 1]. Units take times of a log-normal law, some five times as long, some processes are killed, some nodes go. What comes
// of it: how long it takes beside the ideal, how much work is done twice, how many calls of sbatch and of resume there are. Arrays, dependencies and
// what is submitted again are src/cluster's own (dist); only Slurm and the units are made up.
import { parseArgs } from "node:util";
import { Heap } from "../dist/base/heap.js";
import { submissions } from "../dist/cluster/slurm-scripts.js";
import { dice } from "./inward-processes.mjs";

const { values } = parseArgs({
  options: {
    units: { type: "string", default: "10000,1000000" },
    workers: { type: "string", default: "100,1000" },
    minutes: { type: "string", default: "5" },
    waves: { type: "string", default: "4" },
    killed: { type: "string", default: "0.01" },
    stragglers: { type: "string", default: "0.01" },
    broken: { type: "string", default: "0.0001" },
    seed: { type: "string", default: "1" },
    "merge-units-per-second": { type: "string", default: "500" },
  },
});
const MOST_TASKS = 1000;
const MOST_RESTARTS = 3;
/** Of Slurm, seconds: from free to begun, and until what was put back may begin. */
const [DISPATCH, REQUEUED] = [1, 120];
/** Node, the addon and the weights before a task's first unit, seconds. */
const START = 20;
const SIGMA = 0.4;
const LONGER = 5;

function simulate(count, workers) {
  const random = dice(Number(values.seed) + count + workers);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const waves = Number(values.waves);
  const mean = 60 * Number(values.minutes);
  const seconds = () =>
    mean * Math.exp(SIGMA * normal() - SIGMA ** 2 / 2) * (random() < Number(values.stragglers) ? LONGER : 1);
  const lists = Array.from({ length: waves }, (_, wave) => ({
    wave,
    kind: wave === 1 ? "trained" : "asked",
    ids: Array.from({ length: Math.floor(count / waves) }, (_, at) => `wave-${wave}/${String(at).padStart(4, "0")}`),
  }));
  const took = new Map(lists.flatMap(({ ids }) => ids.map((id) => [id, seconds()])));
  /** A unit whose own error somebody mends before resuming. */
  const broken = new Set([...took.keys()].filter(() => random() < Number(values.broken)));
  const unitsPerTask = Math.max(1, Math.ceil(count / waves / 10_000));
  const done = new Set();
  let [clock, calls, resumes, wasted, attempts, peak] = [0, 0, -1, 0, 0, 0];
  const ideal = [...took.values()].reduce((sum, one) => sum + one, 0) / workers;
  while (done.size < took.size) {
    resumes++;
    if (resumes > 0) for (const id of broken) if (random() < 0.9) broken.delete(id);
    const list = submissions(lists, (id) => !done.has(id), { unitsPerTask }, MOST_TASKS);
    calls += list.length;
    let failed = false;
    for (const wave of new Set(list.map((one) => one.wave))) {
      if (failed) break;
      const waiting = list
        .filter((one) => one.wave === wave && one.what === "units")
        .flatMap((one) =>
          tasksOf(one, lists, unitsPerTask).map((ids) => ({
            ids: ids.filter((id) => !done.has(id)),
            restarts: 0,
            at: clock,
          })),
        );
      peak = Math.max(peak, waiting.length);
      const ends = new Heap((one, other) => one.at < other.at);
      let running = 0;
      waiting.reverse();
      const begin = (now) => {
        while (running < workers && waiting.length > 0) {
          const task = waiting.pop();
          const at = Math.max(now, task.at) + DISPATCH;
          attempts++;
          running++;
          const left = task.ids.filter((id) => !done.has(id));
          const whole = left.reduce((sum, id) => sum + took.get(id), START);
          // A kill comes somewhere in it: units that were finished before are kept.
          task.killed = random() < Number(values.killed) * left.length ? random() * whole : undefined;
          ends.push({ at: at + (task.killed ?? whole), task: { ...task, ids: left } });
        }
      };
      begin(clock);
      while (running > 0) {
        const { at, task } = ends.pop();
        clock = at;
        running--;
        let spent = START;
        for (const id of task.ids) {
          spent += took.get(id);
          if (task.killed !== undefined && spent > task.killed) {
            wasted += task.killed - (spent - took.get(id));
            break;
          }
          if (broken.has(id)) {
            failed = true;
            break;
          }
          done.add(id);
        }
        if (task.killed !== undefined) {
          if (task.restarts < MOST_RESTARTS)
            waiting.unshift({ ids: task.ids, restarts: task.restarts + 1, at: at + REQUEUED });
          else failed = true;
        }
        begin(clock);
      }
      clock += lists[wave].ids.length / Number(values["merge-units-per-second"]);
    }
  }
  const hours = (value) => (value / 3600).toFixed(1);
  const total = ideal * workers;
  return [count, workers, unitsPerTask, hours(ideal), hours(clock), `+${((clock / ideal - 1) * 100).toFixed(1)} %`]
    .concat([attempts, `${((100 * wasted) / total).toFixed(2)} %`, calls, resumes, peak])
    .concat([(process.memoryUsage().rss / 2 ** 20).toFixed(0)]);
}

/** The units of each task of a submission, by its indices and its list. */
function tasksOf({ arguments: own, wave, kind }, lists, unitsPerTask) {
  const { ids } = lists.find((one) => one.wave === wave && one.kind === kind);
  const [array, , , first] = own;
  return array
    .replace("--array=", "")
    .split(",")
    .flatMap((range) => {
      const [from, to = from] = range.split("-").map(Number);
      return Array.from({ length: to - from + 1 }, (_, at) => {
        const begin = Number(first) + (from + at) * unitsPerTask;
        return ids.slice(begin, begin + unitsPerTask);
      });
    });
}

console.log(
  "| units | workers | a task | ideal, h | took, h | beyond | tasks begun | work lost | sbatch | resumed | most waiting | MiB |",
);
console.log("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
for (const count of values.units.split(",").map(Number)) {
  for (const workers of values.workers.split(",").map(Number)) {
    const row = simulate(count, workers);
    console.log(`| ${row.join(" | ")} |`);
  }
}
