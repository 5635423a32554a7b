/** A study that takes answers apart: planted simulators and lookups come out as they are, reading by reading. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { parse } from "yaml";
import { hashTokens, scoredAnswers } from "../../src/model/engines/engine.js";
import { openNativeEngine } from "../../src/model/engines/native.js";
import { siteDimensions, siteName } from "../../src/model/sites.js";
import {
  type InsideResults,
  type InsideRow,
  insideResults,
  insideRowSchema,
  isCarrier,
  isFollowed,
  isTold,
  isWriter,
} from "../../src/probe/inside-results.js";
import { LogitAttribution } from "../../src/probe/logit-attribution.js";
import { type PlantedStudy, writePlantedStudy } from "../../src/probe/planted-model.js";
import type { Mechanism } from "../../src/probe/planted-weights.js";
import { insideQuestions } from "../../src/run/inside-answers.js";
import { insidePrompts, type InsideSources, planInside } from "../../src/run/inside-questions.js";
import { insideCapture, insideSites } from "../../src/run/inside-stages.js";
import { locatePrompts } from "../../src/run/probe-prompts.js";
import { insideSchema, type PlannedInside, plannedInsideSchema } from "../../src/study/inside-schema.js";
import { makePlan } from "../../src/study/make-plan.js";
import { capture } from "../helpers/captured-states.js";
import { openEngine } from "../helpers/native-engine.js";
import { settledStudy } from "../helpers/settled-study.js";

const folder = mkdtempSync(join(tmpdir(), "inward-inside-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const STRINGS = 11;
const HOOKS = { heard: () => {}, onAnswered: () => {} };
const SETTINGS = { confidence: 0.95, bootstrapReplicates: 200, bootstrapSeed: 1 };

/** What the stages of a study do, in this process. */
async function takenApart(
  mechanism: Mechanism,
  inside: object,
): Promise<{ results: InsideResults; rows: InsideRow[] }> {
  const planted = await writePlantedStudy(join(folder, mechanism), { items: 6, mechanism });
  const keys = {
    ...parse(readFileSync(planted.study, "utf8")),
    engine: { device: "cpu", threads: 1 },
    inside: { strings: STRINGS, ...inside },
  };
  const { path, sha256, bytes } = planted;
  const file = { source: "planted", path, sha256, bytes, encoding: "as_shipped", licence: "MIT" };
  const plan = await makePlan(settledStudy(JSON.stringify(keys)), { planted: file }, join(folder, mechanism));
  const planned = plan.inside as PlannedInside;
  const model = await openNativeEngine(path, { ...plan.engine, forward: "own" });
  const attribution = await LogitAttribution.open(path);
  try {
    const chat = model.tokens;
    const tokenizer = {
      locate: async (prompts: Parameters<typeof chat.locate>[0][]) => prompts.map((one) => chat.locate(one)),
      tokenize: async (prompts: Parameters<typeof chat.render>[0][]) =>
        prompts.map((one) => [...chat.render(one).tokenIds]),
      scored: async (requests: Parameters<typeof chat.tokenizeContinuations>[0]) =>
        chat.tokenizeContinuations(requests).map((one) => ({ promptIds: one.promptIds, answers: scoredAnswers(one) })),
    } as unknown as InsideSources["tokenizer"];
    const sites = await insideSites(planned, path);
    const prompts = await locatePrompts(insidePrompts(plan, "planted"), tokenizer, "last");
    const { shape, sites: taken } = insideCapture(planned, sites);
    const engine = await openEngine(path, { forward: "own" });
    const items = prompts.map(({ meta }) => ({ ids: meta.tokenIds }));
    const isLast = (_: number, token: number, length: number) => token === length - 1;
    const { states } = capture(engine, items, shape, taken.map(siteName).join(","), {}, isLast);
    engine.dispose();
    const place = new Map(prompts.map(({ id }, at) => [id, at]));
    const groups = await planInside(plan, "planted", {
      ...{ sites, tokenizer, strings: knownStrings(planted) },
      captured: {
        prompts: prompts.map(({ id, meta }) => ({ ...meta, id, promptSha256: hashTokens(meta.tokenIds) })),
        end: (prompt, name) => {
          const values = states[place.get(prompt.id) as number]?.sites[name]?.[0] as Float32Array;
          const site = taken.find((one) => siteName(one) === name) as (typeof taken)[number];
          return { values, width: values.length, dimensions: siteDimensions(site, shape, prompt.tokenIds.length) };
        },
      },
    });
    const kind = insideQuestions(async () => attribution);
    const rows: InsideRow[] = [];
    for (const group of groups) {
      await kind.check(model, group);
      rows.push(...(await kind.ask(model, group, HOOKS)));
    }
    for (const row of rows) insideRowSchema.parse(row);
    expect(new Set(rows.map(({ key }) => key)).size).toBe(rows.length);
    return { rows, results: insideResults(rows, () => undefined, SETTINGS) };
  } finally {
    await attribution.close();
    await model.dispose();
  }
}

/** All variants say the same to every pair (tests/native/planted-models). */
function knownStrings({ strings }: PlantedStudy): InsideSources["strings"] {
  return {
    labels: {
      clusters: (_, item) => item,
      of: ({ label }, item) => {
        const { answer, value } = strings[Number(item.slice("pair-".length))] as (typeof strings)[number];
        return { label: label === "behavior" ? answer : value };
      },
    },
    written: (_, __, ___, value) => value,
  };
}

