/** The training rate of an earlier run: of the same base, threads and processor, or none. */
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { exampleCard } from "../helpers/adapter-card.js";
import { earlierTraining } from "../../src/run/estimate/rates.js";

let runs: string;
const cpu = cpus()[0]?.model;

/** Checksums of two bases. */
const [AA, BB] = ["aa".repeat(32), "bb".repeat(32)];

async function run(
  name: string,
  base: string,
  machine: { readonly cpu: string | undefined; readonly threads: number },
  rates: readonly number[],
): Promise<void> {
  await mkdir(join(runs, name, "05-adapters"), { recursive: true });
  const example = exampleCard();
  const card = exampleCard({
    base: { ...example.base, sha256: base },
    machine: { ...example.machine, threads: machine.threads, cpu: machine.cpu ?? "" },
  });
  await writeFile(join(runs, name, "05-adapters", "a.card.json"), JSON.stringify(card));
  const events = rates.map((rate) => ({ event: "training_step", adapter: "a", evaluatedTokensPerSecond: rate }));
  await writeFile(join(runs, name, "events.jsonl"), events.map((event) => `${JSON.stringify(event)}\n`).join(""));
}

beforeAll(async () => {
  runs = await mkdtemp(join(tmpdir(), "inward-runs-"));
  await run("study-1", AA, { cpu, threads: 2 }, [10, 20, 30]);
  await run("study-2", AA, { cpu: "another processor", threads: 2 }, [99]);
  await run("study-3", BB, { cpu, threads: 2 }, [50]);
  await run("study-4", AA, { cpu, threads: 4 }, []);
  await mkdir(join(runs, "study-5"));
  await writeFile(join(runs, "study-6"), "no folder");
});

test("is the last step's of a run that fits", async () => {
  expect(await earlierTraining(runs, AA, 2)).toEqual({ evaluatedTokensPerSecond: 30, run: join(runs, "study-1") });
  expect(await earlierTraining(runs, BB, 2)).toMatchObject({ evaluatedTokensPerSecond: 50 });
});

test("is missing where no run fits", async () => {
  expect(await earlierTraining(runs, AA, 4)).toBeUndefined();
  expect(await earlierTraining(runs, "cc".repeat(32), 2)).toBeUndefined();
  expect(await earlierTraining(join(runs, "none"), AA, 2)).toBeUndefined();
});
