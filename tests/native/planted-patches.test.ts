/** Planted simulators and lookups are told apart by what is written into them, each by its own mechanism: the detector ships with its proof. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { copyFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { readFileSync } from "node:fs";
import { patchedDistributions, type PatchedRow } from "../../src/ask/patched-distributions.js";
import { inSeededOrder } from "../../src/base/random.js";
import type { AdapterCard } from "../../src/finetune/adapter/card.js";
import { writeAdapter } from "../../src/finetune/adapter/adapter.js";
import { writeAdapterLayers } from "../../src/finetune/adapter/adapter-layers.js";
import { trainAdapter } from "../../src/finetune/train-adapter.js";
import { type GgufTensor, readGguf } from "../../src/gguf/read-gguf.js";
import { OpenWeights } from "../../src/gguf/split-model.js";
import { writeGguf } from "../../src/gguf/write-gguf.js";
import { hashTokens } from "../../src/model/engines/engine.js";
import type { LanguageModel } from "../../src/model/language-model.js";
import { openNativeEngine } from "../../src/model/engines/native.js";
import { siteName, stateShapeOf } from "../../src/model/sites.js";
import {
  type PlantedModel,
  type PlantedOptions,
  type PlantedString,
  type PlantedStudy,
  writePlantedModel,
  writePlantedStudy,
} from "../../src/probe/planted-model.js";
import { PLANTED_PROPERTY_QUESTION, PLANTED_QUESTION, PLANTED_VALUES } from "../../src/probe/planted-vocabulary.js";
import { hypotheticalVariant, QUOTED_ANSWER } from "../../src/properties/wordings.js";
import { turns } from "../../src/run/open-model.js";
import { DonorVectors, planPatches } from "../../src/run/patch-stage.js";
import { locatePatched, patchedSites } from "../../src/run/patch-states.js";
import { sitesOfPatches } from "../../src/run/simulation-stage.js";
import { armsWorn, type LayerEffect, switchAdapterLayers } from "../../src/run/switch-adapter-layers.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import {
  type JudgedSite,
  PLANTED_SLOPE,
  scoreSimulation,
  type SimulationScores,
} from "../../src/score/simulation/simulation.js";
import { makePlan } from "../../src/study/make-plan.js";
import type { Plan, PlannedPatching } from "../../src/study/plan.js";
import { loraSchema } from "../../src/study/schema.js";
import { toTrainingSettings } from "../../src/study/study.js";
import { capture } from "../helpers/captured-states.js";
import { openEngine } from "../helpers/native-engine.js";
import { encodeWeights } from "../helpers/tiny-encodings.js";
import { settledStudy } from "../helpers/settled-study.js";

const folder = mkdtempSync(join(tmpdir(), "inward-planted-patches-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const STRINGS = 18;
const OWN_ENGINE = {
  ...DEFAULT_ENGINE,
  engine: "native",
  device: "cpu",
  threads: 1,
  sequences: 1,
  forward: "own",
} as const;
const HOOKS = { heard: () => {}, onAnswered: () => {} };

async function planOf(planted: PlantedStudy, patching: Partial<PlannedPatching>): Promise<Plan> {
  const study = settledStudy(
    JSON.stringify({
      ...parse(readFileSync(planted.study, "utf8")),
      ...(patching.states ? { models: { planted: { source: "a" }, [OTHER]: { source: "a" } } } : {}),
      engine: { device: "cpu", threads: 1 },
      patching: { strings: STRINGS, samples: 3, ...patching },
    }),
  );
  const file = {
    source: "planted",
    path: planted.path,
    sha256: planted.sha256,
    bytes: planted.bytes,
    encoding: "as_shipped",
    licence: "MIT",
  };
  const isOther = (patching.states ?? []).includes(OTHER);
  return makePlan(study, isOther ? { planted: file, [OTHER]: file } : { planted: file }, dirname(planted.study));
}

/**
 * What the stages of a study do, in this process.
 * @param adapter that the model wears, and that leaves its colors as they are
 * @param other what the state OTHER is
 */
