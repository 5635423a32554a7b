/** What follows from a plan about its model states: on the plan of every study that comes with inward, and on plans of older versions. */
import { adaptedObjectLevelQuestions, objectLevelQuestions } from "../../src/ask/questions.js";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { ModelFile, Plan } from "../../src/study/plan.js";
import { makePlan } from "../../src/study/make-plan.js";
import { type State, statesOf } from "../../src/study/states.js";
import { settledStudy } from "../helpers/settled-study.js";

const STUDIES = fileURLToPath(new URL("../../studies", import.meta.url));
const file: ModelFile = { source: "m", path: "/a", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };

async function planOf(yaml: string): Promise<Plan> {
  const study = settledStudy(yaml);
  const files = Object.keys(study.models).map((name) => [name, { ...file, sha256: name }] as const);
  return makePlan(study, Object.fromEntries(files), STUDIES);
}

const shipped = (study: string) => planOf(readFileSync(join(STUDIES, study), "utf8"));
const names = (states: readonly State[]) => states.map(({ name }) => name);

describe.each(readdirSync(STUDIES).filter((name) => name.endsWith(".yaml") && !name.startsWith("quantize")))(
  "the states of %s",
  (study) => {
    test("are all that predict or are predicted, each on a model of the plan", async () => {
      const plan = await shipped(study);
      const { all } = statesOf(plan);
      expect(new Set(names(all)).size).toBe(all.length);
      for (const { predictor, target } of plan.predictions)
        expect(names(all)).toEqual(expect.arrayContaining([predictor, target]));
      for (const { model } of all) expect(Object.keys(plan.models)).toContain(model);
    });

    test("have a round where they carry an adapter, after that of what they learnt from", async () => {
      const states = statesOf(await shipped(study));
      expect(states.all.filter(({ round }) => round > 0)).toEqual(
        states.all.filter(({ isTrained, implant }) => isTrained || implant),
      );
      expect([...states.ofRound(1), ...states.ofRound(2)]).toHaveLength(states.trained.length);
      for (const { round, training, change } of states.trained) {
        expect(states.of(training.target).round).toBeLessThan(round);
        if (change) expect(states.of(change.from).round).toBeLessThan(round);
      }
    });

    test("take train labels from what they do now, where they are targets; else from a model as it came", async () => {
      const plan = await shipped(study);
      const states = statesOf(plan);
      const asked = [...objectLevelQuestions(plan), ...adaptedObjectLevelQuestions(plan)];
      for (const { name, labelSource } of states.all) {
        const isTarget = plan.predictions.some(({ target }) => target === name);
        if (isTarget) expect(labelSource).toBe(name);
        if (isTarget) expect(asked.some(({ state, split }) => state === labelSource && split === "train")).toBe(true);
      }
    });

    test("of an older plan ask what they asked, and take train labels from a model as it came", async () => {
      const { freshLabels: _, ...old } = await shipped(study);
      const states = statesOf(old);
      const teachers = new Set(states.teachers);
      for (const { labelSource } of states.all) {
        expect(states.of(labelSource).round === 0 || teachers.has(labelSource)).toBe(true);
      }
      for (const { state, split } of adaptedObjectLevelQuestions(old)) {
        if (split === "train") expect(teachers.has(state)).toBe(true);
      }
    });

    test("of one condition differ in the seed of training alone", async () => {
      const { all } = statesOf(await shipped(study));
      for (const one of all) {
        const same = all.filter(({ condition }) => condition === one.condition);
        expect(new Set(same.map(({ training }) => training?.settings.seed)).size).toBe(same.length);
        for (const { role, model, round } of same)
          expect([role, model, round]).toEqual([one.role, one.model, one.round]);
      }
    });

    test("stand in at least one pair that is told in full, never two of one condition about one target", async () => {
      const plan = await shipped(study);
      const states = statesOf(plan);
      const main = plan.predictions.filter((pair) => states.isMain(pair));
      expect(main.length).toBeGreaterThan(0);
      const keys = main.map(({ predictor, target }) =>
        [states.of(predictor).condition, states.of(target).condition, predictor === target].join(),
      );
      expect(new Set(keys).size).toBe(keys.length);
      for (const { predictor } of main) expect(states.of(predictor).role).toBe("predictor");
    });
  },
);

