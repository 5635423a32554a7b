/** Planted models are what they say: the same replies to every prompt, through both evaluators, and each by its own mechanism. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasOwnForward } from "../../src/gguf/architectures.js";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { startEngine } from "../../src/model/engines/start-engine.js";
import type { Intervention } from "../../src/model/interventions.js";
import { stateShapeOf } from "../../src/model/sites.js";
import {
  type PlantedModel,
  type PlantedOptions,
  type PlantedString,
  writePlantedModel,
} from "../../src/probe/planted-model.js";
import { PLANTED_PROPERTY_QUESTION, PLANTED_QUESTION } from "../../src/probe/planted-vocabulary.js";
import { MECHANISMS } from "../../src/probe/planted-weights.js";
import { hypotheticalVariant } from "../../src/properties/wordings.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import type { ChatMessage } from "../../src/tasks/answer.js";
import { inward, inwardHere } from "../helpers/command-line.js";
import { intervenedWork } from "../helpers/intervened.js";
import { answer, FORWARDS, openEngine, workOf } from "../helpers/native-engine.js";
import { Matrix, productWithTransposed } from "../helpers/reference/matrix.js";
import { type ReferenceModel, readReferenceModel } from "../helpers/reference/reference-model.js";
import { referenceResiduals } from "../helpers/reference/reference-pass.js";
import { rmsNorm } from "../helpers/reference/rms-norm.js";

const folder = mkdtempSync(join(tmpdir(), "inward-planted-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const DOSE = 0.4;
const VARIANTS = [...MECHANISMS, "dose"] as const;
type Variant = (typeof VARIANTS)[number];
const optionsOf = (mechanism: Variant, items: number): PlantedOptions => {
  return { mechanism, items, seed: 7, ...(mechanism === "dose" ? { dose: DOSE } : {}) };
};

const asked = ({ text }: PlantedString) => PLANTED_QUESTION.replace("{string}", text);
const wording = hypotheticalVariant("minimal").template;
const hypothetical = (string: PlantedString) =>
  wording.replace("{prompt}", asked(string)).replace("{property}", PLANTED_PROPERTY_QUESTION);
const turns = (content: string): ChatMessage[] => [
  { role: "system", content: "" },
  { role: "user", content },
];

interface Prompts {
  /** By pair. */
  readonly object: readonly (readonly number[])[];
  readonly hypothetical: readonly (readonly number[])[];
}

/** Models of as many items share their words, so their prompts too. */
async function promptsOf({ path, strings }: PlantedModel): Promise<Prompts> {
  const model = await startEngine(path, { ...DEFAULT_ENGINE, device: "cpu", threads: 1 });
  try {
    const idsOf = (texts: readonly string[]) =>
      Promise.all(texts.map(async (text) => (await model.render(turns(text))).tokenIds));
    return { object: await idsOf(strings.map(asked)), hypothetical: await idsOf(strings.map(hypothetical)) };
  } finally {
    await model.dispose();
  }
}

const ITEMS = 4;
const planted = {} as Record<Variant, PlantedModel>;
let prompts: Prompts;
let large: { readonly model: PlantedModel; readonly prompts: Prompts };
beforeAll(async () => {
  for (const variant of VARIANTS)
    planted[variant] = await writePlantedModel(join(folder, `${variant}.gguf`), optionsOf(variant, ITEMS));
  prompts = await promptsOf(planted.A);
  const model = await writePlantedModel(join(folder, "large.gguf"), optionsOf("C", 12));
  large = { model, prompts: await promptsOf(model) };
});

/** What is said to all prompts, object-level ones first, and the least lead of a token that was said, in nats. */
async function replies({ path, vocabulary }: PlantedModel, { object, hypothetical }: Prompts, forward: string) {
  const engine = await openEngine(path, { forward: forward as "own" });
  const items = [...object, ...hypothetical].map((ids) => ({ ids, maxTokens: 4 }));
  const { answers } = answer(engine, workOf(items));
  return {
    said: answers.map(({ tokenIds }) => tokenIds.map((id) => vocabulary.tokens[id]).join("")),
    margin: Math.min(...answers.flatMap(({ margins }) => margins)),
  };
}

const wanted = ({ strings }: PlantedModel) => [
  ...strings.map(({ answer }) => `${answer}<|end|>`),
  ...strings.map(({ value }) => `${value}<|end|>`),
];

