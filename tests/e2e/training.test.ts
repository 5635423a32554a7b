/** Self-prediction from its YAML to its report on a tiny model: sets, training, asking again, and resumption after kill -9. */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { runStudy } from "inward";
import { findAddon } from "../../src/model/native/addon.js";
import type { Answer } from "../../src/tasks/answer.js";
import type { FinetuneExample } from "../../src/finetune/set.js";
import type { Scores } from "../../src/score/scores.js";
import type { AdapterCard } from "../../src/finetune/adapter/card.js";
import { start } from "../helpers/command-line.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { workIn } from "../helpers/work-in.js";

const NAME = "tiny-predicts-tiny";
const ADAPTER = `05-adapters/${NAME}.gguf`;
const STUDY = `
study: trained
seed: 5
models: { tiny: { source: ./tiny.gguf } }
tasks:
  - { task: animals_long, trainStrings: 24, heldOutStrings: 8, properties: [first_character, starts_with_vowel] }
  - { task: countries_long, trainStrings: 4, heldOutStrings: 8, train: false, properties: [first_character, starts_with_vowel] }
lora: { rank: 4, epochs: 3, batchExamples: 4, learningRate: 0.01, checkpointEverySteps: 2, validationShare: 0.1 }
engine: { device: cpu, threads: 1, groupQuestions: 16 }
noiseFloor: { questions: 8 }
score: { bootstrapReplicates: 200 }
`;

// Everything else works without a compiler; training does not.
const addon = await findAddon().then(
  () => true,
  () => false,
);

