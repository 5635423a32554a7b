// What sharing a run out costs. Every measurement is a process of its own, from the command to its end.
// node bench/units.mjs launch <study.yaml> [rounds=3] [units of so many questions=1]
//   one process, one worker with whole states as units, one with the smallest, four with whole states, in alternation; the least of each
// node bench/units.mjs merge <finished run with a calibration and a matrix> [rows=10000000] [bytes a row=300]
//   made-up shards of its distributions, as many as it has units, put together: seconds and the process's greatest memory
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  createWriteStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { finished } from "node:stream/promises";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
process.env.INWARD_ANSWER_CACHE = "off";
const [what, path, ...rest] = process.argv.slice(2);
const scratch = mkdtempSync(join(tmpdir(), "inward-bench-units-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

if (what === "launch" && path) await launch(path, Number(rest[0] ?? 3), rest[1] ?? "1");
else if (what === "merge" && path) await merge(path, Number(rest[0] ?? 1e7), Number(rest[1] ?? 300));
else {
  process.stderr.write("usage: node bench/units.mjs launch <study.yaml> … | merge <run> …\n");
  process.exit(2);
}

/** Seconds of the wall, of processors (children included), and greatest resident memory of the process itself, bytes. */
async function timed(args, cwd) {
  const begun = performance.now();
  const command = ["-f", "%U %S %M", "-o", join(scratch, "time"), process.execPath, MAIN, ...args];
  const child = spawn("/usr/bin/time", command, { cwd, stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr.on("data", (text) => {
    errors = (errors + text).slice(-1000);
  });
  const code = await new Promise((done) => child.on("close", done));
  if (code !== 0) throw new Error(errors);
  const [user, system, kilobytes] = readFileSync(join(scratch, "time"), "utf8")
    .trim()
    .split("\n")
    .at(-1)
    .split(" ")
    .map(Number);
  return { wall: (performance.now() - begun) / 1000, cpu: user + system, bytes: kilobytes * 1024 };
}

async function launch(study, rounds, smallest) {
  const ways = {
    "one process": [],
    "1 worker, whole states": ["--workers", "1", "--unit-questions", "1000000"],
    "1 worker, smallest units": ["--workers", "1", "--unit-questions", smallest],
    "4 workers, whole states": ["--workers", "4", "--unit-questions", "1000000"],
  };
  const best = {};
  const units = {};
  for (let round = 0; round < rounds; round++) {
    for (const [way, options] of Object.entries(ways)) {
      const out = join(scratch, `run-${round}-${Object.keys(ways).indexOf(way)}`);
      const took = await timed(["run", resolve(study), "--out", out, ...options], dirname(resolve(study)));
      const events = readFileSync(join(out, "events.jsonl"), "utf8");
      units[way] = events.split('"event":"unit_done"').length - 1;
      if (!best[way] || took.wall < best[way].wall) best[way] = took;
      rmSync(out, { recursive: true });
    }
  }
  for (const [way, { wall, cpu }] of Object.entries(best)) {
    process.stdout.write(`${way}: ${wall.toFixed(2)} s, ${cpu.toFixed(2)} s of processors, ${units[way]} units\n`);
  }
  const [few, many] = ["1 worker, whole states", "1 worker, smallest units"];
  const each = (best[many].wall - best[few].wall) / (units[many] - units[few]);
  const once = best[few].wall - best["one process"].wall;
  process.stdout.write(
    `a unit more costs ${(1000 * each).toFixed(0)} ms, ${((100 * each) / 60).toFixed(3)} % of a minute (${(1 / each).toFixed(1)} empty units a second); ` +
      `a launcher and its worker ${once.toFixed(2)} s once; 4 workers / 1 worker: ${(best["4 workers, whole states"].wall / best[few].wall).toFixed(2)}\n`,
  );
}

async function merge(finishedRun, rows, bytes) {
  const from = (name) => import(new URL(`../dist/${name}`, import.meta.url).href);
  const [{ RunFolder }, { inputsOf }, { cutStages }, shards, { stagesOf }] = await Promise.all(
    ["run/folder.js", "run/run-stages.js", "cluster/units.js", "cluster/shards.js", "run/stages.js"].map(from),
  );
  const run = join(scratch, "run");
  cpSync(finishedRun, run, { recursive: true });
  // Distributions are to be put together again, and what comes behind waits for units of its own.
  const marks = JSON.parse(readFileSync(join(run, "stages.json"), "utf8"));
  const at = stagesOf((await RunFolder.look(run)).plan).findIndex(({ name }) => name === "distributions");
  for (const { writes } of stagesOf((await RunFolder.look(run)).plan).slice(at))
    for (const file of writes) delete marks[file];
  writeFileSync(join(run, "stages.json"), JSON.stringify(marks));
  const folder = await RunFolder.look(run);
  const { cut } = await shards.readSetUp(run);
  const { stage, units } = cutStages(folder.plan, cut)[at];
  const inputs = await inputsOf(folder, stage);
  const line = Buffer.from(`${"x".repeat(bytes - 1)}\n`);
  const piece = Buffer.concat(Array.from({ length: 1000 }, () => line));
  for (const unit of units) {
    const place = shards.shardPath(run, unit.id);
    mkdirSync(place, { recursive: true });
    const file = createWriteStream(join(place, "07-distributions.jsonl"));
    const hash = createHash("sha256");
    let size = 0;
    for (let left = Math.round(rows / units.length); left > 0; left -= 1000) {
      const own = left >= 1000 ? piece : piece.subarray(0, left * bytes);
      hash.update(own);
      size += own.length;
      if (!file.write(own)) await new Promise((done) => file.once("drain", done));
    }
    file.end();
    await finished(file);
    const record = {
      unit: unit.id,
      madeFrom: shards.madeFromOf(unit, inputs),
      by: { pid: 1, host: "bench", started: "1" },
      since: new Date().toISOString(),
      finished: new Date().toISOString(),
      seconds: 0,
      kept: 0,
      files: { "07-distributions.jsonl": { bytes: size, sha256: hash.digest("hex") } },
      manifest: {},
    };
    writeFileSync(join(place, "unit.json"), JSON.stringify(record));
  }
  const took = await timed(["merge", run]);
  const size = statSync(join(run, "07-distributions.jsonl")).size;
  const left = readdirSync(join(run, "units")).filter((name) => name === "07-distributions");
  if (left.length > 0) throw new Error("the shards are still there");
  process.stdout.write(
    `${rows} rows, ${(size / 1e9).toFixed(2)} GB in ${units.length} shards: ${took.wall.toFixed(1)} s, ` +
      `${took.cpu.toFixed(1)} s of processors, ${(took.bytes / 1e6).toFixed(0)} MB at most\n`,
  );
}
