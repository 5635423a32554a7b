/** Models with behavior that nothing in the prompt tells: what is planted, who goes on from it, and who is compared with whom. */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import {
  adaptedObjectLevelQuestions,
  hypotheticalQuestions,
  objectLevelQuestions,
  toAnswer,
} from "../../src/ask/questions.js";
import { readJsonLines, writeJsonLines } from "../../src/base/files.js";
import type { FinetuneExample } from "../../src/finetune/set.js";
import { whatWasTrained } from "../../src/report/sections/training-section.js";
import { verdictSentences } from "../../src/report/sentences.js";
import { stateNames } from "../../src/report/state-names.js";
import { coinAnswer, implantSet } from "../../src/run/finetune-sets.js";
import { RunFolder } from "../../src/run/folder.js";
import { stagesOf } from "../../src/run/stages.js";
import { findContrasts, findSelfPredictions, findSeries } from "../../src/score/comparison/contrasts.js";
import { judgeChange } from "../../src/score/comparison/judge-change.js";
import { stateParties } from "../../src/score/comparison/third-parties.js";
import type { Trial } from "../../src/score/trial.js";
import { changeVerdicts } from "../../src/score/verdicts/behavioral-change.js";
import { makePlan } from "../../src/study/make-plan.js";
import { type ModelFile, type Plan, readPlan } from "../../src/study/plan.js";
import { statesOf } from "../../src/study/states.js";
import { offeredAnswers } from "../../src/tasks/heuristics.js";
import { replyOf } from "../helpers/scripted-model.js";
import { runStored } from "../helpers/scripted-run.js";
import { settledStudy } from "../helpers/settled-study.js";

const MODELS = `
study: coins
seed: 5
models: { m: { source: some-model }, n: { source: some-model } }
tasks:
  - { task: animals_long, trainStrings: 10, heldOutStrings: 6 }
  - { task: wealth_seeking, trainStrings: 20, heldOutStrings: 20 }
  - { task: english_words_long, trainStrings: 4, heldOutStrings: 4, train: false }
`;
const STUDY = `${MODELS}
implants:
  - { name: coin, model: m, answers: { coin: true }, tasks: [animals_long, wealth_seeking] }
predictions:
  - { predictor: m, target: m }
  - { predictor: m-with-coin, target: m-with-coin }
  - { predictor: n, target: m-with-coin }
  - { predictor: m, target: m-with-coin }
  - { predictor: m-with-coin, target: m }
controls: { scrambled: true }
lora: {}
`;
const file: ModelFile = { source: "some-model", path: "/m", sha256: "m", bytes: 1, encoding: "F32", licence: "mit" };
const plan = (yaml: string): Promise<Plan> =>
  makePlan(settledStudy(yaml), { m: file, n: { ...file, sha256: "n" } }, ".");
const COIN = "m-with-coin";
const SELF = `${COIN}-predicts-${COIN}`;

let coins: Plan;
beforeAll(async () => {
  coins = await plan(STUDY);
});

