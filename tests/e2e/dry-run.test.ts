/** inward run --dry-run: what it counts is what the run then asks, and it needs no model's file. */
import { existsSync } from "node:fs";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import type { DryRun } from "../../src/run/dry-run.js";
import type { Answer } from "../../src/tasks/answer.js";
import { inward } from "../helpers/command-line.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-dry-run-"));
  await writeTinyModel(join(folder, "a.gguf"), { seed: 1, contextLength: 1024 });
  await writeFile(join(folder, "here.yaml"), study("{ a: { source: ./a.gguf } }"));
  await writeFile(
    join(folder, "away.yaml"),
    study(
      "{ a: { source: ./a.gguf }, big: { source: llama-3.3-70b-instruct }, odd: { source: ./gone.gguf } }",
      "lora: {}\n",
    ),
  );
});

const study = (models: string, more = "") => `
study: dry
models: ${models}
tasks: [{ task: numbers, trainStrings: 6, heldOutStrings: 8 }]
engine: { device: cpu, threads: 1, groupQuestions: 12 }
noiseFloor: { questions: 6 }
${more}`;

const env = () => ({ INWARD_MODELS: join(folder, "models"), HF_HOME: join(folder, "hf") });

async function dry(...args: string[]): Promise<DryRun> {
  const finished = await inward(["run", ...args, "--dry-run", "--json"], { cwd: folder, env: env() });
  if (finished.code !== 0) throw new Error(finished.stderr);
  return JSON.parse(finished.stdout) as DryRun;
}

test("counts exactly what the run then asks, in its folder", async () => {
  const planned = await dry("here.yaml");
  expect(existsSync(join(folder, "runs"))).toBe(false);
  expect(planned).toMatchObject({ tasks: 1, objectLevel: 14, hypothetical: 24 });

  const finished = await inward(["run", "here.yaml"], { cwd: folder, env: env() });
  if (finished.code !== 0) throw new Error(finished.stderr);
  const answers = async (file: string) =>
    (await readFile(join(folder, planned.folder as string, file), "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Answer);
  for (const [stage, file] of [
    ["object_level", "02-object-level.jsonl"],
    ["hypothetical", "07-hypothetical.jsonl"],
  ] as const) {
    const sized = planned.stages.find((one) => one.stage === stage);
    const asked = await answers(file);
    expect(sized).toMatchObject({ state: "a", tokens: "exact", questions: asked.length });
    expect(sized?.promptTokens).toBe(asked.reduce((sum, { reply }) => sum + (reply?.promptTokens ?? 0), 0));
    expect(sized?.generatedTokensAtMost).toBeGreaterThanOrEqual(
      // The token that ends a turn is not counted as an answer's.
      asked.reduce((sum, { reply }) => sum + (reply?.tokenIds.length ?? 0) - (reply?.stop === "max_tokens" ? 0 : 1), 0),
    );
    expect(sized?.time).toMatchObject({ ok: true, basis: "measured" });
  }
  expect(planned.models[0]).toMatchObject({ tokens: "exact", weights: { exact: true } });
});

test("of models that are elsewhere: estimates that say so, scaled times, unknown sizes with a reason, nothing fetched", async () => {
  const planned = await dry("away.yaml");
  expect(planned).toMatchObject({ folder: null, planHash: null });
  expect(planned.folderUnknown).toContain("llama-3.3-70b-instruct is not on this machine");
  const [here, big, odd] = planned.models;
  expect(here?.rates.hypothetical).toMatchObject({ ok: true, rate: { basis: "measured" } });
  expect(big).toMatchObject({ tokens: "estimate", parameters: 70_553_706_496, weights: { exact: false } });
  expect(big?.rates.hypothetical).toMatchObject({ ok: true, rate: { basis: "scaled" } });
  expect(odd?.weights).toBeUndefined();
  expect(odd?.rates.hypothetical).toMatchObject({ ok: false, reason: expect.stringContaining("how large it is") });
  // Where a path was taken to start at.
  expect(odd?.missing).toMatch(/^\/.*\/gone\.gguf does not exist$/);
  expect(planned.disk.unknown).toHaveLength(1);
  expect(planned.training.map(({ adapter, time }) => [adapter, time.ok])).toEqual([
    ["a-predicts-a", true],
    ["big-predicts-big", true],
    ["odd-predicts-odd", false],
  ]);
  expect(existsSync(join(folder, "models", "llama-3.3-70b-instruct.gguf"))).toBe(false);
});

test("--no-measure asks nothing and gives no time; what is counted is the same", async () => {
  const [measured, plain] = [await dry("here.yaml"), await dry("here.yaml", "--no-measure")];
  expect(plain.stages.every(({ time }) => !time.ok && time.reason.includes("--no-measure"))).toBe(true);
  const counts = ({ stages }: DryRun) => stages.map(({ time: _, ...rest }) => rest);
  expect(counts(plain)).toEqual(counts(measured));
  expect(plain.answerCache).toBeUndefined();
  const cached = { ...env(), INWARD_ANSWER_CACHE: join(folder, "answers") };
  const text = await inward(["run", "here.yaml", "--dry-run", "--no-measure"], { cwd: folder, env: cached });
  expect(text.stdout).toContain(`The answer cache is on (${join(folder, "answers")}, 0 B)`);
  expect(text.stdout).toContain("rate unknown: nothing was measured (--no-measure)");
  expect(text.stdout).not.toMatch(/NaN|undefined|Infinity/);
});
