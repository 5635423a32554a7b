// A study of thousands of units, done by processes as a scheduler starts them (each takes the next few units of a list, nothing else), put together
// wave by wave, and held against one process's bytes: node validation/many-units.mjs [--strings 430] [--properties first_character] [--per-task 25] [--at-once 2] [--in folder]
// Two planted models, two tasks, a question a group and a group a unit: 430 strings of a task come to 2,642 units.
// With --in it goes on where it was stopped. Exit code 4 where a byte differs.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { bytesOf, startInward } from "./inward-processes.mjs";

const { values } = parseArgs({
  options: {
    strings: { type: "string", default: "430" },
    properties: { type: "string", default: "first_character" },
    "per-task": { type: "string", default: "25" },
    "at-once": { type: "string", default: String(availableParallelism()) },
    in: { type: "string" },
  },
});
const folder = values.in === undefined ? mkdtempSync(join(tmpdir(), "inward-many-units-")) : resolve(values.in);
mkdirSync(folder, { recursive: true });
const env = {
  INWARD_MODELS: join(folder, "models"),
  XDG_CACHE_HOME: join(folder, "cache"),
  INWARD_ANSWER_CACHE: "off",
};
const hasTime = existsSync("/usr/bin/time");
/** @returns what it wrote, seconds, and where the system tells, its peak of memory in MB */
async function inward(args, { isTimed = false } = {}) {
  const begun = performance.now();
  const before = isTimed && hasTime ? `exec /usr/bin/time -f %M -o ${join(folder, "peak")} "$0" "$@"` : "";
  const { status, output } = await startInward(args, { cwd: folder, env, before }).ended;
  if (status !== 0)
    throw new Error(`inward ${args.slice(0, 3).join(" ")} ended with ${status}: ${output.slice(-2000)}`);
  const peak = before === "" ? undefined : Number(readFileSync(join(folder, "peak"), "utf8").trim()) / 1000;
  return { output, seconds: (performance.now() - begun) / 1000, peak };
}

const heldOut = Math.round(Number(values.strings) * (230 / 430));
const ofTask = `trainStrings: ${Number(values.strings) - heldOut}, heldOutStrings: ${heldOut}, examples: false`;
writeFileSync(
  join(folder, "many.yaml"),
  `
study: many
seed: 3
experiments: [self_prediction, cross_prediction]
models: { one: { source: one/planted.gguf }, two: { source: two/planted.gguf } }
tasks: [{ task: animals_long, ${ofTask} }, { task: english_words_long, ${ofTask} }]
properties: [${values.properties}]
predictions:
  - { predictor: one, target: one }
  - { predictor: two, target: one }
  - { predictor: two, target: two }
hypothetical: { variants: [minimal], maxTokens: 2 }
engine: { device: cpu, threads: 1, groupQuestions: 1 }
noiseFloor: { questions: 2 }
score: { bootstrapReplicates: 100 }
`,
);
for (const [name, mechanism] of Object.entries({ one: "A", two: "B" })) {
  if (existsSync(join(folder, name))) continue;
  await inward(["probe", "planted", "--mechanism", mechanism, "--items", "5", "--out", name]);
}
const study = ["many.yaml", "--offline"];
const whole = await inward(["run", ...study, "--out", "whole"], { isTimed: true });
console.log(`one process: ${whole.seconds.toFixed(0)} s, ${whole.peak?.toFixed(0)} MB at most`);
const planned = await inward(["slurm", ...study, "--out", "shared", "--unit-questions", "1"], { isTimed: true });
console.log(`cut into units in ${planned.seconds.toFixed(1)} s`);

/** Units by wave, and whether all is put together. */
async function unitsNow() {
  const { output } = await inward(["units", "shared", "--json"]);
  return JSON.parse(output.slice(output.indexOf("{"), output.lastIndexOf("}") + 1));
}

let [units, processes, working, merging, most] = [0, 0, 0, 0, 0];
for (let wave = 0; ; wave++) {
  const { units: all, stages } = await unitsNow();
  units = all.length;
  if (stages.every(({ finished }) => finished)) break;
  const ids = all.filter((unit) => unit.wave === wave && unit.state !== "done").map(({ id }) => id);
  const begun = performance.now();
  const tasks = [];
  while (ids.length > 0) tasks.push(ids.splice(0, Number(values["per-task"])));
  processes += tasks.length;
  const left = tasks.length;
  await Promise.all(
    Array.from({ length: Number(values["at-once"]) }, async () => {
      for (let task = tasks.shift(); task; task = tasks.shift()) await inward(["unit", "shared", ...task]);
    }),
  );
  working += (performance.now() - begun) / 1000;
  const merged = await inward(["merge", "shared"], { isTimed: true });
  merging += merged.seconds;
  most = Math.max(most, merged.peak ?? 0);
  console.log(
    `wave ${wave}: ${left} processes, then merged in ${merged.seconds.toFixed(1)} s, ${merged.peak?.toFixed(0)} MB`,
  );
}
const isSame = bytesOf(join(folder, "whole")) === bytesOf(join(folder, "shared"));
console.log(
  `${units} units, ${processes} processes, ${working.toFixed(0)} s (${(units / working).toFixed(1)} units/s with ${values["at-once"]} at once); ` +
    `merged in ${merging.toFixed(1)} s (${(units / merging).toFixed(0)} units/s), ${most.toFixed(0)} MB at most; ${isSame ? "the same bytes" : "OTHER BYTES"}`,
);
if (isSame && values.in === undefined) rmSync(folder, { recursive: true, force: true });
else console.log(folder);
process.exitCode = isSame ? 0 : 4;
if (!isSame) spawnSync("diff", ["-rq", "whole", "shared"], { cwd: folder, stdio: "inherit" });
