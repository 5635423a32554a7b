/** Logprob differences from real weights: the sums that scoring gives alone, and the same bytes after an interruption between groups. */
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { logprobQuestions, type MeasuredLogprobDifference } from "../../src/ask/logprob-differences.js";
import { startEngine } from "../../src/model/engines/start-engine.js";
import type { LanguageModel } from "../../src/model/language-model.js";
import type { Plan } from "../../src/study/plan.js";
import { makePlan } from "../../src/study/make-plan.js";
import { EventLog, RunFolder } from "../../src/run/folder.js";
import { runStages } from "../../src/run/run-stages.js";
import { readJsonLines } from "../../src/base/files.js";
import { only } from "../helpers/scripted-run.js";
import { settledStudy } from "../helpers/settled-study.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const STUDY = `
study: differences
models: { tiny: { source: ./tiny.gguf } }
tasks:
  - { task: animals_long, trainStrings: 4, heldOutStrings: 5, properties: [first_word] }
  - { task: myopic_reward, trainStrings: 0, heldOutStrings: 2 }
engine: { device: cpu, threads: 1, groupQuestions: 10 }
`;
const ROUNDING_NATS = 2e-5;

let folder: string;
let plan: Plan;
let model: LanguageModel;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-differences-"));
  const path = join(folder, "tiny.gguf");
  const { bytes, sha256 } = await writeTinyModel(path, { seed: 9, contextLength: 1024 });
  const file = { source: path, path, sha256, bytes, encoding: "F32", licence: "mit" };
  plan = { ...(await makePlan(settledStudy(STUDY), { tiny: file }, folder)), experiments: ["matrix"] };
  model = await startEngine(path, plan.engine);
});
afterAll(() => model.dispose());

/** @param stopAfter groups; then the next one is interrupted */
async function measure(run: RunFolder, stopAfter = Number.POSITIVE_INFINITY): Promise<number> {
  const abort = new AbortController();
  let groups = 0;
  const counted: LanguageModel = {
    ...model,
    check: (requests) => model.check(requests),
    score: (requests, options) => {
      if (groups++ === stopAfter) abort.abort();
      return model.score(requests, options);
    },
  };
  await runStages(
    {
      run,
      events: new EventLog(run.file("events")),
      modelFor: async () => counted,
      reopenModel: async () => counted,
      closeModel: async () => {},
      modelPath: () => "",
      onProgress: () => {},
      signal: abort.signal,
    },
    only("logprob differences"),
  );
  return groups;
}

test("sums over tokens as scored alone; options have none; interrupted, it ends with the same bytes", async () => {
  const whole = await RunFolder.create(join(folder, "whole"), plan);
  expect(await measure(whole)).toBe(3);
  const { rows } = await readJsonLines<MeasuredLogprobDifference>(whole.file("logprobDifferences"));
  const questions = logprobQuestions(plan);
  expect(rows.map(({ key }) => key)).toEqual(questions.map(({ key }) => key));
  expect(new Set(rows.map(({ task }) => task))).toEqual(new Set(["animals_long"]));
  for (const [at, { direct, meta }] of rows.entries()) {
    const found = [direct.first.logprob, direct.second.logprob];
    for (const { inOrder, swapped } of meta) found.push(inOrder.one, inOrder.two, swapped.one, swapped.two);
    const alone = (await Promise.all((questions[at]?.requests ?? []).map((request) => model.score([request])))).flat(2);
    const sums = alone.map(({ logprobs }) => logprobs.reduce((sum, one) => sum + one, 0));
    expect(found).toHaveLength(sums.length);
    for (const [index, sum] of sums.entries()) {
      expect(Math.abs((found[index] as number) - sum)).toBeLessThan(ROUNDING_NATS);
    }
    expect([direct.first.tokens, direct.second.tokens]).toEqual(
      alone.slice(0, 2).map(({ tokenIds }) => tokenIds.length),
    );
  }

  const stopped = await RunFolder.create(join(folder, "stopped"), plan);
  await expect(measure(stopped, 1)).rejects.toThrow(expect.objectContaining({ code: "INTERRUPTED" }));
  expect(await measure(stopped)).toBe(2);
  const [first, second] = await Promise.all(
    [whole, stopped].map((run) => readFile(run.file("logprobDifferences"), "utf8")),
  );
  expect(second).toBe(first);
});