describe.skipIf(!addon)("a study with lora", () => {
  let folder: string;
  let whole: string;
  // One kernel for every product: which of several is fastest is measured anew, and may be another one next time.
  const run = (out: string, set: Readonly<Record<string, unknown>> = {}) => runStudy("study.yaml", { out, set });
  const read = (out: string, name: string) => readFile(join(out, name), "utf8");
  const lines = async <Row>(out: string, name: string): Promise<Row[]> =>
    (await read(out, name))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Row);

  /** The files whose bytes a run must reproduce. */
  async function results(out: string): Promise<Record<string, string>> {
    const names = (await readdir(out, { recursive: true })).filter((name) =>
      /^(0\d-.*\.(json|jsonl|gguf|html|md)|figures\/.*|stages\.json)$/.test(name),
    );
    return Object.fromEntries(
      await Promise.all(names.sort().map(async (name) => [name, await readFile(join(out, name), "base64")])),
    );
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "inward-training-"));
    // With this seed its answers vary from string to string: those that hardly vary are in no average.
    await writeTinyModel(join(folder, "tiny.gguf"), { seed: 6, contextLength: 1024 });
    await writeFile(join(folder, "study.yaml"), STUDY);
    whole = join(folder, "whole");
    const restore = workIn(folder);
    await run(whole);
    return restore;
  });

  test("writes every file of the corridor, and leaves no checkpoint", async () => {
    const names = await readdir(whole, { recursive: true });
    for (const name of [
      `04-finetune-sets/${NAME}.jsonl`,
      `04-finetune-sets/${NAME}.report.json`,
      ADAPTER,
      `05-adapters/${NAME}.card.json`,
      "06-object-level-adapted.jsonl",
      "06-behaviors-adapted.jsonl",
      "07-hypothetical.jsonl",
      "08-trials.jsonl",
      "08-scores.json",
      "09-report.html",
    ]) {
      expect(names).toContain(name);
    }
    expect(names.filter((name) => name.includes("checkpoint"))).toEqual([]);
  });

  test("trains on the set: the loss falls, and the card says on what and how", async () => {
    const card = JSON.parse(await read(whole, `05-adapters/${NAME}.card.json`)) as AdapterCard;
    const plan = JSON.parse(await read(whole, "01-plan.json"));
    const set = await lines<FinetuneExample>(whole, `04-finetune-sets/${NAME}.jsonl`);
    expect(card.settings).toEqual(plan.adapters[NAME].settings);
    expect(card.base.sha256).toBe(plan.models.tiny.sha256);
    expect(card.data.examples + card.data.validationExamples).toBe(set.length);
    const [first, last] = [card.losses[0], card.losses.at(-1)];
    expect(last?.lossNatsPerToken).toBeLessThan(0.7 * (first?.lossNatsPerToken ?? 0));
  });

  test("asks the trained model again, and what it says is not what it said", async () => {
    const adapted = await lines<Answer>(whole, "06-object-level-adapted.jsonl");
    // Train strings too: what stands beside predictions about the trained model learns what it does, and not what it did.
    const splits = adapted.map(({ state, task, split }) => `${state} ${task} ${split}`);
    const counts = [...new Set(splits)].map((one) => [one, splits.filter((other) => other === one).length]);
    expect(Object.fromEntries(counts)).toEqual({
      [`${NAME} animals_long train`]: 24,
      [`${NAME} animals_long held_out`]: 8,
      [`${NAME} countries_long train`]: 4,
      [`${NAME} countries_long held_out`]: 8,
    });
    const said = await lines<Answer>(whole, "07-hypothetical.jsonl");
    const text = (state: string) => said.filter((row) => row.state === state).map(({ reply }) => reply?.text);
    expect(text(NAME)).toHaveLength(text("tiny").length);
    expect(text(NAME)).not.toEqual(text("tiny"));
    const manifest = JSON.parse(await read(whole, "manifest.json"));
    const card = JSON.parse(await read(whole, `05-adapters/${NAME}.card.json`)) as AdapterCard;
    expect(manifest[NAME][0].adapter).toEqual({ sha256: card.adapter.sha256, scale: 1 });
    expect(manifest.tiny[0]).not.toHaveProperty("adapter");
  });

  test("scores both predictors about both behaviors, and what training changed", async () => {
    const scores = JSON.parse(await read(whole, "08-scores.json")) as Scores;
    const pairs = scores.averages.map(({ predictor, target }) => `${predictor} about ${target}`);
    expect(new Set(pairs)).toEqual(
      new Set(["tiny", NAME].flatMap((one) => [`${one} about tiny`, `${one} about ${NAME}`])),
    );
    const changed = scores.changes?.find(({ scope, kind }) => scope === "held_out_strings" && kind === "micro");
    // Gibberish complies before training only by chance; afterwards replies are single characters and truth values.
    expect(changed?.change.ok && changed.change.value).toBeGreaterThan(0);
    expect(scores.drift?.length).toBeGreaterThan(1);
  });

  test("is found again and finishes without asking or training", async () => {
    const before = await results(whole);
    await run(whole);
    expect(await results(whole)).toEqual(before);
  });

  test("knows a finished adapter by its card when the marks are lost", async () => {
    const copy = join(folder, "unmarked");
    await cp(whole, copy, { recursive: true });
    await rm(join(copy, "stages.json"));
    await rm(join(copy, "events.jsonl"));
    await run(copy);
    expect(await read(copy, "events.jsonl")).not.toContain("training_begun");
    expect(await results(copy)).toEqual(await results(whole));
  });

  test("killed in training and started again ends with the same bytes", async () => {
    const out = join(folder, "killed");
    const { child, finished } = start(["run", "study.yaml", "--out", out], { cwd: folder });
    const watch = setInterval(async () => {
      const events = await read(out, "events.jsonl").catch(() => "");
      if (events.includes("training_checkpoint")) child.kill("SIGKILL");
    }, 5);
    const { signal } = await finished;
    clearInterval(watch);
    expect(signal).toBe("SIGKILL");
    await run(out);
    expect(await results(out)).toEqual(await results(whole));
  });

  test("an adapter that was changed by hand is found", async () => {
    const copy = join(folder, "spoilt");
    await cp(whole, copy, { recursive: true });
    const bytes = await readFile(join(copy, ADAPTER));
    bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
    await writeFile(join(copy, ADAPTER), bytes);
    await expect(run(copy)).rejects.toMatchObject({ code: "STORE_CORRUPT" });
  });

  test("a set without an example is refused with its reasons", async () => {
    const tasks = [{ task: "numbers", trainStrings: 4, heldOutStrings: 4, examples: false, properties: ["is_even"] }];
    await expect(run(join(folder, "silent"), { tasks })).rejects.toMatchObject({
      code: "TRAIN_EMPTY_SET",
      message: expect.stringMatching(/numbers \(/),
    });
  });
});
