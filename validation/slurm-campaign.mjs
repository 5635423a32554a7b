// A study by a real Slurm of four nodes on this machine, undisturbed and with kill -9 of everything that can be killed: each time the bytes of one
// process. node validation/slurm-campaign.mjs [--only end,step,batch,slurmd,slurmctld,forgets,term,many]; exit code 4 with a finding; where there
// is no Slurm (apt-get install slurm-wlm munge), or not root, it says so and ends with 0.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bytesOf, descendantsOf, Findings, killed, startInward } from "./inward-processes.mjs";
import { startCluster, whyNoSlurm } from "./slurm-cluster.mjs";

const KINDS = ["end", "step", "batch", "slurmd", "slurmctld", "forgets", "term", "many"];
const { values } = parseArgs({ options: { only: { type: "string", default: KINDS.join() } } });
const unknown = values.only.split(",").filter((kind) => !KINDS.includes(kind));
if (unknown.length > 0) throw new Error(`--only ${unknown.join()}: it knows ${KINDS.join()}`);
const why = whyNoSlurm();
if (why !== undefined) {
  console.log(`not run here: ${why}`);
  process.exit(0);
}
const LONGEST_MS = 600_000;
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const findings = new Findings();
const check = (what, holds, more) => findings.check(what, holds, more);
// What a user may call a folder.
const folder = join(mkdtempSync(join(tmpdir(), "inward-on-slurm-")), `it's 100% "mine" & $HOME`);
mkdirSync(folder);
const own = {
  INWARD_MODELS: join(folder, "models"),
  XDG_CACHE_HOME: join(folder, "cache"),
  INWARD_ANSWER_CACHE: "off",
};

/** Two rounds and a calibration on tiny planted models: eight units where each has a state's questions. */
const STUDY = `
study: on-slurm
seed: 3
experiments: [self_prediction, calibration]
models: { one: { source: one/planted.gguf } }
tasks: [{ task: one/planted.yaml, examples: false }]
hypothetical: { variants: [minimal] }
predictions: [{ predictor: one, target: one }]
lora: { rank: 2, epochs: 4, batchExamples: 4, learningRate: 1e-3, validationShare: 0, checkpointEverySteps: 2 }
calibration: { strings: 4, epsilon: 0.01, tokenBudget: 600, samples: 5 }
engine: { device: cpu, threads: 1, groupQuestions: 8 }
noiseFloor: { questions: 4 }
score: { bootstrapReplicates: 100 }
`;

let cluster;
let bytes;
const inward = (args) => startInward(args, { cwd: folder, env: { ...own, ...cluster.env } }).ended;
const json = async (...args) => {
  const { status, output, error } = await inward([...args, "--json"]);
  const text = output.slice(output.indexOf("{"), output.lastIndexOf("}") + 1);
  return { status, error, output, said: text === "" ? undefined : JSON.parse(text) };
};
const queue = () =>
  cluster
    .run("squeue", ["--noheader", "--format=%i|%T|%A|%N|%r"])
    .stdout.split("\n")
    .filter(Boolean)
    .map((line) => {
      const [id, state, job, node, reason] = line.split("|");
      return { id, state, job, node, reason };
    });

/** When a job was first seen to wait for its time. A node that has just ended it would not start it again yet. */
const waits = new Map();
const SETTLED_MS = 5000;

/** Jobs that were put back begin soon, and not in two minutes as a site has it. */
function hasten() {
  for (const { id, reason } of queue()) {
    if (reason !== "BeginTime") waits.delete(id);
    else if (!waits.has(id)) waits.set(id, Date.now());
    else if (Date.now() - waits.get(id) > SETTLED_MS)
      cluster.run("scontrol", ["update", `jobid=${id}`, "starttime=now"]);
  }
}

/** Until no job of the run is in the queue, but for those of which status says that they never begin. */
async function drained(run) {
  let waited = queue();
  let since = Date.now();
  for (const until = Date.now() + LONGEST_MS; Date.now() < until; await wait(300)) {
    hasten();
    const now = queue();
    if (now.length === 0) return true;
    if (JSON.stringify(now) !== JSON.stringify(waited)) {
      waited = now;
      since = Date.now();
    } else if (Date.now() - since > SETTLED_MS && !now.some(({ state }) => state === "RUNNING")) {
      const { said } = await json("slurm", "status", run);
      if (said?.queue.every(({ stuck }) => stuck)) return true;
      since = Date.now();
    }
  }
  return false;
}

