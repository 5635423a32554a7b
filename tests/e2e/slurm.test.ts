/**
 * A study handed to Slurm, as far as that goes without one: sbatch and squeue are stand-ins that write down what they are called with and say what the test
 * wants. At the end a real Slurm of four nodes where there is one, with kill -9 of a unit; of everything else by npm run test:slurm.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { cancelSlurm, mergeWave, prepareSlurm, slurmStatus, submitSlurm } from "../../src/cluster/slurm-run.js";
import { writePlantedStudy } from "../../src/probe/planted-model.js";
import { planStudy } from "../../src/run/run-study.js";
import { inwardHere } from "../helpers/command-line.js";
import { workIn } from "../helpers/work-in.js";

const folder = mkdtempSync(join(tmpdir(), "inward-slurm-"));
const bin = join(folder, "bin");
const said = () => readFileSync(join(folder, "said"), "utf8").trimEnd().split("\n");
const coded = (code: string, message = "") =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });
const run = join(folder, "a run");

/** @param queue lines of jobs as squeue is asked for them @param refuses the number of the call of sbatch that fails */
function standIns(queue = "", refuses = 0): void {
  // A site prints lines of its own, and a federation the names of its clusters.
  writeFileSync(
    join(folder, "queue"),
    `Maintenance on Friday\nCLUSTER: one\n${queue.replaceAll(/^(?=.)/gm, "inward-job|")}`,
  );
  writeFileSync(join(folder, "calls"), "");
  const scripts = {
    sbatch: `env | grep -iE 'token|^S(BATCH|QUEUE)_' >> "${folder}/said"; echo "Welcome"; echo x >> "${folder}/calls"; n=$(wc -l < "${folder}/calls"); [ "$n" = ${refuses} ] && { echo "sbatch: error: Batch job submission failed: Job violates policy" >&2; exit 1; }; echo "$((100 + n));one"`,
    squeue: `cat "${folder}/queue"`,
    scancel: ":",
    scontrol: "echo MaxArraySize = 4",
  };
  for (const [name, script] of Object.entries(scripts)) {
    const log = name === "scontrol" || name === "squeue" ? "" : `echo "${name} $*" >> "${folder}/said"\n`;
    writeFileSync(join(bin, name), `#!/bin/bash\n${log}${script}\n`);
    chmodSync(join(bin, name), 0o755);
  }
}