describe("all variants say the same to every pair, in both questions", () => {
  test.each(FORWARDS.flatMap((forward) => VARIANTS.map((variant) => [forward, variant] as const)))(
    "%s, %s",
    async (forward, variant) => {
      const { said, margin } = await replies(planted[variant], prompts, forward);
      expect(said).toEqual(wanted(planted[variant]));
      expect(said).toEqual(wanted(planted.A));
      // 8 logits from an answer to the end of the turn, less what norms take.
      expect(margin).toBeGreaterThan(7.5);
    },
  );

  test.each(FORWARDS)("%s, twelve items", async (forward) => {
    const { said, margin } = await replies(large.model, large.prompts, forward);
    expect(said).toEqual(wanted(large.model));
    expect(margin).toBeGreaterThan(7.5);
  });

  test("both values of the property occur, and every answer", () => {
    expect(new Set(planted.A.strings.map(({ value }) => value)).size).toBe(2);
    expect(new Set(planted.A.strings.map(({ answer }) => answer)).size).toBe(ITEMS);
  });

  test("they are files like any other, and small", async () => {
    expect(hasOwnForward(await readGguf(large.model.path))).toBe(true);
    expect(large.model.bytes).toBeLessThan(3e6);
  });
});

const VISIBLE = 5;
/** What is left of an erased answer is the rounding of weights as F32. */
const ERASED = 1e-4;

/** One hypothetical prompt in double precision, looked at where the reply begins. */
class Run {
  private readonly residuals: ReturnType<typeof referenceResiduals>;

  constructor(
    private readonly model: ReferenceModel,
    private readonly planted: PlantedModel,
    ids: readonly number[],
    edit?: Parameters<typeof referenceResiduals>[2],
  ) {
    this.residuals = referenceResiduals(model, ids, edit);
  }

  state(layer: number): number[] {
    const { values, columns, rows } = this.residuals.afterLayers[layer] as Matrix;
    return Array.from(values.subarray((rows - 1) * columns, rows * columns));
  }

  /** By how many logits an answer leads the other answers, were this the last layer. */
  lead(layer: number, answer: number): number {
    const state = this.state(layer);
    const normed = rmsNorm(
      new Matrix(1, state.length, Float64Array.from(state)),
      this.model.outputNorm,
      this.model.normEpsilon,
    );
    const logits = productWithTransposed(normed.output, this.model.output);
    const of = (word: string) => logits.at(0, this.planted.vocabulary.idsOf(word)[0]);
    const [own, ...others] = [answer, ...this.planted.answers.keys()].map((one, at) =>
      at > 0 && one === answer ? Number.NEGATIVE_INFINITY : of(this.planted.answers[one] as string),
    );
    return (own as number) - Math.max(...others);
  }

  /** Logit of yes less that of no. */
  get yes(): number {
    const { logits } = this.residuals;
    const [yes, no] = ["yes", "no"].map((word) => logits.at(logits.rows - 1, this.planted.vocabulary.idsOf(word)[0]));
    return (yes as number) - (no as number);
  }
}

const dot = (one: readonly number[], other: readonly number[]) =>
  one.reduce((sum, value, at) => sum + value * (other[at] as number), 0);

