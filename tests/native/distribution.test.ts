/** Proof 3: the distribution that expansion gives is the one that samples are drawn from. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { measureDistribution, sampleDistribution } from "../../src/ask/measure-distribution.js";
import { openNativeEngine } from "../../src/model/engines/native.js";
import { openNodeLlamaEngine } from "../../src/model/engines/node-llama-cpp.js";
import { readGguf } from "../../src/gguf/read-gguf.js";
import type { Intervention } from "../../src/model/interventions.js";
import type { LanguageModel } from "../../src/model/language-model.js";
import { stateShapeOf } from "../../src/model/sites.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import { propertyNamed } from "../../src/properties/all-properties.js";
import { behaviorDecider, needsSamples, predictionDecider, type TextDecider } from "../../src/properties/deciders.js";
import type { ChatMessage } from "../../src/tasks/answer.js";
import type { Distribution, ExpandedDistribution, SampledDistribution } from "../../src/ask/expand-distribution.js";
import type { Extraction } from "../../src/properties/property.js";
import { intervenedWork, someValues } from "../helpers/intervened.js";
import { answer, openEngine } from "../helpers/native-engine.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { nameOf } from "../helpers/toy-source.js";

const SAMPLES = 2000;
const MAX_TOKENS = 3;
/** Fewer in a bin, and G no longer follows the chi-squared distribution; such values are one bin together. */
const LEAST_EXPECTED = 5;
/** Of a sound distribution one seed in a thousand goes above the threshold; the seed is fixed, so that this one always or never does. */
const NORMAL_QUANTILE = 3.09;

const settings = { ...DEFAULT_ENGINE, device: "cpu", threads: 1, sequences: 32 } as const;
const path = join(mkdtempSync(join(tmpdir(), "inward-distribution-")), "tiny.gguf");
const messages: ChatMessage[] = [
  { role: "system", content: "" },
  { role: "user", content: "the cat and the dog" },
];
const behavior = (name: string) => behaviorDecider(propertyNamed(name), { text: "" });
const options = { maxTokens: MAX_TOKENS, topTokens: 512, tokenBudget: 200_000, epsilon: 5e-3, batch: 64, seed: "g" };

let model: LanguageModel;
beforeAll(async () => {
  await writeTinyModel(path, { seed: 9 });
  model = await openNativeEngine(path, { ...settings, engine: "native", forward: "own" });
});
afterAll(() => model.dispose());

/** Probability by value and by reason. */
function masses({ values, notCompliant }: Distribution): Map<string, number> {
  return new Map([
    ...values.map(({ value, probability }) => [value, probability] as const),
    ...Object.entries(notCompliant).map(([reason, mass]) => [`!${reason}`, mass] as const),
  ]);
}

/** @returns G in units of its threshold */
function gTest(expanded: ReadonlyMap<string, number>, drawn: ReadonlyMap<string, number>): number {
  const likely = [...expanded].filter(([, mass]) => mass * SAMPLES >= LEAST_EXPECTED);
  const bins = likely.map(([name, mass]) => ({ expected: mass * SAMPLES, seen: (drawn.get(name) ?? 0) * SAMPLES }));
  const rest = {
    expected: SAMPLES - bins.reduce((sum, { expected }) => sum + expected, 0),
    seen: SAMPLES - bins.reduce((sum, { seen }) => sum + seen, 0),
  };
  if (rest.expected >= LEAST_EXPECTED) bins.push(rest);
  const g = bins.reduce((sum, { expected, seen }) => sum + (seen === 0 ? 0 : 2 * seen * Math.log(seen / expected)), 0);
  const freedom = bins.length - 1;
  expect(freedom).toBeGreaterThan(5);
  const spread = 2 / (9 * freedom);
  // The chi-squared quantile by Wilson and Hilferty's cube root.
  return g / (freedom * (1 - spread + NORMAL_QUANTILE * Math.sqrt(spread)) ** 3);
}