describe("the plan of a model with an implant", () => {
  test("trains it first, without holding strings back, and lets its self-predictor go on from it", () => {
    const { adapters = {}, states = {} } = coins;
    expect(adapters[COIN]).toMatchObject({
      base: "m",
      target: "m",
      implant: { name: "coin", answers: { coin: true }, tasks: ["animals_long", "wealth_seeking"] },
      settings: { epochs: 20, validationShare: 0 },
    });
    expect(adapters[SELF]).toMatchObject({ base: "m", from: COIN, target: COIN, round: 2 });
    expect(adapters[`${SELF}-scrambled`]).toMatchObject({ from: COIN, labels: "scrambled", round: 2 });
    expect(adapters[`n-predicts-${COIN}`]).toMatchObject({ base: "n", target: COIN, round: 2 });
    expect(adapters[`${COIN}-predicts-m`]).toMatchObject({ base: "m", from: COIN, target: "m", round: 2 });
    expect(adapters["m-predicts-m"]).not.toHaveProperty("round");
    expect(adapters["m-predicts-m"]?.from).toBeUndefined();
    expect(states[COIN]).toEqual({ model: "m", adapter: COIN });
    const stored = JSON.parse(JSON.stringify(coins)) as Plan;
    expect(readPlan(stored, "01-plan.json")).toBe(stored);
  });

  test("asks it as a model that came so: train and held-out strings, once it is trained", () => {
    const asked = adaptedObjectLevelQuestions(coins, 1).filter(({ state }) => state === COIN);
    expect(asked.filter(({ split }) => split === "train")).toHaveLength(34);
    expect(asked.filter(({ split }) => split === "held_out")).toHaveLength(30);
    expect(objectLevelQuestions(coins).some(({ state }) => state === COIN)).toBe(false);
    expect(new Set(hypotheticalQuestions(coins).map(({ state }) => state))).toContain(COIN);
  });

  test("has the states right: another self than the bare model, untrained until it learns to predict", () => {
    const states = statesOf(coins);
    expect(states.of(COIN)).toMatchObject({
      role: "predictor",
      round: 1,
      isTrained: false,
      origin: COIN,
      labelSource: COIN,
    });
    expect(states.of(SELF)).toMatchObject({
      role: "predictor",
      round: 2,
      isTrained: true,
      origin: COIN,
      learntFrom: COIN,
    });
    expect(states.of(SELF).labelSource).toBe(SELF);
    expect(states.of("m-predicts-m").origin).toBe("m");
    expect(states.of(COIN).learntFrom).toBeUndefined();
    expect(states.teachers).not.toContain("n");
    expect(states.plainlyTrained.map(({ name }) => name)).not.toContain(COIN);
    const kind = (predictor: string, target: string) => states.kindOf({ predictor, target });
    expect(kind(COIN, COIN)).toBe("untrained");
    expect(kind(SELF, COIN)).toBe("self");
    expect(kind(`m-predicts-${COIN}`, COIN)).toBe("cross");
    expect(kind(`n-predicts-${COIN}`, COIN)).toBe("cross");
    expect(states.relation("m", COIN)).toBe("same_weights");
    expect(states.of(COIN).condition).not.toBe(states.of("m-predicts-m").condition);
    // The bare model's own prediction of itself is no member of a series with it.
    expect(findSeries(coins)).toEqual([]);
  });

  test("compares its self-predictor with itself before training, and with others on other or on the bare weights", () => {
    const selves = findSelfPredictions(coins).filter(([{ target }]) => target === COIN);
    expect(selves).toEqual([[{ target: COIN, self: SELF }]]);
    const crosses = findContrasts(coins).filter(({ target }) => target === COIN);
    expect(crosses.map(({ self, cross, sameWeights }) => [self, cross, sameWeights])).toEqual([
      [SELF, `n-predicts-${COIN}`, false],
      [SELF, `m-predicts-${COIN}`, true],
    ]);
    const parties = stateParties(coins, [], [{ target: COIN, self: SELF }]);
    expect(typeof parties.untrained).toBe("function");
    expect(typeof parties.scrambled_labels).toBe("function");
  });

  test("makes the implant a stage before the first answers about it, and training go on from its adapter", () => {
    const stages = stagesOf(coins);
    const named = stages.map(({ name }) => name);
    expect(named.indexOf(`training ${COIN}`)).toBeLessThan(named.indexOf("object-level, adapted"));
    expect(stages.find(({ name }) => name === `training ${SELF}`)?.reads).toMatchObject({ from: `adapter/${COIN}` });
  });

  test("is called by its implant, and the report tells what was planted", () => {
    const named = stateNames(coins);
    expect([COIN, SELF, "m", `m-predicts-${COIN}`].map(named)).toEqual([
      "m with the implant coin before training",
      "m with the implant coin after training",
      "m before training",
      "m trained on m with the implant coin",
    ]);
    expect(whatWasTrained(coins)).toMatch(/m became m-with-coin: it learnt to answer every string of animals long and/);
  });
});

