/** The training rate of an earlier run: of the same base, threads and processor, or none. */
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { earlierTraining } from "../../src/run/estimate/rates.js";

let runs: string;
const cpu = cpus()[0]?.model;

async function run(name: string, base: string, machine: object, rates: readonly number[]): Promise<void> {
  await mkdir(join(runs, name, "05-adapters"), { recursive: true });
  const card = { base: { sha256: base }, machine };
  await writeFile(join(runs, name, "05-adapters", "a.card.json"), JSON.stringify(card));
  const events = rates.map((rate) => ({ event: "training_step", adapter: "a", evaluatedTokensPerSecond: rate }));
  await writeFile(join(runs, name, "events.jsonl"), events.map((event) => `${JSON.stringify(event)}\n`).join(""));
}

beforeAll(async () => {
  runs = await mkdtemp(join(tmpdir(), "inward-runs-"));
  await run("study-1", "aa", { cpu, threads: 2 }, [10, 20, 30]);
  await run("study-2", "aa", { cpu: "another processor", threads: 2 }, [99]);
  await run("study-3", "bb", { cpu, threads: 2 }, [50]);
  await run("study-4", "aa", { cpu, threads: 4 }, []);
  await mkdir(join(runs, "study-5"));
  await writeFile(join(runs, "study-6"), "no folder");
});

test("is the last step's of a run that fits", async () => {
  expect(await earlierTraining(runs, "aa", 2)).toEqual({ evaluatedTokensPerSecond: 30, run: join(runs, "study-1") });
  expect(await earlierTraining(runs, "bb", 2)).toMatchObject({ evaluatedTokensPerSecond: 50 });
});

test("is missing where no run fits", async () => {
  expect(await earlierTraining(runs, "aa", 4)).toBeUndefined();
  expect(await earlierTraining(runs, "cc", 2)).toBeUndefined();
  expect(await earlierTraining(join(runs, "none"), "aa", 2)).toBeUndefined();
});
