/** A real run whose engine's process is really killed, or frozen, in the middle of asking. */
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { beforeAll, expect, test } from "vitest";
import { type Finished, inward, start } from "../helpers/command-line.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const RESULTS = [
  "02-object-level.jsonl",
  "07-hypothetical.jsonl",
  "07-noise-floor.json",
  "08-scores.json",
  "manifest.json",
];
const STUDY = `
study: tiny
models: { tiny: { source: ./tiny.gguf } }
tasks: [{ task: animals_long, trainStrings: 24, heldOutStrings: 24, properties: [first_word, second_character] }]
engine: { device: cpu, threads: 1, groupQuestions: 8 }
noiseFloor: { questions: 8 }
score: { bootstrapReplicates: 100 }
`;

let folder: string;
let undisturbed: string[];
const run = (out: string) => ["run", "study.yaml", "--out", out];
const results = (out: string) => Promise.all(RESULTS.map((name) => readFile(join(folder, out, name), "utf8")));

async function crashesOf(out: string): Promise<{ stage: string; attempt: number; message: string }[]> {
  const lines = (await readFile(join(folder, out, "events.jsonl"), "utf8")).trim().split("\n");
  return lines.map((line) => JSON.parse(line)).filter(({ event }) => event === "engine_crashed");
}

/** The engine's processes of a run, of which there is one at a time. */
function workersOf(pid: number): number[] {
  const table = execFileSync("ps", ["-A", "-o", "pid=,ppid=,args="], { encoding: "utf8" });
  return table.split("\n").flatMap((line) => {
    const [own, parent] = line.trim().split(/\s+/).map(Number);
    return parent === pid && line.includes("worker-main.js") ? [own as number] : [];
  });
}

/** Sends the signal to the engine once for each of the files, as soon as its first group is there and others are not. */
async function runStruck(out: string, files: readonly string[], signal: NodeJS.Signals, env = {}): Promise<Finished> {
  const { child, finished } = start(run(out), { cwd: folder, env });
  const ended = finished.then(() => true);
  for (const file of files) {
    while (!(await hasLines(join(folder, out, file)))) {
      if (await Promise.race([ended, setTimeout(5)])) throw new Error(`ended before ${file} had a line`);
    }
    const workers = workersOf(child.pid as number);
    expect(workers).toHaveLength(1);
    process.kill(workers[0] as number, signal);
  }
  return finished;
}

const hasLines = (path: string) =>
  stat(path).then(
    ({ size }) => size > 0,
    () => false,
  );

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-crash-"));
  await writeTinyModel(join(folder, "tiny.gguf"), {
    seed: 11,
    contextLength: 1024,
    blocks: 4,
    width: 128,
    feedForward: 256,
  });
  await writeFile(join(folder, "study.yaml"), STUDY);
  const finished = await inward(run("whole"), { cwd: folder });
  if (finished.code !== 0) throw new Error(finished.stderr);
  undisturbed = await results("whole");
});

test("an engine killed in two stages: the run goes on by itself and ends with the same bytes", async () => {
  const finished = await runStruck("killed", ["02-object-level.jsonl", "07-hypothetical.jsonl"], "SIGKILL");
  expect([finished.code, finished.stderr]).toEqual([0, expect.any(String)]);
  expect(await results("killed")).toEqual(undisturbed);
  expect(await crashesOf("killed")).toEqual([
    expect.objectContaining({
      stage: "object-level",
      attempt: 1,
      message: expect.stringContaining("ended by SIGKILL"),
    }),
    expect.objectContaining({
      stage: "hypothetical",
      attempt: 1,
      message: expect.stringContaining("ended by SIGKILL"),
    }),
  ]);
});

test("an engine that hangs is ended after the limit, and the run goes on with the same bytes", async () => {
  const finished = await runStruck("frozen", ["07-hypothetical.jsonl"], "SIGSTOP", { INWARD_STALL_SECONDS: "6" });
  expect([finished.code, finished.stderr]).toEqual([0, expect.any(String)]);
  expect(await results("frozen")).toEqual(undisturbed);
  const crashes = await crashesOf("frozen");
  expect(crashes).toEqual([
    expect.objectContaining({ stage: "hypothetical", message: expect.stringContaining("no reply for 6 s") }),
  ]);
});