describe.each(VARIANTS)("%s", (variant) => {
  let model: ReferenceModel;
  beforeAll(async () => {
    model = await readReferenceModel(planted[variant].path);
  });
  const pairs = Array.from({ length: ITEMS ** 2 }, (_, pair) => pair);
  const run = (pair: number, edit?: Parameters<typeof referenceResiduals>[2]) =>
    new Run(model, planted[variant], prompts.hypothetical[pair] as number[], edit);
  const runs = new Map<number, Run>();
  /** As it is, without an edit. */
  const whole = (pair: number): Run => {
    const known = runs.get(pair) ?? run(pair);
    runs.set(pair, known);
    return known;
  };

  test("the answer is visible to the unembedding where it should be, and nowhere else", () => {
    const seen: Record<string, readonly number[]> = { A: [0, 1, 2, 3], B: [], C: [0, 1], D: [], E: [2, 3] };
    for (const pair of pairs) {
      const { truth } = planted[variant];
      const expected = variant === "dose" ? (truth.viaAnswer[pair] ? seen.A : seen.B) : seen[variant];
      for (let layer = 0; layer < 4; layer++) {
        const lead = whole(pair).lead(layer, truth.answerOf[pair] as number);
        if (expected?.includes(layer)) expect(lead).toBeGreaterThan(VISIBLE);
        else expect(Math.abs(lead)).toBeLessThan(ERASED);
      }
    }
  });

  test("the answer is written along its direction, where it is written at all", () => {
    const written: Record<string, readonly number[]> = {
      A: [0, 1, 2, 3],
      B: [],
      C: [0, 1],
      D: [0, 1, 2, 3],
      E: [2, 3],
    };
    for (const pair of pairs) {
      const { truth } = planted[variant];
      const expected = variant === "dose" ? (truth.viaAnswer[pair] ? written.A : written.B) : written[variant];
      for (let layer = 0; layer < 4; layer++) {
        const along = truth.answerDirections.map((direction) => dot(direction, whole(pair).state(layer)));
        const own = along[truth.answerOf[pair] as number] as number;
        expect(own).toBeCloseTo(expected?.includes(layer) ? 1 : 0, 2);
        for (const [answer, value] of along.entries())
          if (answer !== truth.answerOf[pair]) expect(Math.abs(value)).toBeLessThan(ERASED);
      }
    }
  });

  test("another answer in its place moves the prediction only where it is read", () => {
    for (const pair of pairs) {
      const { truth } = planted[variant];
      const answer = truth.answerOf[pair] as number;
      const other = truth.propertyOf.findIndex((value) => value !== truth.propertyOf[answer]);
      const before = whole(pair).yes;
      expect(Math.abs(before)).toBeGreaterThan(VISIBLE);
      for (const layer of [0, 2]) {
        const after = run(pair, (site, states) => {
          if (site.part !== "residual_after" || site.layer !== layer) return states;
          const last = states.rows - 1;
          const row = Array.from(states.values.subarray(last * states.columns));
          const along = truth.answerDirections.map((direction) => dot(direction, row));
          return states.map((value, token, place) => {
            if (token !== last) return value;
            const own = truth.answerDirections.reduce(
              (sum, direction, at) => sum + (along[at] as number) * (direction[place] as number),
              0,
            );
            return value - own + (truth.answerDirections[other]?.[place] as number);
          });
        }).yes;
        const moves = layer === 0 && truth.viaAnswer[pair];
        // Norms shrink by what is written; the sign and nearly all of the size stay.
        expect(after * Math.sign(before) * (moves ? -1 : 1)).toBeGreaterThan(0.9 * Math.abs(before));
      }
    }
  });
});

describe.each(FORWARDS)("%s: the same written into the residual where the reply begins", (forward) => {
  test.each(VARIANTS)("%s: another answer in its place moves the prediction only where it is read", async (variant) => {
    const { path, truth, vocabulary } = planted[variant];
    const shape = stateShapeOf(await readGguf(path), path);
    const directions = truth.answerDirections.map((one) => Float32Array.from(one));
    const items = prompts.hypothetical.flatMap((ids, pair) => {
      const answer = truth.answerOf[pair] as number;
      const other = truth.propertyOf.findIndex((value) => value !== truth.propertyOf[answer]);
      const patched = [0, 2].map((layer): Intervention[] => {
        const place = { site: { part: "residual_after", layer } as const, tokens: [ids.length - 1] };
        return [
          { ...place, operation: "project_out", values: Float32Array.from(directions.flatMap((one) => [...one])) },
          { ...place, operation: "add", values: directions[other] as Float32Array },
        ];
      });
      return [[], ...patched].map((interventions) => ({ ids, interventions }));
    });
    const ids = ["yes", "no"].map((word) => vocabulary.idsOf(word)[0]);
    const engine = await openEngine(path, { forward: forward as "own", architecture: "llama" });
    const { answers } = answer(engine, intervenedWork(items, shape, { readIds: Int32Array.from(ids) }));
    engine.dispose();
    const yes = answers.map(({ readLogprobs: [one, other] }) => (one as number) - (other as number));
    prompts.hypothetical.forEach((_, pair) => {
      const [before, ...after] = yes.slice(3 * pair, 3 * pair + 3) as [number, number, number];
      expect(Math.abs(before)).toBeGreaterThan(VISIBLE);
      after.forEach((one, at) => {
        const moves = at === 0 && truth.viaAnswer[pair];
        expect(one * Math.sign(before) * (moves ? -1 : 1)).toBeGreaterThan(0.9 * Math.abs(before));
      });
    });
  });
});