/** Looks until there is something. */
async function found(what, look) {
  for (const until = Date.now() + 120_000; Date.now() < until; await wait(20)) {
    const one = look();
    if (one !== undefined) return one;
  }
  throw new Error(`${what}: never seen`);
}

/** The pid of a unit's process of this run, and of the script that started it. */
function unitProcess(run) {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
      if (words[2] !== "unit" || !words[3]?.endsWith(`/${run}`)) continue;
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const environ = readFileSync(`/proc/${name}/environ`, "utf8").split("\0");
      const of = (key) => environ.find((one) => one.startsWith(`${key}=`))?.slice(key.length + 1);
      return {
        pid: Number(name),
        parent: Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]),
        node: of("SLURMD_NODENAME"),
        job: of("SLURM_JOB_ID"),
        unit: words[4],
      };
    } catch {}
  }
  return undefined;
}

const isWhole = (run) => existsSync(join(folder, run, "09-report.html")) && bytesOf(join(folder, run)) === bytes;

/** What the controller has on its disk at this moment. It may rename a file meanwhile. */
function stateCopy() {
  const copy = join(cluster.place, "state before");
  for (let tries = 1; ; tries++) {
    try {
      rmSync(copy, { recursive: true, force: true });
      cpSync(join(cluster.place, "state"), copy, { recursive: true });
      return copy;
    } catch (error) {
      if (tries === 5) throw error;
    }
  }
}

/** Submits a run, does something to it, and sees that it ends with the bytes of one process; resuming as often as it has to. */
async function struck(run, what, strike) {
  const before = what === "forgets" ? stateCopy() : undefined;
  const submitted = await json(
    "slurm",
    "study.yaml",
    "--offline",
    "--out",
    run,
    "--submit",
    "--unit-questions",
    "288",
    "--time",
    "30",
  );
  check(`${what}: submitted`, submitted.status === 0 && submitted.said.jobs.length > 0, submitted.output);
  if (submitted.status !== 0) return;
  const told = await strike(run, before);
  let resumed = 0;
  let isDrained = await drained(run);
  while (isDrained && !isWhole(run) && resumed < 5) {
    // A node that was asked to start a job twice is taken out of use, and put back by whoever runs the site.
    cluster.run("scontrol", ["update", "nodename=n[1-4]", "state=resume"]);
    const again = await json("slurm", "resume", run);
    if (again.status !== 0) {
      check(`${what}: resumed`, false, again.output);
      return;
    }
    resumed++;
    isDrained = await drained(run);
  }
  check(
    `${what}${told ? ` (${told})` : ""}: after ${resumed} times of resume the bytes of one process`,
    isWhole(run),
    logsOf(run),
  );
  const { said, output } = await json("slurm", "status", run);
  check(
    "  and status says that all is done",
    said?.progress.units.every(({ state }) => state === "done") ?? false,
    output,
  );
}

function logsOf(run) {
  const logs = join(folder, run, "units/slurm/logs");
  return existsSync(logs)
    ? readdirSync(logs)
        .map((name) => `${name}: ${readFileSync(join(logs, name), "utf8").slice(-300)}`)
        .join("\n")
    : "no logs";
}