describe.each(["first_character", "second_character"])("%s", (name) => {
  let expanded: ExpandedDistribution;
  let sampled: SampledDistribution;
  beforeAll(async () => {
    const question = { messages, decider: behavior(name), decidedLate: false };
    expanded = (await measureDistribution(model, question, options)) as ExpandedDistribution;
    const sampling = { maxTokens: MAX_TOKENS, samples: SAMPLES, seed: "g" };
    sampled = await sampleDistribution(model, messages, behavior(name), "tail", sampling);
  });

  test("sums to 1 less its tail, which is below epsilon", () => {
    expect(expanded).toMatchObject({ method: "expansion", stoppedBy: "epsilon" });
    expect(expanded.tail).toBeLessThanOrEqual(options.epsilon);
    const sum = [...masses(expanded).values()].reduce((total, mass) => total + mass, 0);
    expect(Math.abs(sum + expanded.tail - 1)).toBeLessThan(1e-9);
  });

  test("agrees with 2,000 samples (G-test)", () => {
    expect(gTest(masses(expanded), masses(sampled))).toBeLessThan(1);
  });

  test("the G-test would notice a temperature of 1.2", () => {
    const flat = [...masses(expanded)].map(([value, mass]) => [value, mass ** (1 / 1.2)] as const);
    const total = flat.reduce((sum, [, mass]) => sum + mass, 0);
    const other = new Map(flat.map(([value, mass]) => [value, mass / total]));
    expect(gTest(other, masses(sampled))).toBeGreaterThan(1);
  });
});

/** At the last token of the prompt, and at each token of the answer. */
const PATCH: Intervention[] = [
  { site: { part: "residual_after", layer: 0 }, tokens: [5], operation: "replace", values: someValues(64, 3) },
  {
    site: { part: "mlp_output", layer: 1 },
    tokens: { from: 6 },
    operation: "add",
    values: someValues(64, 4),
    factor: 2,
  },
];

test.each<[string, string, Intervention[]?]>([
  ["second_character", "the cat and the dog"],
  ["first_character", "one"],
  ["first_word", "zebra", PATCH],
])(
  "%s after %j equals the enumeration of all answers of two tokens, under what is written into states",
  async (name, content, interventions) => {
    const question: ChatMessage[] = [
      { role: "system", content: "" },
      { role: "user", content },
    ];
    const whole = { ...options, maxTokens: 2, tokenBudget: 1e6, epsilon: 0 };
    const asked = { messages: question, decider: behavior(name), decidedLate: false, interventions };
    const expanded = await measureDistribution(model, asked, whole);
    expect(expanded).toMatchObject({ method: "expansion", stoppedBy: "whole", tail: 0 });
    const found = reasonsTogether(masses(expanded));
    const expected = reasonsTogether(await enumerate(question, behavior(name), interventions));
    expect(expected.size).toBeGreaterThan(30);
    // Each of two tokens' logits, in single precision and in another batch, is within 1.5e-6 nats; one text missing is 1e-5.
    for (const [value, mass] of expected) expect(Math.abs((found.get(value) ?? 0) - mass), value).toBeLessThan(3e-6);
    expect([...found.keys()].filter((value) => !expected.has(value))).toEqual([]);
    expect(Math.abs([...found.values()].reduce((sum, mass) => sum + mass, 0) - 1)).toBeLessThan(1e-6);
  },
);

/** A text that the token limit cuts off may have shown its reason before, and another one at its end. */
function reasonsTogether(found: ReadonlyMap<string, number>): Map<string, number> {
  const together = new Map<string, number>();
  for (const [name, mass] of found) {
    const key = name.startsWith("!") ? "!" : name;
    together.set(key, (together.get(key) ?? 0) + mass);
  }
  return together;
}

/**
 * Every answer of at most two tokens. Probabilities are read by a strict engine on llama.cpp's graph, one prompt at a time over the full vocabulary;
 * from the model that is expanded come only the texts of token pairs.
 */