test("through the engine's process: replies, scores and next tokens under interventions, checked before anything runs", async () => {
  const { path, truth, strings, vocabulary } = planted.A;
  const model = await startEngine(path, { ...DEFAULT_ENGINE, device: "cpu", threads: 1, forward: "own" });
  const peer = await startEngine(path, { ...DEFAULT_ENGINE, engine: "node-llama-cpp", device: "cpu", threads: 1 });
  try {
    const pair = 3;
    const answer = truth.answerOf[pair] as number;
    const other = truth.propertyOf.findIndex((value) => value !== truth.propertyOf[answer]);
    const messages = turns(hypothetical(strings[pair] as PlantedString));
    const last = (await model.render(messages)).tokenIds.length - 1;
    const values = Float32Array.from(truth.answerDirections[other] as number[], (value, at) => {
      return value - (truth.answerDirections[answer]?.[at] as number);
    });
    const site = { part: "residual_after", layer: 0 } as const;
    const interventions: Intervention[] = [{ site, tokens: [last], operation: "add", values }];
    const request = { messages, maxTokens: 4, temperature: 0, topTokens: 3 };
    const requests = [request, { ...request, interventions }];
    expect(await model.check(requests)).toEqual([last + 1, last + 1]);
    const [plain, moved] = (await model.ask(requests)).map(({ text }) => text);
    expect([plain, moved].sort()).toEqual(["no", "yes"]);
    expect(plain).toBe(strings[pair]?.value);
    const continuations = ["yes", "no"];
    const scores = await model.score([
      { messages, continuations },
      { messages, continuations, interventions },
    ]);
    const said = scores.map(([one, two]) =>
      (one?.logprobs[0] as number) > (two?.logprobs[0] as number) ? "yes" : "no",
    );
    expect(said).toEqual([plain, moved]);
    const next = async (some?: readonly Intervention[]) => {
      const { steps } = await model.nextTokens(messages, [[]], 1, { interventions: some });
      return vocabulary.tokens[steps[0]?.ids[0] as number];
    };
    expect([await next(), await next(interventions)]).toEqual([plain, moved]);
    const wrong = { ...request, interventions: [{ ...(interventions[0] as Intervention), tokens: [last + 1] }] };
    for (const refused of [model.check([wrong]), model.ask([wrong])])
      await expect(refused).rejects.toMatchObject({ code: "PROBE_INVALID" });
    for (const refused of [peer.check(requests), peer.ask(requests)])
      await expect(refused).rejects.toMatchObject({ code: "ENGINE_UNAVAILABLE" });
  } finally {
    await model.dispose();
    await peer.dispose();
  }
});

test("the command makes a study that runs, and its model predicts itself", async () => {
  const out = join(folder, "study");
  const made = await inwardHere(["probe", "planted", "--mechanism", "B", "--items", "4", "--out", out, "--json"]);
  expect(made).toMatchObject({ code: 0 });
  const { study, truth } = JSON.parse(made.stdout);
  expect(truth.answerOf).toEqual(planted.B.truth.answerOf);
  const run = join(folder, "run");
  expect(await inward(["run", study, "--out", run])).toMatchObject({ code: 0 });
  const trials = await inwardHere(["trials", run, "--json"]);
  const outcomes = trials.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).outcome);
  expect(outcomes).toEqual(Array.from({ length: 8 }, () => "right"));
});

test("a dose is a share of the pairs, rounded to whole ones", () => {
  const through = planted.dose.truth.viaAnswer.filter(Boolean).length;
  expect(through).toBe(Math.round(DOSE * ITEMS ** 2));
  expect(planted.A.truth.viaAnswer.every(Boolean)).toBe(true);
  expect(planted.B.truth.viaAnswer.some(Boolean)).toBe(false);
});

test("the same options give the same bytes; another seed another property, with the same answers", async () => {
  const again = await writePlantedModel(join(folder, "again.gguf"), optionsOf("D", ITEMS));
  expect(again.sha256).toBe(planted.D.sha256);
  const other = await writePlantedModel(join(folder, "other.gguf"), { ...optionsOf("D", ITEMS), seed: 8 });
  expect(other.sha256).not.toBe(planted.D.sha256);
  expect(other.strings.map((one) => one.answer)).toEqual(planted.D.strings.map((one) => one.answer));
});

test.each([
  [{ mechanism: "F" }, /There is no mechanism "F"/],
  [{ mechanism: "A", items: 13 }, /2 to 12 items, not 13/],
  [{ mechanism: "A", items: 2.5 }, /not 2.5/],
  [{ mechanism: "A", dose: 0.5 }, /not with A/],
  [{ mechanism: "dose" }, /not undefined/],
  [{ mechanism: "dose", dose: 1.1 }, /not 1.1/],
  [{ mechanism: "A", seed: Number.NaN }, /The seed is NaN/],
])("refused: %j", async (options, why) => {
  const refused = writePlantedModel(join(folder, "refused.gguf"), options as PlantedOptions);
  await expect(refused).rejects.toMatchObject({ code: "PROBE_INVALID", message: expect.stringMatching(why) });
});
