/** A plan that is read back: those that inward writes and has written pass untouched, an edited one is refused with its place. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { makePlan } from "../../src/study/make-plan.js";
import { type Plan, readPlan } from "../../src/study/plan.js";
import { settledStudy } from "../helpers/settled-study.js";

const STUDIES = fileURLToPath(new URL("../../studies", import.meta.url));
const file = { source: "m", path: "/a", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };

async function stored(study: string): Promise<Plan> {
  const settled = settledStudy(readFileSync(join(STUDIES, study), "utf8"));
  const plan = await makePlan(
    settled,
    Object.fromEntries(Object.keys(settled.models).map((name) => [name, file])),
    STUDIES,
  );
  return JSON.parse(JSON.stringify(plan)) as Plan;
}

test.each(readdirSync(STUDIES).filter((name) => name.endsWith(".yaml") && !name.startsWith("quantize")))(
  "the plan of %s passes untouched",
  async (study) => {
    const plan = await stored(study);
    const before = JSON.stringify(plan);
    expect(readPlan(plan, "01-plan.json")).toBe(plan);
    expect(JSON.stringify(plan)).toBe(before);
  },
);

test("an old plan passes: without states, experiments, marks of training and later settings of the engine", async () => {
  const { states: _, adapters: __, experiments: ___, ...plan } = await stored("standard.yaml");
  const { forward: ____, flashAttention: _____, blas: ______, ...engine } = plan.engine;
  const tasks = plan.tasks.map(({ trained: _, ...task }) => task);
  const old = { ...plan, engine, tasks };
  expect(readPlan(old, "01-plan.json")).toBe(old);
});

describe("refused, with what is there", () => {
  let plan: Plan;
  beforeAll(async () => {
    plan = await stored("behavioral-change.yaml");
  });
  const name = "small-predicts-small";
  const adapter = () => plan.adapters?.[name] as NonNullable<Plan["adapters"]>[string];
  const edited: [string, (whole: Plan) => unknown, RegExp][] = [
    ["another version", (whole) => ({ ...whole, planVersion: 2 }), /planVersion: .*not 2/],
    ["no object", () => [1], /the whole: .*not \[1\]/],
    ["tasks that are no list", (whole) => ({ ...whole, tasks: { a: 1 } }), /tasks: .*not \{"a":1\}/],
    ["a seed of another type", (whole) => ({ ...whole, seed: "7" }), /seed: .*not "7"/],
    ["a system message that is none", (whole) => ({ ...whole, system: null }), /system: .*not null/],
    [
      "a confidence of 2",
      (whole) => ({ ...whole, score: { ...whole.score, confidence: 2 } }),
      /score\.confidence: .*not 2/,
    ],
    [
      "an engine that was not settled",
      (whole) => ({ ...whole, engine: { ...whole.engine, engine: "auto" } }),
      /engine\.engine/,
    ],
    [
      "a missing setting of training",
      (whole) => {
        const { rank: _, ...lora } = adapter().settings.lora;
        return {
          ...whole,
          adapters: { ...whole.adapters, [name]: { ...adapter(), settings: { ...adapter().settings, lora } } },
        };
      },
      /adapters\.small-predicts-small\.settings\.lora\.rank/,
    ],
    [
      "a prediction of nobody",
      (whole) => ({ ...whole, predictions: [{ predictor: "smal", target: "small" }] }),
      /predictions\.0\.predictor: "smal" is no model state/,
    ],
    [
      "a state of no model",
      (whole) => ({ ...whole, states: { ...whole.states, x: { model: "y" } } }),
      /states\.x\.model: "y" is no model/,
    ],
    [
      "a state under no adapter",
      (whole) => ({ ...whole, states: { ...whole.states, x: { model: "small", adapter: "y" } } }),
      /states\.x\.adapter: "y" is no adapter/,
    ],
    [
      "an adapter on no model",
      (whole) => ({ ...whole, adapters: { ...whole.adapters, [name]: { ...adapter(), base: "y" } } }),
      /base: "y" is no model/,
    ],
    [
      "an adapter that learns from nobody",
      (whole) => ({ ...whole, adapters: { ...whole.adapters, [name]: { ...adapter(), target: "y" } } }),
      /target: "y" is no model state/,
    ],
    [
      "an adapter that learns from itself",
      (whole) => ({ ...whole, adapters: { ...whole.adapters, [name]: { ...adapter(), target: name } } }),
      /round: round 1 cannot learn from "small-predicts-small"/,
    ],
    [
      "an adapter whose name leaves the folder",
      (whole) => ({ ...whole, adapters: { ...whole.adapters, "../../x": adapter() } }),
      /adapters\.\.\.\/\.\.\/x/,
    ],
    [
      "a wording without words",
      (whole) => ({ ...whole, wordings: { ...whole.wordings, variants: {} } }),
      /wordings: "minimal" is no wording/,
    ],
  ];

  test.each(edited)("%s", (_, edit, words) => {
    const read = () => readPlan(edit(plan), "01-plan.json");
    expect(read).toThrow(expect.objectContaining({ code: "STORE_CORRUPT", message: expect.stringMatching(words) }));
    expect(read).toThrow(/^01-plan\.json is not a plan: /);
  });
});