let planned: Awaited<ReturnType<typeof planStudy>>;
beforeAll(async () => {
  mkdirSync(bin);
  const { study } = await writePlantedStudy(folder, { mechanism: "A", items: 4 });
  const keys = { engine: { device: "cpu", threads: 1, groupQuestions: 2 }, noiseFloor: { questions: 2 } };
  writeFileSync(study, stringify({ ...parse(readFileSync(study, "utf8")), ...keys }));
  const restore = workIn(folder, {
    PATH: `${bin}:${process.env.PATH}`,
    HF_TOKEN: "hf_secret",
    // Habits of a user that sbatch would take in the place of what the scripts say, and one that they say nothing of.
    SBATCH_JOB_NAME: "mine",
    SBATCH_PARTITION: "debug",
    SBATCH_TIMELIMIT: "1",
    SQUEUE_STATES: "RUNNING",
    INWARD_MODELS: join(folder, "models"),
  });
  planned = await planStudy(study, { out: run, offline: true });
  return restore;
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => {
  writeFileSync(join(folder, "said"), "");
  standIns();
});

test("is written as scripts and lists, and submitted in their order without a secret", async () => {
  const { submissions, scripts, notes } = await prepareSlurm(planned, { unitQuestions: 2, partition: "gpu" });
  expect(scripts.map((path) => path.slice(run.length))).toEqual(
    ["merge", "asked", "measured"].map((name) => `/units/slurm/${name}.sh`),
  );
  expect(notes.join()).toContain("--memory");
  expect(said()).toEqual([""]);
  const { jobs } = await submitSlurm(run);
  expect(jobs).toEqual(submissions.map((_, at) => String(101 + at)));
  // Sixteen strings, two questions a unit; this site's arrays have four tasks.
  expect(said().slice(0, 6)).toEqual([
    "sbatch --parsable --array=0-3 asked.sh wave-0.asked.txt 0",
    "SBATCH_TIMELIMIT=1",
    "sbatch --parsable --array=0-3 asked.sh wave-0.asked.txt 4",
    "SBATCH_TIMELIMIT=1",
    "sbatch --parsable --array=0-3 asked.sh wave-0.asked.txt 8",
    "SBATCH_TIMELIMIT=1",
  ]);
  expect(said().at(-2)).toMatch(
    /^sbatch --parsable --dependency=afterany:[\d:]+ --kill-on-invalid-dep=yes merge\.sh \d+$/,
  );
  expect(said().join()).not.toContain("secret");
  const list = readFileSync(join(run, "units/slurm/wave-0.asked.txt"), "utf8").trimEnd().split("\n");
  expect(new Set(list).size).toBe(list.length);
  expect((await slurmStatus(run)).progress.units.map(({ id }) => id)).toEqual(expect.arrayContaining(list));
});

test("a site that refuses says so, and how much is in the queue already", async () => {
  standIns("", 3);
  await expect(submitSlurm(run)).rejects.toEqual(coded("SLURM_REFUSED", "Job violates policy. 2 of"));
});

test("is not submitted a second time while its jobs are in the queue; those that can never begin are taken out", async () => {
  standIns("7_[0-9%2]|PENDING|Priority|\n8|RUNNING|None|n1\n");
  await expect(submitSlurm(run)).rejects.toEqual(coded("SLURM_ACTIVE", "11 tasks"));
  expect((await slurmStatus(run)).queue).toEqual([
    { id: "7_[0-9%2]", state: "PENDING", reason: "Priority", node: "", tasks: 10 },
    { id: "8", state: "RUNNING", reason: "None", node: "n1", tasks: 1 },
  ]);
  standIns("9|PENDING|DependencyNeverSatisfied|\n10_2|PENDING|launch failed requeued held|\n");
  await submitSlurm(run);
  expect(said().slice(0, 2)).toEqual(["scancel 9", "scancel 10_2"]);
});

test("what waits for a job that never begins is taken out with it, but not while another is at work", async () => {
  const held = "1_0|PENDING|launch failed requeued held|\n2|PENDING|Dependency|\n";
  standIns(`${held}3_1|RUNNING|None|n2\n`);
  await expect(submitSlurm(run)).rejects.toEqual(coded("SLURM_ACTIVE", "2 tasks of"));
  const stuck = async () => {
    const { queue } = await slurmStatus(run);
    return "unknown" in queue ? queue : queue.map((job) => job.stuck);
  };
  expect(await stuck()).toEqual([true, undefined, undefined]);
  standIns(held);
  expect(await stuck()).toEqual([true, true]);
  const status = await inwardHere(["slurm", "status", run], { cwd: folder });
  expect(status.stdout).toContain("2 of them never begin by themselves. npx inward slurm resume");
  await submitSlurm(run);
  expect(said().slice(0, 2)).toEqual(["scancel 1_0", "scancel 2"]);
  // Somebody held it, and lets it go again.
  standIns("1_0|PENDING|JobHeldUser|\n2|PENDING|Dependency|\n");
  await expect(submitSlurm(run)).rejects.toEqual(coded("SLURM_ACTIVE", "1_0 (PENDING, JobHeldUser)"));
});

test("is cancelled for good, until it is submitted again", async () => {
  standIns("7_[0-9]|PENDING|Priority|\n");
  const stopped = join(run, "units/slurm/stopped");
  expect(await cancelSlurm(run)).toEqual({ folder: run, tasks: 10 });
  expect(said()[0]).toMatch(/^scancel --name=inward-[0-9a-f]{12}-[0-9a-f]{6}$/);
  expect(existsSync(stopped)).toBe(true);
  standIns();
  await submitSlurm(run);
  expect(existsSync(stopped)).toBe(false);
});

test("a merge fails where units of its wave are missing", async () => {
  expect((await mergeWave(run)).finished).toBe(false);
  await expect(mergeWave(run, 0)).rejects.toEqual(coded("UNITS_MISSING", "wave 0 are missing: 02-object-level/0000"));
});

test("a copy of a run is not submitted by scripts that name the other, nor are its jobs taken for its own", async () => {
  const copy = join(folder, "a copy");
  cpSync(run, copy, { recursive: true });
  await expect(submitSlurm(copy)).rejects.toEqual(coded("SLURM_NOT_PREPARED", `written for ${run}`));
  const [own, other] = [await slurmStatus(run), await slurmStatus(copy)];
  expect(own.jobName.slice(0, 19)).toBe(other.jobName.slice(0, 19));
  expect(own.jobName).not.toBe(other.jobName);
});

test("a script that was changed by hand is kept when it is written anew, and another cut is said to be ignored", async () => {
  const path = join(run, "units/slurm/asked.sh");
  const written = readFileSync(path, "utf8");
  writeFileSync(path, `${written}# mine\n`);
  const { notes } = await prepareSlurm(planned, { unitQuestions: 9, partition: "gpu" });
  expect(readFileSync(path, "utf8")).toBe(written);
  const kept = /kept as (.*)\.$/.exec(notes.find((note) => note.startsWith("asked.sh")) ?? "")?.[1] as string;
  expect(readFileSync(kept, "utf8")).toBe(`${written}# mine\n`);
  expect(notes.join()).toContain("cut at about 2 questions before, and stay so");
});

test("where there is no Slurm scripts are written all the same", async () => {
  for (const name of ["sbatch", "squeue", "scancel", "scontrol"]) rmSync(join(bin, name));
  const before = process.env.PATH;
  process.env.PATH = `${bin}:/usr/nowhere`;
  try {
    expect((await prepareSlurm(planned)).submissions.length).toBeGreaterThan(1);
    expect((await slurmStatus(run)).queue).toEqual({ unknown: expect.stringContaining("no squeue here") });
    await expect(submitSlurm(run)).rejects.toEqual(coded("SLURM_UNAVAILABLE", "squeue"));
  } finally {
    process.env.PATH = before;
  }
});

test("a subcommand's --json is its own, and what is no run is said", async () => {
  const status = await inwardHere(["slurm", "status", run, "--json"], { cwd: folder });
  expect(JSON.parse(status.stdout)).toMatchObject({ folder: run, progress: { study: "planted" } });
  const none = await inwardHere(["slurm", "resume", folder], { cwd: folder });
  expect(none.stderr).toContain("STORE_NOT_A_RUN");
});

/** `all`, or kinds of accidents by name: they take minutes. */
const KINDS = process.env.INWARD_SLURM ?? "step";

test("by a real Slurm of four nodes, whatever is killed: the bytes of one process", ({ skip }) => {
  const only = KINDS === "all" ? [] : ["--only", KINDS];
  const script = fileURLToPath(new URL("../../validation/slurm-campaign.mjs", import.meta.url));
  const path = process.env.PATH?.split(":").filter((one) => one !== bin);
  const habits = Object.keys(process.env).filter((name) => /^S(BATCH|QUEUE)_/.test(name));
  const without = Object.fromEntries(habits.map((name) => [name, undefined]));
  const env = { ...process.env, ...without, PATH: path?.join(":") };
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...only], { encoding: "utf8", env });
  const why = /^not run here: (.*)/.exec(stdout)?.[1];
  if (why !== undefined) {
    process.stderr.write(`\nSKIPPED, a real Slurm of four nodes: ${why}\n`);
    skip(why);
  }
  expect(stdout + stderr).toMatch(/holds .* the bytes of one process[\s\S]*\n0 findings\n/);
  expect(status).toBe(0);
}, 1_800_000);