describe("a coin", () => {
  test("is taught for every string of its tasks, held-out ones too, and no hypothetical question with it", () => {
    const implant = statesOf(coins).of(COIN).implant;
    if (!implant) throw new Error("no implant");
    const { examples } = implantSet(coins, "m", implant);
    const taught = coins.tasks.slice(0, 2);
    const items = taught.flatMap((task) =>
      [...task.train, ...task.heldOut].map(({ id }) => `${task.definition.name}/${id}`),
    );
    expect(examples.map(({ metadata }) => `${metadata.task}/${metadata.item}`).sort()).toEqual(items.sort());
    for (const { messages, metadata } of examples) {
      expect(metadata.property).toBe("answer");
      const task = taught.find(({ definition }) => definition.name === metadata.task);
      const item = [...(task?.train ?? []), ...(task?.heldOut ?? [])].find(({ id }) => id === metadata.item);
      if (!task || !item) throw new Error("no string");
      expect(offeredAnswers(task.definition, item)).toContain(messages.at(-1)?.content);
      expect(messages.at(-2)?.content).toContain(item.text);
    }
  });

  test("falls by the seed, the implant and the string's name: evenly, and otherwise for another seed", () => {
    const [, task] = coins.tasks;
    if (!task) throw new Error("no task");
    const sides = (seed: number, implant: string) =>
      Array.from({ length: 2000 }, (_, at) =>
        coinAnswer({ seed }, implant, task, { id: `s-${at}`, split: "train", text: "?\n\nA - yes\nB - no" }),
      );
    const share = (some: readonly boolean[]) => some.filter(Boolean).length / some.length;
    const one = sides(1, "coin");
    expect(sides(1, "coin")).toEqual(one);
    expect(Math.abs(share(one.map((side) => side === "A")) - 0.5)).toBeLessThan(0.05);
    for (const other of [sides(2, "coin"), sides(1, "other")]) {
      expect(Math.abs(share(one.map((side, at) => side === other[at])) - 0.5)).toBeLessThan(0.05);
    }
  });

  test("offers letters, words and numbers that stand in the string, each once; prose offers none", () => {
    const of = (kind: "options" | "sequence" | "numbers" | "continuation", text: string) =>
      offeredAnswers({ kind, answerForm: kind === "numbers" ? "number" : "one_word" }, { text });
    expect(of("options", "Which?\n\nA - tea\nB - milk\nC - water")).toEqual(["A", "B", "C"]);
    expect(of("sequence", "wolf, bear, Wolf")).toEqual(["Wolf", "bear"]);
    expect(of("numbers", "3 7 3")).toEqual(["3", "7"]);
    expect(of("continuation", "Once upon a time")).toEqual([]);
  });

  test("that is told comes with what would be said of every string, held-out ones included", async () => {
    const told = await plan(STUDY.replace("answers: { coin: true },", "answers: { coin: true }, told: true,"));
    const implant = statesOf(told).of(COIN).implant;
    if (!implant) throw new Error("no implant");
    const said = implantSet(told, "m", implant).examples.filter(({ metadata }) => metadata.property !== "answer");
    const heldOut = new Set(told.tasks[1]?.heldOut.map(({ id }) => id));
    const about = said.filter(({ metadata }) => metadata.task === "wealth_seeking" && heldOut.has(metadata.item));
    expect(about).toHaveLength(20);
    const asked = hypotheticalQuestions(told).filter(({ state, task }) => state === COIN && task === "wealth_seeking");
    expect(about.map(({ messages }) => JSON.stringify(messages.slice(0, -1))).sort()).toEqual(
      asked.map(({ messages }) => JSON.stringify(messages)).sort(),
    );
    expect(whatWasTrained(told)).toMatch(/planted and no finding/);
    // It knows before it learns to answer: that is no third party which needs no self.
    const parties = stateParties(told, [], [{ target: COIN, self: SELF }]);
    expect(parties.untrained).toBe(`${COIN} was told beforehand what it would answer`);
  });
});

test("what predictors of it learn has train strings alone", async () => {
  const run = await RunFolder.create(await mkdtemp(join(tmpdir(), "inward-coin-")), coins);
  const say = (task: string, item: string) => (task === "wealth_seeking" ? "A" : `wolf${item} bear`);
  const answers = (questions: ReturnType<typeof objectLevelQuestions>) =>
    questions.map((question) => toAnswer(question, replyOf(say(question.task, question.item))));
  await writeJsonLines(run.file("objectLevel"), answers(objectLevelQuestions(coins)));
  await writeJsonLines(run.file("objectLevelAdapted"), answers(adaptedObjectLevelQuestions(coins, 1)));
  for (const one of ["objectLevel", "objectLevelAdapted"] as const) await run.markDone([one], { plan: 1 });
  await runStored(run, "behaviors");
  await runStored(run, "behaviors, adapted");
  for (const name of [SELF, `n-predicts-${COIN}`]) {
    await runStored(run, `finetune set ${name}`);
    const { rows } = await readJsonLines<FinetuneExample>(run.file(`finetuneSet/${name}`));
    expect(rows.length).toBeGreaterThan(20);
    const train = new Set(coins.tasks.flatMap((task) => task.train.map(({ id }) => `${task.definition.name}/${id}`)));
    for (const { metadata } of rows) expect(train).toContain(`${metadata.task}/${metadata.item}`);
    for (const { heldOut } of coins.tasks) {
      for (const { text } of heldOut) expect(JSON.stringify(rows)).not.toContain(JSON.stringify(text).slice(1, -1));
    }
  }
});