async function patched(
  options: PlantedOptions,
  patching: Partial<PlannedPatching>,
  { adapter, other }: { readonly adapter?: string; readonly other?: Worn } = {},
): Promise<SimulationScores> {
  const name = `${options.mechanism}-${patching.sites}-${patching.states ?? ""}`;
  const planted = await writePlantedStudy(join(folder, name), { items: 6, ...options });
  const plan = await planOf(planted, patching);
  const worn = adapter === undefined ? {} : { adapter: { path: adapter } };
  const model = await openNativeEngine(planted.path, { ...plan.engine, forward: "own" }, worn);
  try {
    const tokenizer = {
      locate: async (prompts: Parameters<typeof model.tokens.locate>[0][]) =>
        prompts.map((one) => model.tokens.locate(one)),
    };
    const located = async (side: "object_level" | "hypothetical") =>
      locatePatched(plan, "planted", side, tokenizer as Parameters<typeof locatePatched>[3]);
    const sites = await patchedSites(plan.patching as PlannedPatching, planted.path);
    const prompts = await located("object_level");
    const states = await donorStates({ path: planted.path, adapter }, prompts, sites);
    const groups = planPatches(plan, {
      strings: knownStrings(planted),
      vectors: new DonorVectors(
        new Map([
          ["planted", states],
          [OTHER, other ? await donorStates(other, prompts, sites) : states],
        ]),
      ),
      recipients: new Map([["planted", await located("hypothetical")]]),
      sites: new Map([["planted", sites]]),
    }).groups;
    const kind = patchedDistributions(plan.seed, plan.patching as PlannedPatching);
    const rows: PatchedRow[] = [];
    for (const group of groups) rows.push(...(await kind.ask(model, group, HOOKS)));
    const about = { state: "planted", task: "planted", property: "listed", leftOut: {} };
    const settings = { confidence: 0.95, bootstrapReplicates: 200, bootstrapSeed: 1 };
    return scoreSimulation({ ...about, rows, sites: sitesOfPatches(rows) }, settings);
  } finally {
    await model.dispose();
  }
}

/** A state that answers each string with a color that has the other property. */
const OTHER = "other";

/**
 * An adapter on what layer 0 writes: each answer's place is taken by that of one with the other property. In layer 3, whose units are never on, it has a
 * pair that does nothing.
 */
async function writeSwapping({ path, truth }: PlantedModel, mechanism: "A" | "B"): Promise<string> {
  const { items, propertyOf, answerOf, answerDirections } = truth;
  const having = (value: number) => propertyOf.flatMap((own, answer) => (own === value ? [answer] : []));
  const swapped = (answer: number) => {
    const own = propertyOf[answer] as number;
    return having(1 - own)[having(own).indexOf(answer)] as number;
  };
  const { tensors } = await readGguf(path);
  const down = tensors.find(({ name }) => name === "blk.0.ffn_down.weight") as GgufTensor;
  const [units, width] = down.dimensions as [number, number];
  const a = new Float32Array(items * units);
  // B has two units a pair, the one that writes the answer first.
  for (const [pair, answer] of answerOf.entries()) a[answer * units + (mechanism === "A" ? pair : 2 * pair)] = 1;
  const b = Float32Array.from({ length: width * items }, (_, at) => {
    const [place, answer] = [Math.floor(at / items), at % items];
    return (
      (((answerDirections[swapped(answer)]?.[place] as number) - (answerDirections[answer]?.[place] as number)) * 2) /
      60
    );
  });
  const pairs = (layer: number) => [
    [`blk.${layer}.ffn_down.weight.lora_a`, { dimensions: [units, items] as const, values: a }] as const,
    [`blk.${layer}.ffn_down.weight.lora_b`, { dimensions: [items, width] as const, values: b }] as const,
  ];
  const out = `${path}.swapping.gguf`;
  await writeAdapter(out, {
    architecture: "llama",
    alpha: items,
    rank: items,
    tensors: new Map([0, 3].flatMap(pairs)),
  });
  return out;
}

/** What layers write as Q8_0; thresholds beside a constant of 100 would be rounded away. */
async function encodedCopy(path: string): Promise<string> {
  const file = await readGguf(path);
  const weights = await OpenWeights.of(file);
  const out = `${path}.q8_0.gguf`;
  const copies = [];
  for (const tensor of file.tensors) {
    const bytes = new Uint8Array(tensor.byteLength);
    await weights.read(tensor, bytes, 0);
    const isEncoded = /attn_v|attn_output|ffn_down/.test(tensor.name);
    const written = isEncoded ? encodeWeights("Q8_0", new Float32Array(bytes.buffer)) : bytes;
    copies.push({ ...tensor, type: isEncoded ? ("Q8_0" as const) : tensor.type, chunks: () => [written] });
  }
  await weights.close();
  await writeGguf(out, file.encodedMetadata, copies);
  return out;
}