async function enumerate(
  question: ChatMessage[],
  decider: TextDecider,
  interventions: Intervention[] = [],
): Promise<Map<string, number>> {
  const strict = await openEngine(path, { strict: true });
  const prompt = (await model.render(question)).tokenIds;
  const size = model.facts.vocabularySize;
  const readIds = Int32Array.from({ length: size }, (_, id) => id);
  const afterEach = [[], ...Array.from(readIds, (id) => [id])];
  const { answers } = answer(
    strict,
    intervenedWork(
      afterEach.map((path) => ({ ids: [...prompt, ...path], interventions })),
      stateShapeOf(await readGguf(path), path),
      { readIds },
    ),
  );
  strict.dispose();
  const { steps } = await model.nextTokens(question, afterEach, size);
  const found = new Map<string, number>();
  const add = (shown: Extraction, mass: number) => found.set(nameOf(shown), (found.get(nameOf(shown)) ?? 0) + mass);
  const nodes = steps.map(({ ids, ends, texts }, node) => {
    const place = new Map(Array.from(ids, (id, rank) => [id, rank]));
    return Array.from(readIds, (id) => {
      const rank = place.get(id) as number;
      const probability = Math.exp(answers[node]?.readLogprobs[id] as number);
      return { probability, ends: ends[rank] === 1, text: texts[rank] as string };
    });
  });
  const [root, ...children] = nodes;
  root?.forEach((first, id) => {
    if (first.ends) {
      add(decider.atEnd(first.text, "end_of_generation"), first.probability);
      return;
    }
    for (const second of children[id] ?? []) {
      const stop = second.ends ? "end_of_generation" : "max_tokens";
      add(decider.atEnd(second.text, stop), first.probability * second.probability);
    }
  });
  return found;
}

test("texts of next tokens are the texts that asking gives", async () => {
  const [reply] = await model.ask([{ messages, maxTokens: MAX_TOKENS, temperature: 1, seed: "t", topTokens: 1 }]);
  if (!reply) throw new Error("no reply");
  const paths = reply.tokenIds.map((_, at) => reply.tokenIds.slice(0, at));
  const { steps } = await model.nextTokens(messages, paths, 1000);
  steps.forEach((step, at) => {
    const place = Array.from(step.ids).indexOf(reply.tokenIds[at] as number);
    expect(step.logprobs[place]).toBeCloseTo(reply.logprobs[at] as number, 4);
    if (at === reply.tokenIds.length - 1) expect(step.texts[place]).toBe(reply.text);
  });
});

test("predictions have a distribution too, and the same question the same one", async () => {
  const question = { messages, decider: predictionDecider(propertyNamed("starts_with_vowel")), decidedLate: false };
  const first = await measureDistribution(model, question, options);
  expect(first).toMatchObject({ method: "expansion" });
  expect(first.notCompliant.not_in_values).toBeGreaterThan(0.5);
  expect(await measureDistribution(model, question, options)).toEqual(first);
});

test("samples where a property is decided late, where the budget is too small, and where no tokens can be listed", async () => {
  const word = {
    messages,
    decider: behavior("third_word"),
    decidedLate: needsSamples(propertyNamed("third_word"), "sequence"),
  };
  const few = { ...options, samples: 50 };
  const late = await measureDistribution(model, word, few);
  expect(late).toMatchObject({ method: "samples", because: "long_answer", samples: 50 });
  const character = { messages, decider: behavior("second_character"), decidedLate: false };
  const tail = (await measureDistribution(model, character, { ...few, tokenBudget: 60 })) as SampledDistribution;
  expect(tail).toMatchObject({ method: "samples", because: "tail" });
  // What was spent on the expansion is not forgotten.
  expect(late).not.toHaveProperty("evaluatedTokens");
  expect(tail.evaluatedTokens).toBeGreaterThan(0);
  expect(tail.evaluatedTokens).toBeLessThanOrEqual(60);
  for (const { probability, standardError } of tail.values) {
    expect(standardError).toBeCloseTo(Math.sqrt((probability * (1 - probability)) / 50), 12);
  }
  expect([...masses(tail).values()].reduce((sum, mass) => sum + mass, 0)).toBeCloseTo(1, 12);
  const other = await openNodeLlamaEngine(path, {
    ...settings,
    engine: "node-llama-cpp",
    forward: "llama.cpp",
    sequences: 8,
  });
  try {
    expect(await measureDistribution(other, character, few)).toMatchObject({ method: "samples", because: "engine" });
  } finally {
    await other.dispose();
  }
});
