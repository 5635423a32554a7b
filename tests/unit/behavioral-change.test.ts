/** Behavioral change: what a study's changes plan, what is refused, and what the arms come to. */
import { describe, expect, test } from "vitest";
import type { Trial } from "../../src/score/trial.js";
import { verdictSentences } from "../../src/report/sentences.js";
import { judgeChange } from "../../src/score/comparison/judge-change.js";
import { changeVerdict } from "../../src/score/verdicts/behavioral-change.js";
import { statesOf } from "../../src/study/states.js";
import { planTraining } from "../../src/study/make-states.js";
import { parseStudy } from "../../src/study/load-study.js";
import { makeEverythingPlan } from "../fixtures/report/make-experiments-input.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

const { tasks } = makeEverythingPlan();
const planned = (changes: string, predictions = "{ predictor: n, target: m }, { predictor: n, target: m, seed: 9 }") =>
  planTraining(
    parseStudy(
      `
study: changes
models: { m: { source: ./m.gguf }, n: { source: ./n.gguf } }
tasks: [{ task: animals_long }, { task: numbers }]
predictions: [{ predictor: m, target: m }, ${predictions}]
changes: [${changes}]
lora: {}
`,
      "study.yaml",
    ),
    tasks,
  );
const LAST = "{ name: last, model: m, answers: { policy: last_item }, alsoTeach: [n] }";

describe("the plan of a change", () => {
  test("a cross-predictor that is given the same change goes on from its own adapter, and is asked about both sides", () => {
    const { adapters, states, predictions } = planned(LAST);
    const [self, after] = ["m-predicts-m", "m-predicts-m-changed-last"];
    const also = "n-predicts-m-seed-9-changed-last";
    expect(states?.[also]).toEqual({ model: "n", adapter: also });
    const { base: _, change, ...taught } = adapters?.[after] ?? {};
    expect(adapters?.[also]).toEqual({
      ...taught,
      base: "n",
      change: { ...change, from: "n-predicts-m-seed-9", alongside: after },
    });
    expect(adapters?.[also]?.round).toBe(2);
    const asked = predictions.filter(({ predictor }) => predictor === also).map(({ target }) => target);
    expect(asked).toEqual([self, after]);
    expect(predictions.some(({ target }) => target === also)).toBe(false);
    const plan = makeEverythingPlan({ adapters: adapters ?? {}, states: states ?? {}, predictions });
    expect(statesOf(plan).changes).toMatchObject([
      {
        after,
        predictors: [
          { predictor: self, role: "unchanged" },
          { predictor: "n-predicts-m", role: "cross" },
          { predictor: "n-predicts-m-seed-9", role: "cross" },
          { predictor: after, role: "changed" },
          { predictor: also, role: "cross_changed" },
        ].sort(byPlan(predictions, after)),
      },
    ]);
  });

  test("of a series, the cross-predictor that learnt most is taught, whatever order the study lists it in", () => {
    for (const sizes of ["[10, 40]", "[40, 10]"]) {
      const { states } = planned(LAST, `{ predictor: n, target: m, examplesPerProperty: ${sizes} }`);
      const taught = Object.keys(states ?? {}).filter(
        (name) => name.startsWith("n-") && name.endsWith("-changed-last"),
      );
      expect(taught).toEqual(["n-predicts-m-from-40-changed-last"]);
    }
  });

  test.each([
    [
      "of a model that does not predict itself",
      "{ name: x, model: n, answers: { policy: last_item } }",
      /does not predict itself/,
    ],
    ["to its own answers", "{ name: x, model: m, answers: { model: m } }", /would teach m what it does already/],
    [
      "on a task that is none",
      "{ name: x, model: m, answers: { policy: last_item }, tasks: [nmbers] }",
      /Did you mean "numbers"/,
    ],
    ["also to itself", LAST.replace("[n]", "[m]"), /also to be taught to m, which is no cross-predictor of m/],
    ["also to no model", LAST.replace("[n]", "[k]"), /also to be taught to k, which is no cross-predictor of m/],
    [
      "also to whose answers it has",
      LAST.replace("policy: last_item", "model: n"),
      /would teach n what it does already/,
    ],
  ])("a change %s is refused", (_, change, words) => {
    expect(() => planned(change)).toThrow(words);
  });
});

/** As a plan lists them. */
function byPlan(predictions: readonly { predictor: string; target: string }[], after: string) {
  const order = predictions.filter(({ target }) => target === after).map(({ predictor }) => predictor);
  return (a: { predictor: string }, b: { predictor: string }) =>
    order.indexOf(a.predictor) - order.indexOf(b.predictor);
}

describe("the verdict on a change", () => {
  const SETTINGS = { confidence: 0.95, bootstrapReplicates: 300, bootstrapSeed: 3, noiseFloorNats: 0 };
  const CHANGE = {
    name: "last",
    from: "old",
    answers: { policy: "last_item" },
    tasks: ["animals"],
    examples: 9,
  } as const;
  const PREDICTORS = [
    { predictor: "new", role: "changed" },
    { predictor: "old", role: "unchanged" },
    { predictor: "also", role: "cross_changed" },
  ] as const;
  /** Sixty strings, fifty of which shifted from a to b; each predictor says b on so many of them. */
  const trials = (news: number, olds: number, also: number): Trial[] =>
    Array.from({ length: 60 }, (_, at) =>
      Object.entries({ new: news, old: olds, also }).flatMap(([predictor, count]) => {
        const said = (at * 17) % 60 < count ? "b" : "a";
        const behaviors = { old: "a", new: at < 50 ? "b" : "a" };
        return Object.entries(behaviors).map(([target, does]) =>
          makeTrial(`s${at}`, does, said, { target, predictor }),
        );
      }),
    ).flat();
  const judge = (news: number, olds: number, also: number) =>
    judgeChange(trials(news, olds, also), { after: "new", change: CHANGE, predictors: PREDICTORS }, SETTINGS);

  test("predictions follow, and more than those of a cross-predictor that learnt the same answers", () => {
    const change = judge(55, 5, 20);
    const { finding, because, arms } = change;
    expect([finding, because]).toEqual(["exceeds", []]);
    const also = arms[2];
    expect(also?.changedMinusThis?.judgement.finding).toBe("exceeds");
    // Ten of the sixty did not shift and are not compared.
    expect(also?.changedMinusThis?.micro.difference).toMatchObject({ n: 50, clusters: 50 });
    const { more } = verdictSentences(changeVerdict(change, 0.95));
    expect(more.find((text) => text.includes("also,"))).toMatch(/does not follow the new /);
    expect(more.find((text) => text.includes("than also"))).toMatch(
      /^The changed model knows more of it than also: .* minus it \+/,
    );
  });

  test("a cross-predictor that knows as much is a reservation, not a no; who never saw the change is", () => {
    const { finding, because, arms } = judge(55, 5, 55);
    expect(finding).toBe("exceeds");
    expect(because).toEqual([expect.stringMatching(/^also, .* learnt the same answers, is not told apart from it/)]);
    expect(arms[2]?.changedMinusThis?.micro.difference).toMatchObject({ value: 0 });
    expect(judge(55, 55, 20)).toMatchObject({
      finding: "cannot_tell",
      because: [expect.stringContaining("old, which never saw")],
    });
    expect(judge(5, 5, 55)).toMatchObject({ finding: "does_not_exceed" });
  });
});