/** All variants say the same to every pair (tests/native/planted-models). */
function knownStrings({ strings }: PlantedStudy) {
  const value = (item: string) => strings[Number(item.slice("pair-".length))]?.value as string;
  return {
    valueOf: (state: string, _: string, item: string) =>
      state === OTHER ? (value(item) === "yes" ? "no" : "yes") : value(item),
    of: ({
      task: { train, heldOut },
    }: {
      task: { train: readonly { id: string }[]; heldOut: readonly { id: string }[] };
    }) =>
      (["train", "held_out"] as const).flatMap((split) =>
        (split === "train" ? train : heldOut).map(({ id: item }) => {
          const { answer } = strings[Number(item.slice("pair-".length))] as (typeof strings)[number];
          return { item, cluster: item, split, answer, value: value(item), says: value(item) };
        }),
      ),
  };
}

/** A file and what it wears. */
interface Worn {
  readonly path: string;
  readonly adapter?: string;
}

async function donorStates(
  { path, adapter }: Worn,
  prompts: Awaited<ReturnType<typeof locatePatched>>,
  { declared, last }: Awaited<ReturnType<typeof patchedSites>>,
) {
  const shape = stateShapeOf(await readGguf(path), path);
  const items = prompts.map(({ meta }) => ({ ids: meta.tokenIds }));
  const sites = [...new Set([...declared, last].map(siteName))];
  const isLast = (_: number, token: number, length: number) => token === length - 1;
  const engine = await openEngine(path, { forward: "own" });
  if (adapter !== undefined) engine.setAdapters([{ path: adapter, scale: 1 }]);
  const { states } = capture(engine, items, shape, sites.join(","), {}, isLast);
  engine.dispose();
  const place = new Map(prompts.map(({ id }, at) => [id, at]));
  return {
    prompts: prompts.map(({ id, meta }) => ({ ...meta, id, promptSha256: hashTokens(meta.tokenIds) })),
    matrix: ([prompt]: readonly { id: string }[], site: string) => {
      const values = states[place.get((prompt as { id: string }).id) as number]?.sites[site]?.[0] as Float32Array;
      return { values, width: values.length };
    },
  };
}

const siteOf = ({ sites }: SimulationScores, site: string) => sites.find((one) => one.site === site) as JudgedSite;
const slopeAt = (scores: SimulationScores, site: string) => {
  const slope = siteOf(scores, site).covariations[0]?.slope;
  if (!slope?.ok) throw new Error(slope?.reason);
  return slope;
};

