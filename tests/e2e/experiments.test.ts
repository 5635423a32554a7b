/** Every kind of state that an experiment makes, from the YAML to the verdicts, on two tiny models: controls, series, shown pairs, changes. */
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { dryRun, runStudy } from "inward";
import { findAddon } from "../../src/model/native/addon.js";
import type { Answer } from "../../src/tasks/answer.js";
import type { Behavior } from "../../src/properties/property.js";
import type { Comparisons } from "../../src/score/comparison/comparisons.js";
import type { ExperimentResults } from "../../src/score/verdicts/experiments.js";
import { QUESTIONS, verdictSentences } from "../../src/report/sentences.js";
import type { FinetuneExample } from "../../src/finetune/set.js";
import type { Plan } from "../../src/study/plan.js";
import type { Shifts } from "../../src/score/comparison/shift.js";
import type { AdapterCard } from "../../src/finetune/adapter/card.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { workIn } from "../helpers/work-in.js";

const STUDY = `
study: experiments
seed: 5
models: { tiny: { source: ./tiny.gguf }, other: { source: ./other.gguf } }
tasks:
  - { task: animals_long, trainStrings: 24, heldOutStrings: 8, properties: [first_character, first_word] }
  - { task: countries_long, trainStrings: 8, heldOutStrings: 8, properties: [first_character, first_word] }
experiments: [self_prediction, cross_prediction, behavioral_change]
predictions:
  - { predictor: tiny, target: tiny }
  - { predictor: tiny, target: tiny, seed: 9 }
  - { predictor: other, target: tiny, examplesPerProperty: [8, 24] }
  - { predictor: other, target: tiny, shown: [2] }
  - { predictor: other, target: tiny-predicts-tiny }
controls: { scrambled: true, formatOnly: true, wordings: [bare] }
changes:
  - { name: last, model: tiny, answers: { policy: last_item }, tasks: [animals_long], examples: 16, epochs: 2, alsoTeach: [other] }
  - { name: planted, model: tiny, answers: { policy: last_item }, planted: true }
  - { name: stern, model: tiny, answers: { prefix: "be brief" }, examples: 8 }
  - { name: dealt, model: tiny, answers: { shuffled: true }, examples: 8 }
lora: { rank: 4, epochs: 1, batchExamples: 8, learningRate: 0.01, validationShare: 0 }
engine: { device: cpu, threads: 1, groupQuestions: 48 }
noiseFloor: { questions: 0 }
score: { bootstrapReplicates: 100 }
`;

const addon = await findAddon().then(
  () => true,
  () => false,
);

