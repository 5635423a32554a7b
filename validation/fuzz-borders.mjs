// Malformed inputs at each border, seeded (tests/fuzz holds the fuzzers; npm test runs some cases of each): a coded error, or what was read is
// what the file says. node validation/fuzz-borders.mjs [--border NAME ...] [--count 1000] [--seed 1] [--list]
// A process for each border: one that hangs twice longer than 10 s is ended and goes on behind the case, and its peak memory is its own.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

/** By name: the file of tests/fuzz, and the test in it. */
const BORDERS = {
  study: ["study", "a study"],
  set: ["study", "--set"],
  task: ["task", "a task"],
  chat: ["task", "chat JSONL"],
  "import-csv": ["import", "CSV"],
  "import-presets": ["import", "presets, as lines and as one array"],
  "import-parquet": ["import", "Parquet"],
  adapter: ["adapter", "a GGUF and its card"],
  peft: ["adapter", "a PEFT folder"],
  run: ["run", "a run's folder"],
  "inspect-log": ["logs", "an inspect log"],
  "lm-eval-log": ["logs", "samples of lm-evaluation-harness"],
  zstd: ["logs", "zstd"],
  "gguf-header": ["gguf", "headers of a grammar"],
  "gguf-model": ["gguf", "a model's bytes"],
  imatrix: ["gguf", "an importance matrix"],
  "base-file": ["gguf", "a base file of llama-perplexity"],
  template: ["template", "a chat template"],
  checkpoint: ["saved", "a checkpoint"],
  safetensors: ["saved", "safetensors"],
  states: ["saved", "a folder of states"],
  lens: ["lens", "a lens' file"],
  prompts: ["lists", "prompts"],
  registry: ["lists", "the registry"],
  checksums: ["lists", "remembered checksums"],
  addon: ["addon", "the addon's functions"],
};
const LONGEST_CASE_MS = 10_000;
const HANG = "a hang";
const MOST_PEAK_MIB = 1024;

const { values } = parseArgs({
  options: {
    border: { type: "string", multiple: true },
    count: { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
    list: { type: "boolean", default: false },
  },
});
for (const name of ["count", "seed"]) {
  if (!/^\d{1,9}$/.test(values[name])) throw new Error(`--${name} wants a whole number, not "${values[name]}"`);
}
const names = values.border ?? Object.keys(BORDERS);
const unknown = names.find((name) => !Object.hasOwn(BORDERS, name));
if (unknown !== undefined) throw new Error(`there is no border ${unknown}: ${Object.keys(BORDERS).join(", ")}`);

const folder = mkdtempSync(join(tmpdir(), "inward-fuzz-borders-"));
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
let failed = false;

/** @returns what its fuzzer wrote down from one case on, and how it ended: the process's code, or a hang */
async function cases(border, from) {
  const [file, test] = BORDERS[border];
  const log = join(folder, `${border}-${from}.jsonl`);
  const pattern = `${test.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`;
  const child = spawn(
    process.execPath,
    [
      "node_modules/vitest/vitest.mjs",
      "run",
      "--testTimeout=36000000",
      `--testNamePattern=${pattern}`,
      `tests/fuzz/${file}.test.ts`,
    ],
    {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      env: {
        ...process.env,
        FUZZ_SEED: values.seed,
        FUZZ_N: values.count,
        FUZZ_FROM: String(from),
        FUZZ_LOG: log,
        FUZZ_BORDER: border,
      },
    },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (text) => (output = (output + text).slice(-4000)));
  const ended = new Promise((done) => child.on("close", (code, signal) => done(signal ?? code)));
  let end;
  ended.then((code) => (end = code));
  let hangs = false;
  while (end === undefined) {
    await wait(500);
    const written = statSync(log, { throwIfNoEntry: false })?.mtimeMs;
    if (written === undefined || Date.now() - written < LONGEST_CASE_MS || inBetween(log)) continue;
    hangs = true;
    process.kill(-child.pid, "SIGKILL");
    await ended;
  }
  const lines = statSync(log, { throwIfNoEntry: false })
    ? readFileSync(log, "utf8").trim().split("\n").map(JSON.parse)
    : [];
  return { lines, end: hangs ? HANG : end, output };
}

/** Whether the last case ended: what comes after is the set-up's. */
function inBetween(log) {
  return readFileSync(log, "utf8").trimEnd().split("\n").at(-1)?.includes('"outcome"') ?? true;
}

console.log(
  "| border | inputs | refused with a code | read, and rightly | findings | crash or hang | slowest, ms | peak, MiB |",
);
console.log("|---|---:|---:|---:|---:|---:|---:|---:|");
for (const border of names) {
  const [done, findings, ends] = [[], [], []];
  let again;
  for (let from = 0; from < Number(values.count); ) {
    const { lines, end, output } = await cases(border, from);
    done.push(...lines.filter(({ outcome }) => outcome !== undefined));
    findings.push(...lines.filter(({ finding }) => finding !== undefined));
    const last = lines.at(-1);
    // A case that began and did not end took its process with it.
    if (last === undefined || (last.outcome !== undefined && last.at < Number(values.count) - 1)) {
      throw new Error(`${border} ended with ${end} outside of a case:\n${output}`);
    }
    if (last.outcome !== undefined) break;
    // On a busy machine a case may wait for its turn so long: once more.
    if (end === HANG && again !== last.at) {
      again = from = last.at;
      continue;
    }
    ends.push(`case ${last.at}: ${end}${last.input === undefined ? "" : `: ${last.input}`}`);
    from = last.at + 1;
  }
  const of = (wanted) => done.filter(({ outcome }) => wanted(outcome)).length;
  const [read, found] = [of((one) => one === "accepted"), of((one) => one === "finding")];
  const slowest = Math.round(Math.max(0, ...done.map(({ milliseconds }) => milliseconds)));
  const peak = Math.round(Math.max(0, ...done.map(({ peakKilobytes }) => peakKilobytes)) / 1024);
  const row = [border, done.length + ends.length, done.length - read - found, read, found, ends.length, slowest, peak];
  console.log(`| ${row.join(" | ")} |`);
  const codes = {};
  for (const { outcome } of done) codes[outcome] = (codes[outcome] ?? 0) + 1;
  console.error(
    `  ${border}: ${Object.entries(codes)
      .map(([code, count]) => `${code} ${count}`)
      .join(", ")}`,
  );
  for (const { finding, cause } of findings.slice(0, 12))
    console.error(`  finding: ${finding.slice(0, 300)} … ${finding.slice(-300)}\n    ${cause?.slice(0, 700)}`);
  for (const one of ends) console.error(`  ${one}`);
  failed ||= found > 0 || ends.length > 0 || peak > MOST_PEAK_MIB;
}
rmSync(folder, { recursive: true, force: true });
process.exitCode = failed ? 4 : 0;