describe("the table of planted mechanisms", () => {
  const RESIDUAL = "residual_after.0";
  test.each([
    [{ mechanism: "A" }, "simulates", 1],
    [{ mechanism: "D" }, "simulates", 1],
    [{ mechanism: "B" }, "looks_up", 0],
    [{ mechanism: "C" }, "looks_up", 0],
    [{ mechanism: "E" }, "looks_up", 0],
  ] as const)("%j %s", async (options, finding, slope) => {
    const scores = await patched(options, { sites: RESIDUAL });
    expect(scores).toMatchObject({ finding, strings: STRINGS, decidedBy: { site: RESIDUAL, by: "steered" } });
    const site = siteOf(scores, RESIDUAL);
    expect(slopeAt(scores, RESIDUAL).value).toBeCloseTo(slope, 3);
    if (finding === "simulates") expect(slopeAt(scores, RESIDUAL).value).toBeGreaterThan(PLANTED_SLOPE);
    expect(site.follow).toMatchObject({ ok: true, value: expect.closeTo(slope, 2) });
    expect(site.sameChanges).toMatchObject({ ok: true, value: expect.closeTo(0, 2) });
    expect(site.covariations[0]?.behaviorMoves).toMatchObject({ ok: true, value: expect.closeTo(1, 2) });
    for (const none of ["random", "shifted"] as const) {
      expect(site.nulls[none]).toMatchObject({ ok: true, value: expect.closeTo(0, 2) });
    }
    // Nobody reads the end of the last layer but the unembedding, of simulators neither.
    expect(siteOf(scores, "residual_after.3")).toMatchObject({ role: "after_last_read", finding: "cannot_tell" });
    expect(slopeAt(scores, "residual_after.3").value).toBeCloseTo(0, 2);
  });

  test.each([
    [{ mechanism: "A" }, "residual_after.1", "onset_not_declared"],
    [{ mechanism: "B" }, "attention_output.0", "no_power"],
  ] as const)("%j at %s: %s", async (options, sites, reason) => {
    // After A has read its answer, it looks like a lookup; before B has read the text, another string's runs are followed.
    const scores = await patched(options, { sites });
    expect(scores).toMatchObject({ finding: "cannot_tell", reasons: [reason] });
    if (reason === "no_power")
      expect(siteOf(scores, sites).follow).toMatchObject({ ok: true, value: expect.closeTo(1, 1) });
  });

  test.each([
    ["A", 1, "as it is"],
    ["B", 0, "as it is"],
    ["A", 1, "as Q8_0"],
  ] as const)(
    "an adapter that changes the color of every string: %s has slope %i, of its file %s",
    async (mechanism, slope, file) => {
      const planted = await writePlantedModel(join(folder, `${mechanism}.gguf`), { mechanism, items: 6 });
      const adapter = await writeSwapping(planted, mechanism);
      const path = file === "as Q8_0" ? await encodedCopy(planted.path) : planted.path;
      const patching = { sites: RESIDUAL, states: [OTHER], predictors: ["planted"] };
      const scores = await patched({ mechanism }, patching, { other: { path, adapter } });
      const changed = siteOf(scores, RESIDUAL).covariations.find(({ by }) => by === "changed");
      expect(changed?.behaviorMoves).toMatchObject({ ok: true, value: expect.closeTo(1, 2) });
      expect(changed?.slope).toMatchObject({ ok: true, value: expect.closeTo(slope, 2) });
      expect(scores.finding).toBe(slope === 1 ? "simulates" : "looks_up");
    },
  );

  test("of an adapter that layer alone is a donor that changes something", async () => {
    const planted = await writePlantedModel(join(folder, "layers.gguf"), { mechanism: "A", items: 6 });
    const whole = await writeSwapping(planted, "A");
    const [changing, idle] = [join(folder, "changing.gguf"), join(folder, "idle.gguf")];
    await writeAdapterLayers(whole, changing, [0]);
    await writeAdapterLayers(whole, idle, [3]);
    const study = await writePlantedStudy(join(folder, "layers"), { mechanism: "A", items: 6 });
    const plan = await planOf(study, { sites: RESIDUAL });
    const model = await openNativeEngine(planted.path, { ...plan.engine, forward: "own" });
    const prompts = await locatePatched(plan, "planted", "object_level", {
      locate: async (asked: Parameters<typeof model.tokens.locate>[0][]) =>
        asked.map((one) => model.tokens.locate(one)),
    } as Parameters<typeof locatePatched>[3]);
    await model.dispose();
    const sites = await patchedSites(plan.patching as PlannedPatching, planted.path);
    const statesUnder = async (adapter?: string) => {
      const { prompts: known, matrix } = await donorStates({ path: planted.path, adapter }, prompts, sites);
      return known.map((one) => matrix([one], RESIDUAL).values);
    };
    const [base, under, alone, other] = [
      await statesUnder(),
      await statesUnder(whole),
      await statesUnder(changing),
      await statesUnder(idle),
    ];
    expect(alone).toEqual(under);
    expect(other).toEqual(base);
    expect(under?.every((values, at) => String(values) !== String(base?.[at]))).toBe(true);
  });

  test("half of the strings through A: neither", async () => {
    const scores = await patched({ mechanism: "dose", dose: 0.5 }, { sites: RESIDUAL });
    expect(scores).toMatchObject({ finding: "cannot_tell" });
    const { value, high } = slopeAt(scores, RESIDUAL);
    expect(value).toBeGreaterThan(0.1);
    expect(high).toBeLessThan(PLANTED_SLOPE);
  });
});