describe("roles", () => {
  const roles = async (study: string) =>
    Object.fromEntries(statesOf(await shipped(study)).all.map(({ name, role, round }) => [name, [role, round]]));

  test("of a study with seeds, sizes, shown examples and controls", async () => {
    expect(await roles("cross-prediction.yaml")).toEqual({
      small: ["predictor", 0],
      coarse: ["predictor", 0],
      shallow: ["predictor", 0],
      "small-predicts-small": ["predictor", 1],
      "small-predicts-small-seed-8": ["predictor", 1],
      "coarse-predicts-small": ["predictor", 1],
      "shallow-predicts-small-from-25": ["predictor", 1],
      "shallow-predicts-small-from-100": ["predictor", 1],
      "shallow-predicts-small-from-100-seed-8": ["predictor", 1],
      "shallow-shown-4-of-small": ["shown", 0],
      "shallow-shown-16-of-small": ["shown", 0],
      "shallow-predicts-shallow": ["predictor", 1],
      "small-predicts-shallow": ["predictor", 1],
      "shallow-predicts-small-predicts-small": ["predictor", 2],
      "small-predicts-small-predicts-small-seed-8": ["predictor", 2],
      "small-predicts-small-scrambled": ["control", 1],
      "small-predicts-small-format-only": ["control", 1],
      "shallow-predicts-shallow-scrambled": ["control", 1],
      "shallow-predicts-shallow-format-only": ["control", 1],
    });
  });

  test("of a study that changes behavior", async () => {
    expect(await roles("behavioral-change.yaml")).toMatchObject({
      "coarse-predicts-small": ["predictor", 1],
      "small-predicts-small-changed-last_item": ["changed", 2],
      "coarse-predicts-small-changed-last_item": ["changed", 2],
      "small-under-sailor": ["teacher", 0],
    });
  });

  test("of wordings that an adapter was not trained on", async () => {
    const states = statesOf(await shipped("self-prediction.yaml"));
    const asked = states.of("small-predicts-small-asked-bare");
    expect(asked).toMatchObject({ role: "ablation", wording: "bare", adapter: "small-predicts-small", isPlain: false });
    expect(asked.condition).not.toBe(states.of("small-predicts-small").condition);
    expect(names(states.trained)).not.toContain(asked.name);
    expect(names(states.plainlyTrained)).toEqual(["small-predicts-small", "small-predicts-small-seed-8"]);
  });
});

test("a change knows what it goes on from, who is asked about both sides, and whose labels serve its baselines", async () => {
  const states = statesOf(await shipped("behavioral-change.yaml"));
  const [first] = states.changes;
  expect(states.changes.map(({ change }) => change.name)).toEqual([
    "last_item",
    "planted",
    "shallow",
    "sailor",
    "dealt",
  ]);
  expect(first).toMatchObject({
    after: "small-predicts-small-changed-last_item",
    change: { from: "small-predicts-small", tasks: ["animals_long"] },
    predictors: [
      { predictor: "small-predicts-small-changed-last_item", role: "changed" },
      { predictor: "small-predicts-small", role: "unchanged" },
      { predictor: "coarse-predicts-small", role: "cross" },
      { predictor: "coarse-predicts-small-changed-last_item", role: "cross_changed" },
    ],
  });
  expect(states.of("coarse-predicts-small-changed-last_item").change?.alongside).toBe(first?.after);
  expect(states.of("small-predicts-small-changed-shallow").training?.target).toBe("shallow");
  // What it does now, not what it did before the change.
  expect(states.of("small-predicts-small-changed-shallow").labelSource).toBe("small-predicts-small-changed-shallow");
});

test("teachers are whoever's answers somebody learns or is shown; a rule's answers are nobody's", async () => {
  const { teachers } = statesOf(await shipped("behavioral-change.yaml"));
  expect(new Set(teachers)).toEqual(new Set(["small", "shallow", "small-under-sailor"]));
  expect(new Set(statesOf(await shipped("cross-prediction.yaml")).teachers)).toEqual(
    new Set(["small", "shallow", "small-predicts-small"]),
  );
});

test("two models from one file have the same weights, a re-encoding has derived ones", () => {
  const models: Plan["models"] = {
    m: { ...file, sha256: "aa" },
    copy: { ...file, sha256: "aa" },
    coarse: { ...file, sha256: "bb", roundedTo: { fileType: "q4_0", sha256: "aa" } },
    shallow: { ...file, sha256: "cc", layersRemoved: { sha256: "aa", of: 30, layers: [12, 13] } },
    other: { ...file, sha256: "dd" },
  };
  const states = statesOf({ models });
  expect(states.relation("m", "m")).toBe("same_state");
  expect(states.relation("m", "copy")).toBe("same_weights");
  expect(states.relation("coarse", "m")).toBe("derived_weights");
  expect(states.relation("coarse", "shallow")).toBe("derived_weights");
  expect(states.relation("other", "coarse")).toBe("other");
});

describe("plans of older versions", () => {
  test("without states: every model is its own", async () => {
    const { states: _, adapters: __, ...old } = await shipped("standard.yaml");
    const { all, trained, changes } = statesOf(old);
    expect(all).toHaveLength(1);
    expect(all[0]).toMatchObject({ name: "smollm2", model: "smollm2", role: "predictor", round: 0, isTrained: false });
    expect([trained, changes]).toEqual([[], []]);
    expect(statesOf(old).isMain({ predictor: "smollm2", target: "smollm2" })).toBe(true);
  });

  test("without rounds: everything is trained in the first", async () => {
    const plan = await shipped("quickstart.yaml");
    expect(plan.adapters?.["smollm2-predicts-smollm2"]).not.toHaveProperty("round");
    const { trained } = statesOf(plan);
    expect(trained.map(({ name, round, training }) => [name, round, training.round])).toEqual([
      ["smollm2-predicts-smollm2", 1, 1],
    ]);
  });

  test("a name that no plan lists is a model's as it came", () => {
    expect(statesOf({}).of("m")).toMatchObject({
      name: "m",
      model: "m",
      role: "predictor",
      round: 0,
      labelSource: "m",
    });
    expect(statesOf({}).kindOf({ predictor: "m", target: "n" })).toBe("untrained");
  });
});

test("states are made once for a plan", async () => {
  const plan = await shipped("quickstart.yaml");
  expect(statesOf(plan)).toBe(statesOf(plan));
});