/** Where property and answer are written directly in the hypothetical question, or taken out again, and the answer in the object-level one; and nowhere else. */
const WRITTEN = {
  A: { property: ["mlp.1+"], behavior: ["mlp.0+"], object: ["mlp.0+"] },
  B: { property: ["mlp.0+"], behavior: [], object: ["mlp.0+"] },
  C: { property: ["mlp.0+"], behavior: ["mlp.0+", "mlp.2-"], object: ["mlp.0+"] },
  D: { property: ["mlp.1+"], behavior: [], object: ["mlp.1+"] },
  E: { property: ["mlp.0+"], behavior: ["mlp.2+"], object: ["mlp.0+"] },
} as const;

test.each(["A", "B", "C", "D", "E"] as const)(
  "%s: parts are found where they write, and predictions go with behavior's directions where these are read",
  async (mechanism) => {
    const { results, rows } = await takenApart(mechanism, {
      attribution: {},
      subspace: { sites: "residual_after.0,residual_after.2", of: ["behavior"], randomSeeds: 2 },
    });
    const writers = (prompt: string, label: string) => {
      const found = results.attribution.find((one) => one.prompt === prompt && one.label === label);
      expect(found).toMatchObject({ state: "planted", task: "planted", strings: STRINGS, leftOut: {}, hasCap: false });
      // What is left of an erased answer, and of units that are off, is far below.
      return found?.effects.flatMap((effect) => {
        const { component, meanGain = 0, adjusted } = effect;
        const isFound = Math.abs(meanGain) > 0.5 && adjusted.ok && adjusted.p < 0.05;
        expect([component, isWriter(effect, SETTINGS)]).toEqual([component, isFound && meanGain > 0]);
        return isFound ? [`${component}${meanGain > 0 ? "+" : "-"}`] : [];
      });
    };
    expect({
      property: writers("hypothetical", "property"),
      behavior: writers("hypothetical", "behavior"),
      object: writers("object_level", "behavior"),
    }).toEqual(WRITTEN[mechanism]);
    const [subspace] = results.subspace;
    expect(subspace).toMatchObject({ of: "behavior", property: "listed", strings: STRINGS, alike: 0 });
    const followed = subspace?.sites.filter((site) => site.ok && isFollowed(site, SETTINGS)).map(({ site }) => site);
    const simulates = mechanism === "A" || mechanism === "D";
    expect([mechanism, followed]).toEqual([mechanism, simulates ? ["residual_after.0"] : []]);
    // Donors have the other value, those beside them the same.
    for (const { item, donor, arm } of rows.filter((row) => row.donor !== undefined)) {
      const value = (id: string | undefined) => rows.find((row) => row.item === id && row.own?.property)?.own?.property;
      expect(value(item) === value(donor)).toBe(arm === "same");
    }
  },
);

test("what cannot be is refused", async () => {
  expect(insideSchema.safeParse({}).error?.message).toContain("does nothing yet: give it attribution, heads");
  const { path } = await writePlantedStudy(join(folder, "refused"), { items: 3, mechanism: "A" });
  const refusal = async (keys: object, message: unknown) => {
    const inside = plannedInsideSchema.parse(insideSchema.parse(keys));
    await expect(insideSites(inside, path)).rejects.toMatchObject({ code: "PROBE_SITE", message });
  };
  await refusal({ heads: { sites: "residual_after.0" } }, expect.stringContaining("no heads of its own"));
  await refusal({ subspace: { sites: "attention_weights.0" } }, expect.stringContaining("cannot be written"));
  await refusal({ patchscope: { into: "attention_weights.0" } }, expect.stringContaining("no state of a token"));
  await refusal({ patchscope: { sites: "residual_after.9" } }, expect.stringContaining("layers 0 to 3"));
});

test("A: heads that copy what is read carry the answer; states say the behavior in another prompt", async () => {
  const { results, rows } = await takenApart("A", {
    heads: { sites: "head_values.0-1" },
    patchscope: { sites: "residual_after.1", into: "residual_after.1", maxTokens: 3 },
  });
  const carriers = (prompt: string) => {
    const heads = results.heads.find((one) => one.prompt === prompt);
    expect(heads).toMatchObject({ strings: STRINGS, leftOut: {} });
    return [
      ...new Set(heads?.effects.filter((one) => isCarrier(one, SETTINGS)).map((one) => `${one.layer}.${one.head}`)),
    ];
  };
  // Two copy the items, the third what is asked about them, the fourth nothing.
  expect(carriers("object_level")).toEqual(["0.0", "0.1"]);
  expect(carriers("hypothetical")).toEqual(["0.0", "0.1", "0.2"]);
  const looks = results.heads.find(({ prompt }) => prompt === "hypothetical")?.attention ?? [];
  const share = (head: number, span: string) =>
    looks.find((one) => one.layer === 0 && one.head === head && one.span === span)?.mean as number;
  expect([share(0, "item_1"), share(1, "item_2"), share(2, "property")].every((one) => one > 0.99)).toBe(true);
  expect(rows.filter(({ reading }) => reading === "heads")).toHaveLength(2 * STRINGS * (1 + 2 * 4 * 4));
  const told = (prompt: string, expected: string) => {
    const found = results.patchscope.find((one) => one.prompt === prompt && one.expected === expected);
    const [pair] = found?.pairs ?? [];
    return [pair && isTold(pair, SETTINGS), pair?.told?.own];
  };
  expect(told("object_level", "behavior")).toEqual([true, 1]);
  // The whole state goes over, with what is asked in it: the reply is the property, and no longer the answer.
  expect(told("hypothetical", "property")).toEqual([true, 1]);
  expect(told("hypothetical", "behavior")).toEqual([false, 0]);
});