describe("adapters that were trained on a learner", () => {
  const RESIDUAL = "residual_after.0";
  const wording = hypotheticalVariant("minimal").template;
  const asked = (text: string) =>
    wording
      .replace("{prompt}", PLANTED_QUESTION.replace("{string}", text))
      .replace("{property}", PLANTED_PROPERTY_QUESTION);
  const LEARNER = { mechanism: "learner", items: 8 } as const;
  // As the study beside a learner has them.
  const settings = toTrainingSettings(
    loraSchema.parse({
      ...{ rank: 64, targets: ["down"], epochs: 40, batchExamples: 8, learningRate: 0.002, validationShare: 0 },
    }),
    1,
  );
  let planted: PlantedStudy;
  let quoted: (readonly [string, string])[];
  const adapters = { own: "", scrambled: "", quoted: "" };

  beforeAll(async () => {
    planted = await writePlantedStudy(join(folder, "learner"), LEARNER);
    const [task] = (await planOf(planted, { sites: RESIDUAL })).tasks;
    const stringOf = (id: string) => planted.strings[Number(id.slice("pair-".length))] as PlantedString;
    const seen = (task?.train ?? []).map(({ id }) => stringOf(id));
    const circle = inSeededOrder(seen, ({ text }) => text);
    const dealt = new Map(circle.map(({ text }, at) => [text, circle[(at + 1) % circle.length]?.value as string]));
    const quoting = QUOTED_ANSWER.template.replace("{property}", PLANTED_PROPERTY_QUESTION);
    quoted = planted.answers.map((answer, at) => {
      return [quoting.replace("{question}", answer), PLANTED_VALUES[planted.truth.propertyOf[at] as 0 | 1]] as const;
    });
    const examples = {
      own: seen.map(({ text, value }) => [asked(text), value] as const),
      scrambled: seen.map(({ text }) => [asked(text), dealt.get(text) as string] as const),
      quoted,
    };
    const model = await openNativeEngine(planted.path, OWN_ENGINE);
    let kernels: AdapterCard["machine"]["kernels"] | undefined;
    for (const [name, pairs] of Object.entries(examples)) {
      const encoded = await model.encode(
        pairs.map(([user, answer]) => [...turns("", user), { role: "assistant" as const, content: answer }]),
        { answers: "written" },
      );
      const card = await trainAdapter({
        modelPath: planted.path,
        base: { source: "planted", sha256: planted.sha256, encoding: "F32", architecture: "llama" },
        examples: encoded.map(({ tokenIds, answerStart }) => ({ tokenIds, answerStart })),
        settings,
        device: "cpu",
        threads: 1,
        outPath: join(folder, `${name}.gguf`),
        ...(kernels ? { kernels } : {}),
      });
      kernels = card.machine.kernels;
      adapters[name as keyof typeof adapters] = join(folder, `${name}.gguf`);
    }
    await model.dispose();
  }, 60_000);

  test("on its own behavior: a simulation; on the same labels of other strings: none", async () => {
    expect(await patched(LEARNER, { sites: RESIDUAL, strings: 24 }, { adapter: adapters.own })).toMatchObject({
      finding: "simulates",
      decidedBy: { site: RESIDUAL, by: "steered" },
      leftOut: {},
    });
    const scrambled = await patched(LEARNER, { sites: RESIDUAL, strings: 12 }, { adapter: adapters.scrambled });
    expect(scrambled.finding).not.toBe("simulates");
    expect(siteOf(scrambled, RESIDUAL).covariations[0]?.behaviorMoves).toMatchObject({ ok: true, value: 1 });
  });

  test("to read a property off a quoted answer: found in the layer that hears answers, and in no other", async () => {
    const prompts = quoted.map(([text, value], at) => ({ id: `${at}`, messages: turns("", text), meta: { value } }));
    const made = await switchAdapterLayers(prompts, planted.path, {
      ...{ adapter: adapters.quoted, choices: ["yes", "no"], valueKey: "value", layers: [1, 2] },
      ...{ engine: { device: "cpu", threads: 1 }, out: join(folder, "layers.jsonl") },
    });
    expect(made.has).toEqual([0, 1, 2, 3]);
    const [reads, hears] = made.layers as [LayerEffect, LayerEffect];
    // Of 8 answers 70 orders of the property.
    for (const effect of [made.whole, hears.alone, hears.lost]) {
      expect(effect.meanGain).toBeGreaterThan(3);
      expect(effect.adjusted.ok && effect.adjusted.p).toBeLessThan(0.05);
    }
    for (const { meanGain } of [reads.alone, reads.lost]) expect(Math.abs(meanGain as number)).toBeLessThan(0.01);
  });

  test.each(["own", "llama.cpp"] as const)(
    "%s wears an arm's layers for all of its groups, read once",
    async (forward) => {
      const [whole, cut] = [join(folder, `whole-${forward}.gguf`), join(folder, `cut-${forward}.gguf`)];
      await copyFile(adapters.quoted, whole);
      const model = await openNativeEngine(planted.path, { ...OWN_ENGINE, forward });
      const wear = armsWorn({ worn: { path: whole, scale: 1 }, has: [0, 1, 2, 3], cut });
      const [[text] = [""]] = quoted;
      const said = async (dressed: Pick<LanguageModel, "score">) =>
        (await dressed.score([{ messages: turns("", text), continuations: PLANTED_VALUES }]))[0]?.map(
          ({ logprobs }) => logprobs,
        );
      const before = await said(model);
      const dressed = await wear(model, "alone.2");
      const after = await said(dressed);
      expect(after).not.toEqual(before);
      // Nothing is left that a kill would leave, and nothing is read again.
      expect(existsSync(cut)).toBe(false);
      await rm(whole);
      expect(await wear(model, "alone.2")).toBe(dressed);
      expect(await said(dressed)).toEqual(after);
      await expect(wear(model, "without.2")).rejects.toMatchObject({ code: "ADAPTER_NOT_FOUND" });
      await model.dispose();
    },
  );
});
