/** Scripts for Slurm as bash reads and runs them, without Slurm: a command that stands in for node, and one for scontrol, write down what they are called with. */
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  checkSlurmOptions,
  directive,
  gpuNotes,
  jobIdOf,
  jobName,
  mergeScript,
  overridden,
  sbatchArguments,
  type SlurmJob,
  type SlurmOptions,
  submissions,
  queuedTasks,
  type UnitList,
  unitScript,
  userDirective,
} from "../../src/cluster/slurm-scripts.js";

const folder = mkdtempSync(join(tmpdir(), "inward-slurm-scripts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A path that is shell wherever it is not quoted. */
const run = join(folder, `it's a "run" $(touch ${join(folder, "owned")}) \`id\` 100% & ;`);
const stand = join(folder, "stand-in's node");
const job = (options: SlurmOptions = {}): SlurmJob => ({
  study: 'a "study" of $(id) \\',
  planHash: "0123456789abcdef".repeat(4),
  run,
  node: stand,
  main: "main.js",
  options,
});
test("a study that was planned for processors says that GPUs would be idle, also where they are asked for", () => {
  const planned = { device: "auto", forward: "own" } as const;
  expect(gpuNotes(planned)).toEqual([expect.stringContaining("--set engine.device=cuda")]);
  expect(gpuNotes(planned, 0)[0]).not.toContain("idle");
  expect(gpuNotes(planned, 2)[0]).toContain("idle");
  expect(gpuNotes({ ...planned, device: "cpu" })).toEqual([]);
  expect(gpuNotes({ ...planned, forward: "llama.cpp" })[0]).toContain("--gpus 1");
  expect(gpuNotes({ ...planned, forward: "llama.cpp" }, 1)).toEqual([]);
});

const needs = { cpus: 2, gpus: 1, memoryBytes: 3 * 2 ** 30 };
const USAGE = expect.objectContaining({ code: "USAGE" });

beforeAll(() => {
  mkdirSync(join(run, "units/slurm"), { recursive: true });
  writeFileSync(
    join(run, "units/slurm/list.txt"),
    Array.from({ length: 7 }, (_, at) => `02-object-level/000${at}\n`).join(""),
  );
  // Says what it was called with, and ends as the test wants it: with a code, by a signal, or 75 once TERM has come.
  writeFileSync(
    stand,
    `#!/bin/bash
printf '%s\\n' "$@" >> "$SAID"
case $END in
  term) trap 'sleep 0.05; exit 75' TERM; echo ready >> "$SAID"; while :; do sleep 0.02; done;;
  kill) kill -KILL $$;;
  *) exit "$END";;
esac
`,
  );
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "bin/scontrol"), `#!/bin/bash\nprintf 'scontrol %s\\n' "$*" >> "$SAID"\n`);
  for (const path of [stand, join(folder, "bin/scontrol")]) chmodSync(path, 0o755);
});

