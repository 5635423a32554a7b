// The lines for HyperQueue and Kubernetes that docs/clusters.md gives, read out of it and carried out on a tiny study: the bytes of one process.
// node validation/other-schedulers.mjs [python, with `pip install hyperqueue==0.27.0`]; exit code 4 with a finding.
// HyperQueue is the real one, by its package for Python, which has server and workers but not the command hq. Of Kubernetes there is only what its
// Job would start: each index's command, by sh.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bytesOf, Findings, MAIN, startInward } from "./inward-processes.mjs";

const [python = "python3"] = process.argv.slice(2);
const DOCS = readFileSync(new URL("../docs/clusters.md", import.meta.url), "utf8");
const findings = new Findings();
const folder = join(mkdtempSync(join(tmpdir(), "inward-schedulers-")), "mine & yours");
mkdirSync(folder);
const env = { INWARD_MODELS: join(folder, "models"), INWARD_ANSWER_CACHE: "off" };
const inward = (...args) => startInward(args, { cwd: folder, env }).ended;

/** npx, as a checkout has it. */
const bin = join(folder, "bin");
mkdirSync(bin);
writeFileSync(
  join(bin, "npx"),
  `#!/bin/sh\nshift\nexec ${JSON.stringify(process.execPath)} ${JSON.stringify(MAIN)} "$@"\n`,
  { mode: 0o755 },
);
const path = `${bin}:${process.env.PATH}`;

writeFileSync(
  join(folder, "study.yaml"),
  `
study: elsewhere
experiments: [self_prediction]
models: { one: { source: one/planted.gguf } }
tasks: [{ task: one/planted.yaml, examples: false }]
hypothetical: { variants: [minimal] }
predictions: [{ predictor: one, target: one }]
lora: { rank: 2, epochs: 2, batchExamples: 4, learningRate: 1e-3, validationShare: 0 }
engine: { device: cpu, threads: 1, groupQuestions: 4 }
noiseFloor: { questions: 4 }
score: { bootstrapReplicates: 100 }
`,
);
const made = await inward("probe", "planted", "--mechanism", "A", "--items", "4", "--out", "one");
if (made.status !== 0) throw new Error(made.output);
const whole = await inward("run", "study.yaml", "--offline", "--out", "whole");
if (whole.status !== 0) throw new Error(whole.output);
const bytes = bytesOf(join(folder, "whole"));

/** Does all lists of a run in the order of their waves, each followed by a merge. @param doList a list's file */
async function done(name, doList) {
  const prepared = await inward("slurm", "study.yaml", "--offline", "--out", name, "--unit-questions", "12");
  if (prepared.status !== 0) throw new Error(prepared.output);
  const run = join(folder, name);
  const lists = readdirSync(join(run, "units/slurm")).filter((file) => /^wave-\d+\..*\.txt$/.test(file));
  lists.sort((a, b) => Number(/\d+/.exec(a)) - Number(/\d+/.exec(b)) || (a < b ? -1 : 1));
  let units = 0;
  for (const list of lists) {
    units += readFileSync(join(run, "units/slurm", list), "utf8")
      .trim()
      .split("\n").length;
    const { status, stdout, stderr } = doList(list);
    findings.check(`${name}: ${list}`, status === 0, `${stdout}${stderr}`);
    const merged = await inward("merge", name);
    findings.check("  merged", merged.status === 0, merged.output);
  }
  const isWhole = existsSync(join(run, "09-report.html")) && bytesOf(run) === bytes;
  findings.check(`${name}: ${units} units, the bytes of one process`, isWhole && units > 4);
}

const found = spawnSync(python, ["-c", "import hyperqueue"], { encoding: "utf8" });
if (found.status !== 0) {
  findings.skip("HyperQueue", `${python} has no package hyperqueue (pip install hyperqueue==0.27.0)`);
} else {
  const line = /^hq submit .*$/m.exec(DOCS)[0];
  const script = fileURLToPath(new URL("hyperqueue_submit.py", import.meta.url));
  await done("hyperqueue", (list) =>
    spawnSync(python, [script, line.replaceAll("wave-0.asked.txt", list)], {
      cwd: folder,
      encoding: "utf8",
      // RUN is the submitting shell's own. A task has what its worker was started with.
      env: { ...process.env, ...env, PATH: path, SUBMITTER_RUN: "hyperqueue" },
    }),
  );
}

const manifest = /<<'END'\n([\s\S]*?)\nEND/.exec(DOCS)[1];
await done("kubernetes", (list) => {
  const { completionMode, template } = JSON.parse(manifest.replaceAll("wave-0.asked.txt", list)).spec;
  const [{ command, env: given }] = template.spec.containers;
  findings.check(
    "  indexed, and never begun again in one pod",
    `${completionMode} ${template.spec.restartPolicy}` === "Indexed Never",
  );
  const own = Object.fromEntries(
    given.map(({ name, value }) => [name, value.replace("/runs/study-1a2b3c4d", join(folder, "kubernetes"))]),
  );
  const tasks = readFileSync(join(folder, "kubernetes/units/slurm", list), "utf8")
    .trim()
    .split("\n").length;
  let last;
  for (let index = 0; index < tasks; index++) {
    last = spawnSync(command[0], command.slice(1), {
      cwd: folder,
      encoding: "utf8",
      env: { PATH: path, HOME: process.env.HOME, ...env, ...own, JOB_COMPLETION_INDEX: String(index) },
    });
    if (last.status !== 0) return last;
  }
  return last;
});
rmSync(join(folder, ".."), { recursive: true, force: true });
process.exitCode = findings.end();