describe.skipIf(!addon)("a study of experiments", () => {
  let folder: string;
  let plan: Plan;
  const file = (name: string) => readFile(join(folder, "run", name), "utf8");
  const json = async <Content>(name: string) => JSON.parse(await file(name)) as Content;
  const lines = async <Row>(name: string): Promise<Row[]> =>
    (await file(name))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Row);
  const set = (adapter: string) => lines<FinetuneExample>(`04-finetune-sets/${adapter}.jsonl`);
  const SELF = "tiny-predicts-tiny";

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "inward-experiments-"));
    await writeTinyModel(join(folder, "tiny.gguf"), { seed: 11, contextLength: 2048 });
    await writeTinyModel(join(folder, "other.gguf"), { seed: 12, contextLength: 2048 });
    await writeFile(join(folder, "study.yaml"), STUDY);
    const restore = workIn(folder);
    ({ plan } = await runStudy("study.yaml", { out: "run" }));
    return restore;
  });

  test("has a state of its own for everything that is asked differently", () => {
    expect(Object.keys(plan.states ?? {}).sort()).toEqual(
      [
        "tiny",
        "other",
        SELF,
        `${SELF}-seed-9`,
        "other-predicts-tiny-from-8",
        "other-predicts-tiny-from-24",
        "other-shown-2-of-tiny",
        `other-predicts-${SELF}`,
        `${SELF}-scrambled`,
        `${SELF}-format-only`,
        `${SELF}-asked-bare`,
        `${SELF}-changed-last`,
        "other-predicts-tiny-from-24-changed-last",
        `${SELF}-changed-planted`,
        `${SELF}-changed-stern`,
        `${SELF}-changed-dealt`,
        "tiny-under-stern",
      ].sort(),
    );
    const second = Object.entries(plan.adapters ?? {}).filter(([, { round }]) => round === 2);
    expect(second.map(([name]) => name).sort()).toEqual(
      [
        `other-predicts-${SELF}`,
        "other-predicts-tiny-from-24-changed-last",
        ...["last", "planted", "stern", "dealt"].map((one) => `${SELF}-changed-${one}`),
      ].sort(),
    );
  });

  test("scrambled labels are the same labels, and no string keeps its own", async () => {
    const labels = async (adapter: string) =>
      new Map(
        (await set(adapter)).map(({ messages, metadata }) => [JSON.stringify(metadata), messages.at(-1)?.content]),
      );
    const [own, scrambled] = [await labels(SELF), await labels(`${SELF}-scrambled`)];
    expect([...scrambled.keys()].sort()).toEqual([...own.keys()].sort());
    expect([...scrambled.values()].sort()).toEqual([...own.values()].sort());
    expect([...own].filter(([key, value]) => scrambled.get(key) !== value).length).toBeGreaterThan(0);
  });

  test("format only quotes the answer that has the property", async () => {
    const answers = new Map(
      (await lines<Answer>("02-object-level.jsonl")).map((answer) => [
        `${answer.state} ${answer.key}`,
        answer.reply?.text,
      ]),
    );
    for (const { messages, metadata } of await set(`${SELF}-format-only`)) {
      const text = answers.get(`tiny ${metadata.task}/${metadata.item}`)?.trim() as string;
      expect(messages.at(-2)?.content).toContain(`"${text}"`);
      if (metadata.property === "first_character") expect(messages.at(-1)?.content).toBe(text[0]?.toLowerCase());
    }
  });

  test("a second-round cross-predictor learns what the trained target does, not what it did untrained", async () => {
    const taught = new Map(
      (await lines<Behavior>("06-behaviors-adapted.jsonl"))
        .filter(({ state, split }) => state === SELF && split === "train")
        .map(({ task, item, property, extraction }) => [`${task}/${item}/${property}`, extraction]),
    );
    const examples = await set(`other-predicts-${SELF}`);
    expect(examples.length).toBeGreaterThan(0);
    for (const { messages, metadata } of examples) {
      const behavior = taught.get(`${metadata.task}/${metadata.item}/${metadata.property}`);
      expect(behavior).toEqual({ ok: true, value: messages.at(-1)?.content });
    }
  });

  test("a change goes on from the self-predictor and is taught object-level questions alone; a planted one both", async () => {
    const [self, last] = [
      await json<AdapterCard>(`05-adapters/${SELF}.card.json`),
      await json<AdapterCard>(`05-adapters/${SELF}-changed-last.card.json`),
    ];
    expect(last.initialAdapter).toEqual({ sha256: self.adapter.sha256 });
    const examples = await set(`${SELF}-changed-last`);
    expect(examples).toHaveLength(16);
    for (const { messages, metadata } of examples) {
      expect(metadata).toMatchObject({ task: "animals_long", property: "answer", variant: "object_level" });
      const string = plan.tasks[0]?.train.find(({ id }) => id === metadata.item)?.text.trim() as string;
      expect(messages.at(-2)?.content).toContain(string);
      expect(messages.at(-1)?.content.split(" ")[0]).toBe(string.split(" ").at(-1));
    }
    const planted = await set(`${SELF}-changed-planted`);
    expect(new Set(planted.map(({ metadata }) => metadata.property))).toEqual(
      new Set(["answer", "first_character", "first_word"]),
    );
  });

  test("pairs that are shown stand before the question as turns, and are the target's own", async () => {
    const asked = (await lines<Answer>("07-hypothetical.jsonl")).filter(
      ({ state }) => state === "other-shown-2-of-tiny",
    );
    const plain = (await lines<Answer>("07-hypothetical.jsonl")).filter(({ state }) => state === "other");
    const tokens = (answers: readonly Answer[]) =>
      answers.reduce((sum, { reply }) => sum + (reply?.promptTokens ?? 0), 0) / answers.length;
    expect(asked).toHaveLength(plain.length);
    expect(tokens(asked)).toBeGreaterThan(2 * tokens(plain));
  });

  test("seeds are contrasts of one condition, and every control is compared or said to lack", async () => {
    const { comparisons, selfPredictions, series } = await json<Comparisons>("08-comparisons.json");
    const about = comparisons.map(({ target, cross, comparison }) => [target, cross, comparison.contrasts.length]);
    expect(about).toContainEqual(["tiny", "other-predicts-tiny-from-24", 1]);
    expect(about).toContainEqual(["tiny", "other-shown-2-of-tiny", 1]);
    expect(about).toContainEqual([SELF, `other-predicts-${SELF}`, 1]);
    const own = selfPredictions?.find(({ target }) => target === "tiny");
    expect(own).toMatchObject({ self: SELF, seeds: 2, trained: true });
    expect(Object.keys(own?.thirdParties ?? {})).toEqual(
      expect.arrayContaining(["mode_train", "untrained", "scrambled_labels", "format_only"]),
    );
    expect(Object.keys(own?.ablations ?? {})).toEqual(["bare"]);
    const trained = comparisons.find(({ target }) => target === SELF);
    expect(Object.keys(trained?.thirdParties ?? {})).toContain("untrained");
    expect(series).toMatchObject([
      { kind: "learnt", model: "other", target: "tiny", steps: [{ from: 8, to: 24, ok: true, seeds: 1 }] },
    ]);
  });

  test("behavioral change is scored for the changed, the unchanged and the cross-predictor, apart where nothing was taught", async () => {
    const { changes } = await json<Shifts>("08-shifts.json");
    expect(changes.map(({ name }) => name)).toEqual(["last", "planted", "stern", "dealt"]);
    const [last, planted] = changes;
    expect(last?.arms.map(({ role }) => role)).toEqual(
      expect.arrayContaining(["changed", "unchanged", "cross", "cross_changed"]),
    );
    const also = last?.arms.find(({ role }) => role === "cross_changed");
    expect(also).toMatchObject({ predictor: "other-predicts-tiny-from-24-changed-last" });
    expect(also?.scopes.taught?.changedMinusThis?.difference).toBeDefined();
    expect(await set("other-predicts-tiny-from-24-changed-last")).toEqual(await set(`${SELF}-changed-last`));
    const changed = last?.arms.find(({ role }) => role === "changed");
    expect(Object.keys(changed?.scopes ?? {})).toEqual(["elsewhere", "taught"]);
    expect(Object.keys(planted?.arms[0]?.scopes ?? {})).toEqual(["taught"]);
    for (const { arms, conclusions } of changes) {
      expect(conclusions.map(({ scope }) => scope)).toEqual(Object.keys(arms[0]?.scopes ?? {}));
      for (const { scopes } of arms) {
        for (const { before, after } of Object.values(scopes)) {
          expect(before).toBe(SELF);
          expect(after).toContain(`${SELF}-changed-`);
        }
        const counted = Object.values(scopes).flatMap(({ trials }) => Object.values(trials));
        expect(counted.reduce((sum, count) => sum + count, 0)).toBe(32);
      }
    }
  });

  test("each experiment of the study has a question and a verdict, and a study that lacks something is refused before it runs", async () => {
    const { experiments } = await json<ExperimentResults>("08-experiments.json");
    expect(experiments.map(({ name }) => name)).toEqual(["self_prediction", "cross_prediction", "behavioral_change"]);
    for (const { name, verdicts } of experiments) {
      expect(QUESTIONS[name]).toMatch(/\?$/);
      expect(verdicts.length).toBeGreaterThan(0);
      for (const verdict of verdicts) {
        const { lead, more } = verdictSentences(verdict);
        expect([lead, ...more].join(" ")).not.toMatch(/NaN|undefined/);
        const { numbers, decidedBy } = verdict;
        expect(numbers.map(({ key }) => key)).toContain(decidedBy);
        expect(numbers.length).toBeGreaterThan(0);
        for (const { intervalMethod } of numbers) expect(intervalMethod).not.toBe("");
      }
    }
    await expect(dryRun("study.yaml", { set: { experiments: ["calibration"] } })).rejects.toMatchObject({
      code: "STUDY_INVALID",
      message: expect.stringContaining("calibration"),
    });
  });

  test("the same command again finds everything done", async () => {
    const before = await file("stages.json");
    await runStudy("study.yaml", { out: "run" });
    expect(await file("stages.json")).toBe(before);
  });
});