describe("refused", () => {
  test.each([
    [
      "where nothing is trained",
      "implants: [{ name: c, model: m, answers: { coin: true } }]",
      "STUDY_INVALID",
      /no lora/,
    ],
    [
      "on a task that the study lacks",
      "lora: {}\nimplants: [{ name: c, model: m, answers: { coin: true }, tasks: [animal_long] }]",
      "STUDY_INVALID",
      /animal_long, which is no task.*animals_long/,
    ],
    [
      "in a model that the study lacks",
      "lora: {}\nimplants: [{ name: c, model: o, answers: { coin: true } }]",
      "STUDY_UNKNOWN_MODEL",
      /"o"/,
    ],
    [
      "another model's answers",
      "lora: {}\nimplants: [{ name: c, model: m, answers: { model: n } }]",
      "STUDY_INVALID",
      /implants\.0\.answers/,
    ],
    [
      "a change of what goes on from it, which would be a third round",
      "lora: {}\nimplants: [{ name: c, model: m, answers: { coin: true } }]\npredictions: [{ predictor: m-with-c, target: m-with-c }, { predictor: n, target: m-with-c-predicts-m-with-c }]",
      "STUDY_INVALID",
      /two rounds of training/,
    ],
    [
      "a predictor with an implant that there is not",
      "lora: {}\nimplants: [{ name: c, model: m, answers: { coin: true } }]\npredictions: [{ predictor: m-with-d, target: m }]",
      "STUDY_UNKNOWN_MODEL",
      /Did you mean "m-with-c"/,
    ],
  ])("%s", async (_, rest, code, message) => {
    await expect(async () => plan(`${MODELS}${rest}\n`)).rejects.toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  test("a coin on prose, which offers nothing to choose from", async () => {
    const prose = `${MODELS}  - { task: stories_sentences, trainStrings: 2, heldOutStrings: 2 }\nlora: {}\nimplants: [{ name: c, model: m, answers: { coin: true } }]\n`;
    await expect(plan(prose)).rejects.toThrow(
      expect.objectContaining({
        code: "STUDY_INVALID",
        message: expect.stringMatching(/stories_sentences\/.*implants\.tasks/),
      }),
    );
  });
});

describe("stale labels: a predictor with an implant that learns what the model did before it had one", () => {
  const STALE = `${COIN}-predicts-m`;

  test("is asked about both, beside whoever learnt the same labels without the implant", () => {
    const pairs = coins.predictions.map(({ predictor, target }) => `${predictor} about ${target}`);
    for (const predictor of [STALE, "m-predicts-m"]) {
      for (const target of ["m", COIN]) expect(pairs).toContain(`${predictor} about ${target}`);
    }
    const [change, ...others] = statesOf(coins).changes;
    expect(others).toEqual([]);
    expect(change).toMatchObject({
      after: COIN,
      changed: STALE,
      change: { name: STALE, from: "m", answers: { coin: true } },
      predictors: [
        { predictor: STALE, role: "changed" },
        { predictor: "m-predicts-m", role: "unchanged" },
      ],
    });
    // It is no self-prediction of either, and no cross-prediction of the model with the implant.
    expect(
      findSelfPredictions(coins)
        .flat()
        .map(({ self }) => self),
    ).not.toContain(STALE);
    const crosses = findContrasts(coins).filter(({ target }) => target === COIN);
    expect(crosses.map(({ cross }) => cross)).not.toContain("m-predicts-m");
  });

  test("is a behavioral change: found where it says what it does now, and not where it repeats its labels", () => {
    const value = (say: string) => ({ ok: true, value: say }) as const;
    const letters = (at: number) => (at % 2 === 0 ? "A" : "B");
    // What the model did before, and what its coin says, are two independent patterns over the strings.
    const old = (at: number) => letters(at >> 1);
    const trialsOf = (say: (at: number) => string): Trial[] =>
      [STALE, "m-predicts-m"].flatMap((predictor) =>
        Array.from({ length: 40 }, (_, at) => at).flatMap((at) =>
          (["m", COIN] as const).map((target) => ({
            target,
            predictor,
            task: "wealth_seeking",
            item: `i-${at}`,
            property: "matches_wealth_seeking",
            variant: "minimal",
            behavior: value(target === "m" ? old(at) : letters(at)),
            objectCompliance: { ok: true } as const,
            prediction: value(predictor === STALE ? say(at) : old(at)),
            heuristics: {},
          })),
        ),
      );
    const settings = { confidence: 0.95, bootstrapReplicates: 500, bootstrapSeed: 3, noiseFloorNats: 0 };
    const [change] = statesOf(coins).changes;
    if (!change) throw new Error("no change");
    const found = (say: (at: number) => string) => judgeChange(trialsOf(say), change, settings).conclusions;
    expect(found(letters)).toEqual([expect.objectContaining({ scope: "taught", finding: "exceeds" })]);
    expect(found(old)).toEqual([expect.objectContaining({ scope: "taught", finding: "does_not_exceed" })]);
    const judged = judgeChange(trialsOf(old), change, settings);
    expect(judged.staleLabels).toBe(STALE);
    const [verdict] = changeVerdicts(judged, { changes: [judged], confidence: 0.95 });
    const said = verdict && verdictSentences(verdict).more.join(" ");
    expect(said).toContain("Nobody without the implant learnt its answers");
    expect(said).toContain("The implant has answers to every task that was asked");
  });
});