const STRIKES = {
  end: async () => {},
  step: async (run) => {
    const { pid, unit } = await found("a unit at work", () => unitProcess(run));
    await wait(400);
    const victims = [pid, ...descendantsOf(pid)];
    victims.forEach(killed);
    return unit;
  },
  batch: async (run) => {
    const { parent, unit } = await found("a unit at work", () => unitProcess(run));
    killed(parent);
    return unit;
  },
  slurmd: async (run) => {
    const { node, unit } = await found("a unit at work", () => unitProcess(run));
    cluster.kill(node);
    await wait(1000);
    cluster.restart(node);
    return `${unit} on ${node}`;
  },
  slurmctld: async (run) => {
    const { unit } = await found("a unit at work", () => unitProcess(run));
    cluster.kill("slurmctld");
    await wait(1000);
    cluster.restart("slurmctld");
    await found("the controller", () => (cluster.run("scontrol", ["ping"]).status === 0 ? true : undefined));
    return unit;
  },
  // Its last seconds were not on its disk: jobs at work are unknown to it, and it gives their ids again.
  forgets: async (run, before) => {
    const { unit } = await found("a unit at work", () => unitProcess(run));
    cluster.kill("slurmctld");
    const state = join(cluster.place, "state");
    rmSync(state, { recursive: true });
    cpSync(before, state, { recursive: true });
    cluster.restart("slurmctld");
    await found("the controller", () => (cluster.run("scontrol", ["ping"]).status === 0 ? true : undefined));
    return unit;
  },
  term: async (run) => {
    const told = [];
    for (let times = 0; times < 3; times++) {
      const { job, unit } = await found("a unit at work", () => {
        hasten();
        return unitProcess(run);
      });
      cluster.run("scancel", ["--signal=TERM", "--batch", job]);
      told.push(unit);
      await found("its end", () =>
        unitProcess(run)?.job === job && !existsSync(join(folder, run, "09-report.html")) ? undefined : true,
      );
      hasten();
    }
    return told.join(", ");
  },
};

/** Thousands of units in the queue, and out of it again: more than one array holds. */
async function many() {
  writeFileSync(
    join(folder, "many.yaml"),
    `
study: many
models: { one: { source: one/planted.gguf } }
tasks:
  - { task: animals_long, trainStrings: 800, heldOutStrings: 450, properties: [first_word], examples: false }
  - { task: countries_long, trainStrings: 800, heldOutStrings: 450, properties: [first_word], examples: false }
engine: { device: cpu, threads: 1, groupQuestions: 1 }
noiseFloor: { questions: 0 }
`,
  );
  const begun = performance.now();
  const { said, output } = await json(
    "slurm",
    "many.yaml",
    "--offline",
    "--out",
    "many",
    "--submit",
    "--unit-questions",
    "1",
  );
  const units = said?.submissions.reduce((sum, one) => sum + (one.units ?? 0), 0) ?? 0;
  const { said: status } = await json("slurm", "status", "many");
  const tasks = status?.queue.reduce((sum, one) => sum + one.tasks, 0) ?? 0;
  const seconds = ((performance.now() - begun) / 1000).toFixed(0);
  check(
    `${units} units are in the queue as ${tasks} tasks and merges after ${seconds} s`,
    units >= 2500 && tasks >= units,
    output,
  );
  const cancelled = await json("slurm", "cancel", "many");
  check("  and out of it again", cancelled.said?.tasks > 0 && (await drained("many")), cancelled.output);
}

try {
  const kinds = values.only.split(",");
  for (const requeueExit of [true, false]) {
    // What the site does not do is asked once more where it matters.
    const own = requeueExit ? kinds : kinds.filter((kind) => kind === "term");
    if (own.length === 0) continue;
    cluster = await startCluster({ requeueExit });
    console.log(
      `# a site that ${requeueExit ? "puts jobs back that end with 75" : "does not put jobs back"}: ${cluster.place}`,
    );
    if (requeueExit) {
      const made = await inward(["probe", "planted", "--mechanism", "A", "--items", "6", "--out", "one"]);
      if (made.status !== 0) throw new Error(made.output);
      writeFileSync(join(folder, "study.yaml"), STUDY);
      const whole = await inward(["run", "study.yaml", "--offline", "--out", "whole"]);
      if (whole.status !== 0) throw new Error(whole.output);
    }
    bytes = bytesOf(join(folder, "whole"));
    for (const kind of own) {
      if (kind === "many") await many();
      else await struck(`${kind}-${requeueExit}`, kind, STRIKES[kind]);
    }
    await cluster.stop();
    cluster = undefined;
  }
} finally {
  await cluster?.stop();
}
rmSync(join(folder, ".."), { recursive: true, force: true });
process.exitCode = findings.end();