let runs = 0;
/** @param end of the stand-in @returns the script's code, and what was said in its course */
async function ran(
  text: string,
  args: readonly string[],
  end: string,
  env: Readonly<Record<string, string>> = {},
  told = 0,
) {
  const path = join(folder, `script-${++runs}.sh`);
  const said = join(folder, `said-${runs}`);
  writeFileSync(path, text);
  writeFileSync(said, "");
  const child = spawn("bash", [path, ...args], {
    cwd: folder,
    env: {
      PATH: `${join(folder, "bin")}:${process.env.PATH}`,
      SAID: said,
      END: end,
      SLURM_JOB_ID: "77",
      SLURM_ARRAY_TASK_ID: "1",
      ...env,
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let errors = "";
  child.stderr?.on("data", (text) => {
    errors += text;
  });
  const ended = new Promise<number | null>((done) => child.on("close", done));
  for (let times = 0; times < told; times++) {
    while (!readFileSync(said, "utf8").includes("ready")) await wait(10);
    child.kill("SIGTERM");
    await wait(10);
  }
  return { code: await ended, said: readFileSync(said, "utf8").trimEnd().split("\n"), errors };
}

const REQUEUED = "scontrol requeue 77";

describe("a script", () => {
  test("is bash, whatever the study and the folder are called", () => {
    for (const text of [unitScript(job(), "asked", needs), mergeScript(job({ sbatch: ["--constraint=a|b"] }), needs)]) {
      const path = join(folder, "checked.sh");
      writeFileSync(path, text);
      execFileSync("bash", ["-n", path]);
    }
  });

  test("does the units of its task, each an argument of its own, and nothing of a name is shell", async () => {
    const text = unitScript(job({ unitsPerTask: 2 }), "asked", needs);
    const { code, said, errors } = await ran(text, ["list.txt", "1"], "0");
    expect({ code, errors }).toEqual({ code: 0, errors: "" });
    // The second task, two units each, of a list that begins with line 1.
    expect(said).toEqual(["main.js", "unit", run, "02-object-level/0003", "02-object-level/0004"]);
    expect(existsSync(join(folder, "owned"))).toBe(false);
  });

  test("that is told to stop waits for what is under way, and goes back into the queue", async () => {
    const text = unitScript(job(), "trained", needs);
    expect(await ran(text, ["list.txt", "0"], "term", {}, 1)).toMatchObject({
      code: 75,
      said: expect.arrayContaining([REQUEUED]),
    });
    expect(await ran(text, ["list.txt", "0"], "term", {}, 3)).toMatchObject({
      code: 75,
      said: expect.arrayContaining([REQUEUED]),
    });
  });

  test("that is told before its work has begun goes back as well", async () => {
    const source = join(folder, "slow.sh");
    writeFileSync(source, 'echo ready >> "$SAID"\nsleep 0.2\n');
    const text = unitScript(job({ source }), "asked", needs);
    expect(await ran(text, ["list.txt", "0"], "term", {}, 1)).toMatchObject({
      code: 75,
      said: expect.arrayContaining([REQUEUED]),
    });
  });

  test("whose work was killed is tried again three times", async () => {
    const text = unitScript(job(), "measured", needs);
    expect(await ran(text, ["list.txt", "0"], "kill")).toMatchObject({
      code: 137,
      said: expect.arrayContaining([REQUEUED]),
    });
    const { code, said } = await ran(text, ["list.txt", "0"], "kill", { SLURM_RESTART_COUNT: "3" });
    expect([code, said.includes(REQUEUED)]).toEqual([137, false]);
  });

  test.each(["1", "2", "3", "130"])("whose work ends with %s is not", async (end) => {
    const { code, said } = await ran(unitScript(job(), "asked", needs), ["list.txt", "0"], end);
    expect([code, said.includes(REQUEUED)]).toEqual([Number(end), false]);
  });

  test("of a run that was cancelled does not come back", async () => {
    const stopped = join(run, "units/slurm/stopped");
    writeFileSync(stopped, "");
    const { code, said } = await ran(unitScript(job(), "asked", needs), ["list.txt", "0"], "75");
    rmSync(stopped);
    expect([code, said.includes(REQUEUED)]).toEqual([75, false]);
  });

  test("that merges names its wave", async () => {
    const { code, said } = await ran(mergeScript(job(), needs), ["2"], "0");
    expect([code, ...said]).toEqual([0, "main.js", "slurm", "merge", run, "--wave", "2"]);
  });

  test("reads the user's file first", async () => {
    const source = join(folder, "my modules.sh");
    writeFileSync(source, 'printf "sourced\\n" >> "$SAID"\n');
    const { said } = await ran(unitScript(job({ source }), "asked", needs), ["list.txt", "0"], "0");
    expect(said[0]).toBe("sourced");
  });

  test("goes back into the queue whatever the user's file sets for the shell", async () => {
    const source = join(folder, "strict.sh");
    writeFileSync(source, "set -euo pipefail\n");
    const { code, said } = await ran(unitScript(job({ source }), "asked", needs), ["list.txt", "0"], "75");
    expect([code, said.includes(REQUEUED)]).toEqual([75, true]);
  });

  test("is the one that stands in the documents", () => {
    const page = readFileSync(new URL("../../docs/clusters.md", import.meta.url), "utf8");
    const shown = /```bash\n([\s\S]*?)```/.exec(page)?.[1];
    const one: SlurmJob = {
      study: "on-slurm",
      planHash: "751d208f794c".padEnd(64, "0"),
      run: "/scratch/runs/on-slurm-751d208f",
      node: "/usr/bin/node",
      main: "/scratch/inward/dist/cli/main.js",
      options: { time: "30" },
    };
    expect(unitScript(one, "asked", { cpus: 1, gpus: 0, memoryBytes: 1036 * 2 ** 20 })).toBe(shown);
  });

  test("asks for what the kind wants", () => {
    const text = unitScript(job({ partition: "gpu", time: "4:00:00", warningSeconds: 300 }), "asked", needs);
    for (const line of [
      "--cpus-per-task=2",
      "--mem=3072M",
      "--gres=gpu:1",
      "--partition=gpu",
      "--time=4:00:00",
      "--signal=B:TERM@300",
      "--requeue",
    ])
      expect(text.split("\n")).toContain(`#SBATCH ${line}`);
    expect(mergeScript(job(), needs)).not.toContain("gres");
  });
});

describe("what a user writes", () => {
  test.each([
    ["a name", "gpu", "#SBATCH --partition=gpu"],
    ["a name with spaces and quotes", 'a "b" c\\', '#SBATCH --partition="a \\"b\\" c\\\\"'],
    ["shell", "$(id);`id`", '#SBATCH --partition="$(id);`id`"'],
  ])("%s stands on its line as one value", (_, value, line) => expect(directive("partition", value)).toBe(line));

  test.each(["a\nid", "a\rid", "a\0b", "\u0085"])("%j cannot stand on a line", (value) => {
    expect(() => directive("partition", value)).toThrow(USAGE);
    expect(() => unitScript(job({ account: value }), "asked", needs)).toThrow(USAGE);
    expect(() => userDirective(`--constraint=${value}`)).toThrow(USAGE);
  });

  test.each([
    "id",
    "-p gpu",
    "--array=1-9",
    "--output=/x",
    "--wrap=id",
    "--Constraint=a",
    "",
    "--",
    "--a b\nid",
    "--arr=1-9",
    "--job=x",
    "--no-req",
    "--clusters=all",
  ])("%j is no further option", (text) => {
    expect(() => userDirective(text)).toThrow(USAGE);
  });

  test("jobs of two folders of one plan have two names", () => {
    expect(jobName({ planHash: "0".repeat(64), run: "/a" })).not.toBe(jobName({ planHash: "0".repeat(64), run: "/b" }));
  });

  test("what a script says no variable says otherwise", () => {
    expect(overridden("#!/bin/bash\n#SBATCH --time=30\n#SBATCH --gpus-per-node=1\necho\n")).toEqual(
      expect.arrayContaining(["SBATCH_TIMELIMIT", "SBATCH_GPUS_PER_NODE", "SBATCH_ARRAY_INX"]),
    );
    expect(overridden("#SBATCH --time=30\n")).not.toContain("SBATCH_PARTITION");
  });

  test.each([
    ["17\n", "17"],
    ["17;cluster\n", "17"],
    ["sbatch: lua: 3 jobs are yours\n\n17\n", "17"],
    ["Submitted batch job 17\n", undefined],
    ["", undefined],
    ["17\n18\n", undefined],
  ])("of %j the id is %s", (said, id) => expect(jobIdOf(said)).toBe(id));

  test("one that is", () => {
    expect(userDirective("--exclusive")).toBe("#SBATCH --exclusive");
    expect(userDirective("--constraint=a100&ib")).toBe('#SBATCH --constraint="a100&ib"');
  });

  test.each<SlurmOptions>([
    { time: "soon" },
    { time: "1:2:3:4" },
    { memory: "12 G" },
    { unitsPerTask: 0 },
    { atOnce: 1.5 },
    { gpus: -1 },
  ])("%j is refused", (options) => expect(() => checkSlurmOptions(options)).toThrow(USAGE));
});

describe("what is submitted", () => {
  const ids = (wave: number, count: number) => Array.from({ length: count }, (_, at) => `${wave}/${at}`);
  const lists: readonly UnitList[] = [
    { wave: 0, kind: "asked", ids: ids(0, 2500) },
    { wave: 1, kind: "trained", ids: ids(1, 2) },
    { wave: 2, kind: "asked", ids: ids(2, 3) },
    { wave: 2, kind: "measured", ids: ["2/m"] },
  ];
  const lines = (list: ReturnType<typeof submissions>) =>
    list.map((one) =>
      sbatchArguments(one, (at) => `J${at}`)
        .slice(1)
        .join(" "),
    );

  test("arrays of at most a thousand, each wave's merge after all of them, the next wave after the merge", () => {
    expect(lines(submissions(lists, () => true, {}, 1000))).toEqual([
      "--array=0-999 asked.sh wave-0.asked.txt 0",
      "--array=0-999 asked.sh wave-0.asked.txt 1000",
      "--array=0-499 asked.sh wave-0.asked.txt 2000",
      "--dependency=afterany:J0:J1:J2 --kill-on-invalid-dep=yes merge.sh 0",
      "--dependency=afterok:J3 --kill-on-invalid-dep=yes --array=0-1 trained.sh wave-1.trained.txt 0",
      "--dependency=afterany:J4 --kill-on-invalid-dep=yes merge.sh 1",
      "--dependency=afterok:J5 --kill-on-invalid-dep=yes --array=0-2 asked.sh wave-2.asked.txt 0",
      "--dependency=afterok:J5 --kill-on-invalid-dep=yes --array=0 measured.sh wave-2.measured.txt 0",
      "--dependency=afterany:J6:J7 --kill-on-invalid-dep=yes merge.sh 2",
    ]);
  });

  test("again, only what is missing, by the same lines of the same lists", () => {
    const missing = new Set(["0/3", "0/4", "0/7", "0/1999", "2/m"]);
    const list = submissions(lists, (id) => missing.has(id), { atOnce: 8 }, 1000);
    expect(lines(list)).toEqual([
      "--array=3-4,7%8 asked.sh wave-0.asked.txt 0",
      "--array=999%8 asked.sh wave-0.asked.txt 1000",
      "--dependency=afterany:J0:J1 --kill-on-invalid-dep=yes merge.sh 0",
      "--dependency=afterok:J2 --kill-on-invalid-dep=yes --array=0%8 measured.sh wave-2.measured.txt 0",
      "--dependency=afterany:J3 --kill-on-invalid-dep=yes merge.sh 2",
    ]);
    expect(list.map(({ units }) => units)).toEqual([3, 1, undefined, 1, undefined]);
  });

  test("where no unit is missing the last merge alone", () => {
    expect(lines(submissions(lists, () => false, {}, 1000))).toEqual(["merge.sh 2"]);
  });

  test("every unit is in one task, as the script reads the list", () => {
    const unitsPerTask = 7;
    const seen = submissions(lists, () => true, { unitsPerTask }, 100).flatMap(
      ({ what, arguments: own, wave, kind }) => {
        if (what === "merge") return [];
        const { ids: all } = lists.find((one) => one.wave === wave && one.kind === kind) as UnitList;
        const tasks = Array.from({ length: queuedTasks(`1_[${own[0]?.replace("--array=", "")}]`) }, (_, at) => at);
        return tasks.flatMap((task) => all.slice(Number(own[3]) + task * unitsPerTask).slice(0, unitsPerTask));
      },
    );
    expect([...seen].sort()).toEqual(lists.flatMap((list) => list.ids).sort());
  });

  test.each([
    ["12", 1],
    ["12_3", 1],
    ["12_[1-5,8%2]", 6],
    ["12_[0-999]", 1000],
  ])("squeue's %s is %i tasks", (id, tasks) => expect(queuedTasks(id)).toBe(tasks));
});
