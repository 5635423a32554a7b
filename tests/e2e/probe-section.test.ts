/** A study that looks inside finds what was planted where it was planted, and nothing where nothing is. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { prepareUnits } from "../../src/cluster/launch-workers.js";
import { mergeUnits } from "../../src/cluster/merge.js";
import { UnitSession } from "../../src/cluster/run-unit.js";
import { exportRun } from "../../src/exchange/export-run.js";
import { type PlantedModel, writePlantedModel, writePlantedStudy } from "../../src/probe/planted-model.js";
import { MECHANISMS } from "../../src/probe/planted-weights.js";
import type { LensQuestion, LensResults } from "../../src/probe/lens-results.js";
import type { ProbedQuestion, ProbeResults } from "../../src/probe/probe-results.js";
import { readSafetensors } from "../../src/finetune/adapter/safetensors.js";
import { dryRun } from "../../src/run/dry-run.js";
import { planStudy, runStudy, score } from "../../src/run/run-study.js";
import { inward } from "../helpers/command-line.js";
import { jacobianFile, type Saved, torchFile } from "../helpers/made-torch-file.js";
import { expectCellsOfReference, expectCellsOfSpans, SINGLE, tokenLinesOf } from "../helpers/lens-cells.js";

const folder = mkdtempSync(join(tmpdir(), "inward-probe-section-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const KEYS = {
  engine: { device: "cpu", threads: 1 },
  noiseFloor: { questions: 4 },
  probe: {
    spans: { hypothetical: ["string", "last_prompt_token"] },
    labels: ["behavior_given_property"],
  },
};
/** C, D and E in one study: the same task, and each beside another model. */
const OTHERS = ["C", "D", "E"] as const;
const OTHER_KEYS = {
  study: "planted",
  tasks: [{ task: "planted.yaml", examples: false }],
  hypothetical: { variants: ["minimal"] },
  predictions: OTHERS.map((one) => ({ predictor: one.toLowerCase(), target: one.toLowerCase() })),
  ...KEYS,
  probe: {
    ...KEYS.probe,
    spans: { hypothetical: ["last_prompt_token"], objectLevel: [] },
    randomWeights: false,
    wholePrompts: 1,
    lenses: [
      "logit",
      "tuned",
      { name: "turned-back", file: "lens", model: "d" },
      { name: "turned-back-j", file: "lens.pt", model: "d" },
    ],
  },
};

/**
 * Lenses of D that turn its basis back to that of the unembedding, of one layer alone: what layer 1 ends with and layer 2 begins with. Of
 * the others they change nothing.
 */
async function writeTurnedBack(place: string, { truth: turned }: PlantedModel) {
  const { truth: straight } = await writePlantedModel(join(folder, "straight.gguf"), {
    mechanism: "A",
    items: turned.items,
  });
  const width = turned.answerDirections[0]?.length as number;
  const back = new Float32Array(width * width);
  for (const [answer, from] of turned.answerDirections.entries()) {
    for (const [to, along] of (straight.answerDirections[answer] as readonly number[]).entries())
      for (const [at, value] of from.entries())
        back[to * width + at] = (back[to * width + at] as number) + along * value;
  }
  const unit = Float32Array.from({ length: width * width }, (_, at) => Number(at % (width + 1) === 0));
  const translators = [0, 1, 2, 3].flatMap((layer): [string, Saved][] => [
    [`${layer}.weight`, { shape: [width, width], values: layer === 2 ? back : new Float32Array(width * width) }],
    [`${layer}.bias`, { shape: [width], values: new Float32Array(width) }],
  ]);
  mkdirSync(join(place, "lens"));
  writeFileSync(join(place, "lens/params.pt"), torchFile(new Map(translators)));
  const config = { base_model_name_or_path: "planted-d", d_model: width, num_hidden_layers: 4 };
  writeFileSync(join(place, "lens/config.json"), JSON.stringify(config));
  const jacobians = [unit, back.map((value, at) => value + (unit[at] as number)), unit];
  writeFileSync(join(place, "lens.pt"), jacobianFile(width, new Map(jacobians.map((one, layer) => [layer, one]))));
}
const runOf = (mechanism: string) => join(folder, mechanism, "run");
const studyOf = (mechanism: string) => join(folder, mechanism, "study.yaml");
const resultsOf = (run: string) => JSON.parse(readFileSync(join(run, "08-probes.json"), "utf8")) as ProbeResults;
const lensesOf = (run: string) => JSON.parse(readFileSync(join(run, "08-lens.json"), "utf8")) as LensResults;
const linesOf = (path: string) => readFileSync(path, "utf8").trimEnd().split("\n");
const coded = (code: string, message = "") =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

beforeAll(async () => {
  for (const mechanism of ["A", "B"] as const) {
    await writePlantedStudy(join(folder, mechanism), { mechanism, items: 8 });
    const keys = parse(readFileSync(studyOf(mechanism), "utf8"));
    const probe = { ...KEYS.probe, ...(mechanism === "A" ? {} : { randomWeights: false, wholePrompts: 1 }) };
    writeFileSync(studyOf(mechanism), stringify({ ...keys, ...KEYS, probe }));
    await runStudy(studyOf(mechanism), { out: runOf(mechanism) });
  }
  const made = [];
  for (const mechanism of OTHERS) {
    const planted = await writePlantedStudy(join(folder, mechanism), { mechanism, items: 5 });
    made.push([mechanism.toLowerCase(), { source: planted.path }] as const);
    if (mechanism === "D") await writeTurnedBack(join(folder, "D"), planted);
  }
  cpSync(join(folder, "C"), join(folder, "others"), { recursive: true });
  for (const name of ["lens", "lens.pt"])
    cpSync(join(folder, "D", name), join(folder, "others", name), { recursive: true });
  writeFileSync(studyOf("others"), stringify({ ...OTHER_KEYS, models: Object.fromEntries(made) }));
  await runStudy(studyOf("others"), { out: runOf("others") });
}, 300_000);

/** Layers after which the answer is read beyond its property: the table of docs/probes.md. */
const READABLE = { A: [0, 1, 2, 3], B: [] } as const;

describe.each(["A", "B"] as const)("%s", (mechanism) => {
  const question = (prompt: ProbedQuestion["prompt"]) => {
    const found = resultsOf(runOf(mechanism)).questions.filter((one) => one.prompt === prompt);
    expect(found).toHaveLength(1);
    return found[0] as ProbedQuestion;
  };

  test("the answer is read on the hypothetical prompt where it is written, and nowhere else", () => {
    const { sites, trainStrings, heldOutStrings, leftOut, tokens } = question("hypothetical");
    expect({ trainStrings, heldOutStrings, leftOut }).toEqual({ trainStrings: 32, heldOutStrings: 32, leftOut: {} });
    expect(tokens.ok && tokens.gainAccuracy.ok && tokens.gainAccuracy.low).toBeLessThanOrEqual(0);
    const declared = sites.filter(({ isEmbedding }) => !isEmbedding);
    expect(declared).toHaveLength(8);
    for (const { span, layer, score, shuffled, holm, beyondTokens } of declared) {
      if (!score.ok || !holm.ok || !shuffled.ok) throw new Error(`${span} ${layer} was not scored`);
      expect(holm.of).toBe(8);
      expect(shuffled.gainAccuracy.ok && shuffled.gainAccuracy.low).toBeLessThanOrEqual(0);
      if (span === "last_prompt_token" && (READABLE[mechanism] as readonly number[]).includes(layer)) {
        expect(score.accuracy).toMatchObject({ ok: true, value: 1 });
        expect(holm.p).toBeLessThanOrEqual(0.01);
        expect(beyondTokens.ok && beyondTokens.difference.ok && beyondTokens.difference.low).toBeGreaterThan(0.5);
      } else {
        expect(score.gainAccuracy.ok && score.gainAccuracy.low).toBeLessThanOrEqual(0);
        expect(holm.p).toBeGreaterThan(0.05);
      }
    }
  });

  test("on the object-level prompt it is read in both: it is about to be said", () => {
    const read = question("object_level").sites.filter(({ isEmbedding }) => !isEmbedding);
    expect(read.map(({ score }) => score.ok && score.accuracy.ok && score.accuracy.value)).toEqual([1, 1, 1, 1]);
  });

  test("what is missing says why", () => {
    const last = question("hypothetical").sites.filter(({ span }) => span === "last_prompt_token");
    // The same token in every prompt.
    expect(last[0]).toMatchObject({
      isEmbedding: true,
      score: { ok: false, reason: "the states of all train strings are the same" },
      holm: { ok: false, reason: "the embedding is in no family of tests" },
    });
    expect(last[1]?.withoutAdapter).toEqual({ ok: false, reason: "it has no adapter of this study" });
    expect(last[1]?.otherModel).toEqual({ ok: false, reason: "the study looks into no second model" });
  });

  test("a network of the same shape with random weights shows nothing of it", () => {
    for (const { randomWeights } of mechanism === "B" ? question("hypothetical").sites : []) {
      expect(randomWeights).toEqual({ ok: false, reason: "the study wants none (probe.randomWeights)" });
    }
    for (const { isEmbedding, randomWeights, span } of mechanism === "A" ? question("hypothetical").sites : []) {
      if (isEmbedding && span === "last_prompt_token") continue;
      if (!randomWeights.ok || !randomWeights.gainAccuracy.ok) throw new Error(JSON.stringify(randomWeights));
      expect(randomWeights.gainAccuracy.low).toBeLessThanOrEqual(0);
    }
    expect(existsSync(join(runOf(mechanism), "07-states/planted+random-weights.gguf"))).toBe(false);
  });

  test("the report says how many sites, and that readable is not used", () => {
    const text = readFileSync(join(runOf(mechanism), "09-report.md"), "utf8");
    expect(text).toContain("Readable is never used.");
    expect(text).toContain(mechanism === "A" ? "Readable beyond the base at 4 of 8 sites" : "At none of 8 sites");
    // A sum modulo n is in no bag of tokens, so what is read is more than the text.
    if (mechanism === "A")
      expect(text).toContain("Of these it is above, with its interval: the prompt's tokens alone at 4,");
    if (mechanism === "A") expect(text).toMatch(/Not compared: [^.]*another model\./);
  });
});

/** Layers after which the logit lens sees the answer beyond the property: the table of docs/probes.md. */
const SEEN = { A: [0, 1, 2, 3], B: [], C: [0, 1], D: [], E: [2, 3] } as const;

describe.each(MECHANISMS)("lenses on %s", (mechanism) => {
  const isOther = (OTHERS as readonly string[]).includes(mechanism);
  const state = isOther ? mechanism.toLowerCase() : "planted";
  const results = () => lensesOf(runOf(isOther ? "others" : mechanism));
  const question = (prompt: LensQuestion["prompt"], lens = "logit") => {
    const found = results().questions.filter((one) => {
      return one.prompt === prompt && one.lens === lens && one.predictor === state;
    });
    expect(found).toHaveLength(1);
    return found[0] as LensQuestion;
  };
  const read = () => results().states.find((one) => one.state === state);

  test("the end of the model sees the answer where it is written along the unembedding, and nowhere else", () => {
    const { sites, leftOut } = question("hypothetical");
    expect(leftOut).toEqual({});
    const last = sites.filter(({ span, isDeclared }) => span === "last_prompt_token" && isDeclared);
    expect(last).toHaveLength(4);
    for (const { layer, score, holm } of last) {
      if (!score.ok || !holm.ok) throw new Error(JSON.stringify(score));
      const isSeen = (SEEN[mechanism] as readonly number[]).includes(layer);
      expect(score.first).toMatchObject({ ok: true, value: isSeen ? 1 : 0 });
      if (isSeen) {
        expect(score.gainNats.ok && score.gainNats.low).toBeGreaterThan(1);
        expect(holm.p).toBeLessThan(0.05);
      } else if (score.gainNats.ok) expect(Math.abs(score.gainNats.value)).toBeLessThan(1e-3);
    }
    const elsewhere = sites.filter(({ span }) => span !== "last_prompt_token");
    for (const { score } of elsewhere) expect(score.ok && score.first).toMatchObject({ ok: true, value: 0 });
  });

  test("after the last layer the lens says what the model said", () => {
    const end = read()?.end;
    expect(end).toMatchObject({ ok: true, otherToken: 0 });
    expect(end?.ok && end.greatestNats).toBeLessThan(SINGLE);
  });

  test("maps are found for every site before the end, and what is said at the end with them is told", () => {
    const sites = ["residual_before.0", "residual_after.0", "residual_after.1", "residual_after.2"];
    expect(read()?.tuned.map(({ site }) => site)).toEqual(sites);
    for (const tuned of read()?.tuned ?? []) {
      if ("ok" in tuned || !tuned.heldOut.ok) throw new Error(JSON.stringify(tuned));
      const { tunedNats, loweredNats } = tuned.heldOut;
      // Where the layers after it add nothing to these strings, no map can lower anything, and no draw changes it.
      if (tunedNats.ok) expect(tunedNats.value).toBeGreaterThanOrEqual(0);
      else expect(loweredNats.ok || loweredNats.reason).toMatch(/no draw of \d+ strings changes it/);
    }
  });
});

test.each(["A", "B"])(
  "%s: on the object-level prompt a lens sees it at the end: it is about to be said",
  (mechanism) => {
    const found = lensesOf(runOf(mechanism)).questions.find(
      ({ prompt, lens }) => prompt === "object_level" && lens === "logit",
    );
    const end = found?.sites.find(({ site }) => site === "residual_after.3");
    expect(end?.score.ok && end.score.first).toMatchObject({ ok: true, value: 1 });
  },
);

describe("lenses of files", () => {
  const question = (lens: string) =>
    lensesOf(runOf("others")).questions.find(
      (one) => one.lens === lens && one.prompt === "hypothetical",
    ) as LensQuestion;

  test.each(["turned-back", "turned-back-j"])(
    "%s sees what D has turned away, at the site whose map turns it back",
    (lens) => {
      expect(question(lens).predictor).toBe("d");
      for (const { site, score } of question(lens).sites) {
        if (site === "residual_before.0" || site === "residual_after.3") continue;
        expect(score.ok && score.first).toMatchObject({ ok: true, value: site === "residual_after.1" ? 1 : 0 });
      }
      const maps = lensesOf(runOf("others")).states.find(({ state }) => state === "d")?.given ?? [];
      const layers = maps.flatMap((one) =>
        one.lens === lens ? [[one.site, "layer" in one ? one.layer : one.reason]] : [],
      );
      expect(layers).toEqual(
        lens === "turned-back"
          ? [
              ["residual_before.0", 0],
              ["residual_after.0", 1],
              ["residual_after.1", 2],
              ["residual_after.2", 3],
            ]
          : [
              ["residual_before.0", "the lens has no map for the embedding"],
              ["residual_after.0", 0],
              ["residual_after.1", 1],
              ["residual_after.2", 2],
            ],
      );
    },
  );

  test("a map that changes nothing reads what the logit lens reads; what both formats say is the same", () => {
    const gains = (lens: string) =>
      question(lens).sites.map(({ score }) => (score.ok && score.ownNats.ok ? score.ownNats.value : undefined));
    const logit = lensesOf(runOf("others")).questions.find((one) => one.predictor === "d" && one.lens === "logit");
    const plain = logit?.sites.map(({ score }) => (score.ok && score.ownNats.ok ? score.ownNats.value : undefined));
    const [tuned, jacobian] = [gains("turned-back"), gains("turned-back-j")];
    expect(tuned[1]).toBe(plain?.[1]);
    expect(jacobian[3]).toBe(plain?.[3]);
    expect(jacobian[2]).toBeCloseTo(tuned[2] as number, 5);
    expect(Math.abs((tuned[2] as number) - (plain?.[2] as number))).toBeGreaterThan(1);
  });

  test("the report, the table and the dry run say which files, and of which model they say to be", async () => {
    const text = readFileSync(join(runOf("others"), "09-report.md"), "utf8");
    expect(text).toContain("The file says that it is of planted-d");
    expect(text).toContain("The file does not say of which model it is");
    expect(text).toContain("lens turned-back-j:");
    const out = join(folder, "exported-others");
    await exportRun(runOf("others"), { to: ["csv"], out });
    const rows = linesOf(join(out, "lenses.csv"));
    expect(rows.filter((row) => row.includes(",turned-back,"))).toHaveLength(question("turned-back").sites.length);
    expect(rows.filter((row) => row.includes(",planted-d"))).toHaveLength(question("turned-back").sites.length);
  });

  test.each<[object, string, string]>([
    [{ name: "logit", file: "lens", model: "d" }, "STUDY_INVALID", "a lens that the study has itself"],
    [{ name: "x", file: "lens" }, "STUDY_INVALID", "say of which one the lens x is"],
    [{ name: "x", file: "lens", model: "f" }, "STUDY_UNKNOWN_MODEL", 'of "f", which models does not have'],
    [{ name: "x", file: "nowhere", model: "d" }, "LENS_FILE", "ENOENT"],
    [
      { name: "x", file: "wide.pt", model: "d" },
      "LENS_FILE",
      "it is 4 wide, and the model 64. The file does not say which",
    ],
  ])("%j is refused before anything is asked", async (lens, code, message) => {
    writeFileSync(join(folder, "others/wide.pt"), jacobianFile(4, new Map([[0, new Float32Array(16)]])));
    const set = { "probe.lenses": [lens] };
    await expect(dryRun(studyOf("others"), { measure: false, set })).rejects.toEqual(coded(code, message));
  });
});

test("another model stands beside: at the same depth, about the same answers", () => {
  const site = (predictor: string, layer: number) => {
    const found = lensesOf(runOf("others")).questions.find((one) => {
      return one.predictor === predictor && one.prompt === "hypothetical" && one.lens === "logit";
    });
    return found?.sites.find((one) => one.site === `residual_after.${layer}`);
  };
  // After layer 0 C has written the answer along its unembedding, and D has not.
  const [c, d] = [site("c", 0), site("d", 0)];
  if (!c?.score.ok || !c.score.gainNats.ok || !c.beyondOtherModel.ok) throw new Error(JSON.stringify(c));
  expect(c.otherModel).toMatchObject({ ok: true, state: "d", site: "residual_after.0" });
  expect(Math.abs(c.beyondOtherModel.value - c.score.gainNats.value)).toBeLessThan(1e-3);
  expect(d?.otherModel).toMatchObject({ ok: true, state: "c" });
  expect(d?.beyondOtherModel.ok && d.beyondOtherModel.high).toBeLessThan(-1);
  const probed = resultsOf(runOf("others")).questions.find(
    (one) => one.predictor === "c" && one.prompt === "hypothetical",
  );
  const beside = probed?.sites.find((one) => one.layer === 3 && !one.isEmbedding)?.otherModel;
  expect(beside).toMatchObject({ ok: true, state: "d", site: "residual_after.3" });
});

test("the report has the lenses' verdicts, and says that visible is not used", () => {
  const text = (mechanism: string) => readFileSync(join(runOf(mechanism), "09-report.md"), "utf8");
  expect(text("A")).toContain("Visible to the model's end beyond other strings' values at 4 of 8 sites");
  expect(text("B")).toContain("At none of 8 sites does the model's end see it");
  expect(text("A")).toContain("Visible to the model's end is not used.");
});

describe("prompts that are read at every token", () => {
  test.each(["c", "d", "e"])("%s: every cell is what double precision says of the state there", async (state) => {
    await expectCellsOfReference(runOf("others"), state, join(folder, state.toUpperCase(), "planted.gguf"));
  });

  test("where a span is read too, its numbers are the same to the last digit, through every lens", () => {
    const compared = expectCellsOfSpans(runOf("others"));
    // Five sites by the logit lens, four by the tuned one, of three models; of D those that the files have maps of.
    expect(compared.filter((lens) => lens === "logit").length).toBe(15);
    expect(compared.filter((lens) => lens === "tuned").length).toBe(12);
    expect(compared.filter((lens) => lens.startsWith("turned-back")).length).toBe(7);
    const missing = tokenLinesOf(runOf("others")).flatMap((line) =>
      line.what === "missing" ? [[line.lens, line.site, line.reason]] : [],
    );
    expect(missing).toEqual([["turned-back-j", "residual_before.0", "the lens has no map for the embedding"]]);
    expect(existsSync(join(runOf("others"), "07-lens-states"))).toBe(false);
  });

  test("in a unit: the bytes of one process, and no states that stay", async () => {
    const [whole, copy] = [runOf("B"), join(folder, "in-a-unit")];
    cpSync(whole, copy, { recursive: true });
    const made = ["07-lens.jsonl", "07-lens-tokens.jsonl"];
    for (const name of made) rmSync(join(copy, name));
    const stages = JSON.parse(readFileSync(join(copy, "stages.json"), "utf8"));
    for (const name of ["lens", "lensTokens"]) delete stages[name];
    writeFileSync(join(copy, "stages.json"), JSON.stringify(stages));
    const { units } = await prepareUnits(await planStudy(studyOf("B"), { out: copy }));
    const unit = units.find(({ id }) => id.startsWith("07-lens/"));
    const session = await UnitSession.of(copy);
    expect(await session.do(unit?.id ?? "")).toBe("done");
    await session.close();
    const files = readdirSync(join(copy, "units"), { recursive: true }).map(String);
    expect(files.filter((name) => name.includes("lens-states"))).toEqual([]);
    expect(files.filter((name) => made.some((one) => name.endsWith(one)))).toHaveLength(2);
    expect((await mergeUnits(copy)).finished).toBe(true);
    for (const name of made) expect(readFileSync(join(copy, name)).equals(readFileSync(join(whole, name)))).toBe(true);
    expect(tokenLinesOf(copy).filter(({ what }) => what === "cells").length).toBeGreaterThan(0);
  });
});

test("what a killed run had finished stays: lenses line by line, probes fit by fit", async () => {
  const copy = join(folder, "killed");
  cpSync(runOf("others"), copy, { recursive: true });
  const tokensFile = join(copy, "07-lens-tokens.jsonl");
  const wholeTokens = readFileSync(tokensFile, "utf8");
  // Less than the lens has: the map of its last line is found again.
  const [first, second, third = ""] = wholeTokens.split("\n");
  const doctoredTokens = third.replace(/"entropyNats":\[[\d.]+/, '"entropyNats":[123');
  writeFileSync(tokensFile, `${[first, second, doctoredTokens].join("\n")}\n{"what":"ce`);
  const whole = readFileSync(join(copy, "07-lens.jsonl"), "utf8");
  const lines = whole.split("\n");
  const doctored = (lines[3] as string).replace(/"entropyNats":[\d.e-]+/, '"entropyNats":123');
  writeFileSync(join(copy, "07-lens.jsonl"), `${[...lines.slice(0, 3), doctored].join("\n")}\n{"what":"si`);
  const stages = JSON.parse(readFileSync(join(copy, "stages.json"), "utf8"));
  for (const name of ["lens", "lensTokens", "lensScores", "probes"]) delete stages[name];
  writeFileSync(join(copy, "stages.json"), JSON.stringify(stages));
  const stop = new AbortController();
  await expect(
    runStudy(studyOf("others"), {
      out: copy,
      signal: stop.signal,
      onProgress: ({ stage, done }) => {
        if (stage === "probes" && done === 2) stop.abort();
      },
    }),
  ).rejects.toEqual(coded("INTERRUPTED"));
  const again = readFileSync(join(copy, "07-lens.jsonl"), "utf8");
  expect(again.replace(doctored, lines[3] as string)).toBe(whole);
  expect(doctoredTokens).not.toBe(third);
  expect(readFileSync(tokensFile, "utf8").replace(doctoredTokens, third)).toBe(wholeTokens);
  const fits = linesOf(join(copy, "08-probe-fits.jsonl"));
  // The tokens alone; of five sites the probe, its controls and what is missing.
  expect(fits.length).toBeGreaterThan(10);
  const marked = (fits[1] as string).replace(/"ok":true/, '"ok":true,"mark":7');
  writeFileSync(join(copy, "08-probe-fits.jsonl"), `${[fits[0], marked, ...fits.slice(2)].join("\n")}\n`);
  await runStudy(studyOf("others"), { out: copy });
  expect(existsSync(join(copy, "08-probe-fits.jsonl"))).toBe(false);
  const { tokens, ...fitted } = resultsOf(copy).questions[0] as ProbedQuestion & { tokens: { mark?: number } };
  expect(tokens.mark).toBe(7);
  const { tokens: _, ...before } = resultsOf(runOf("others")).questions[0] as ProbedQuestion;
  expect(fitted).toEqual(before);
});

test("spans of replies: the tokens that a run was answered with, behind the prompt's", async () => {
  const rows = (path: string) => linesOf(path).map((line) => JSON.parse(line));
  const hypothetical = rows(join(runOf("A"), "07-hypothetical.jsonl"))[0];
  const object = rows(join(runOf("A"), "02-object-level.jsonl")).find(({ item }) => item === hypothetical.item);
  const { text } = rows(join(folder, "A/planted.jsonl")).find(({ id }) => id === hypothetical.item);
  const place = [
    "--task",
    join(folder, "A/planted.yaml"),
    "-m",
    join(folder, "A/planted.gguf"),
    "--property",
    "listed",
  ];
  const args = ["probe", "spans", text, ...place, "--no-examples", "--replies", "--offline"];
  const said = await inward([...args, "--json"], { cwd: folder });
  const { spans, prompts } = JSON.parse(said.stdout);
  for (const [kind, { reply }] of [
    ["objectLevel", object],
    ["hypothetical", hypothetical],
  ] as const) {
    const own = spans.flatMap((span: Record<string, { ok: boolean }> & { name: string }) =>
      span.name.startsWith("reply_") && span[kind]?.ok ? [span[kind]] : [],
    );
    expect(own.flatMap(({ ids }: { ids: number[] }) => ids)).toEqual(reply.tokenIds);
    const first = prompts[kind].tokenIds.length;
    expect(own.flatMap(({ tokens }: { tokens: number[] }) => tokens)).toEqual(
      reply.tokenIds.map((_: number, at: number) => first + at),
    );
  }
  const shown = await inward(args, { cwd: folder });
  expect(shown.stdout).toMatch(/reply_1 +"[a-z]+" \| "(yes|no)" +\d+ +\d+ +no: replies to two questions, other tokens/);
});

test("states without a run: of a study what its run keeps, of a task the same ids as asked", async () => {
  const args = ["states", "--json", "--offline"];
  const out = join(folder, "of-study");
  const done = await inward([...args, "--study", studyOf("A"), "--out", out], { cwd: folder });
  expect(done.code).toBe(0);
  const linesIn = (at: string, name: string) => linesOf(join(at, name)).map((line) => JSON.parse(line));
  const kept = linesIn(join(runOf("A"), "07-states/planted"), "prompts.jsonl");
  expect(linesIn(out, "prompts.jsonl")).toEqual(kept);
  const file = "states-00001.safetensors";
  const [own, ofRun] = [
    await readSafetensors(join(out, file)),
    await readSafetensors(join(runOf("A"), `07-states/planted/${file}`)),
  ];
  for (const [site, { values }] of own) expect(values).toEqual(ofRun.get(site)?.values);

  const task = ["--task", join(folder, "A/planted.yaml"), "--model", join(folder, "A/planted.gguf"), "--no-examples"];
  const taken = await inward(
    [...args, ...task, "--strings", "3", "--spans", "string,last_prompt_token", "--out", join(folder, "of-task")],
    { cwd: folder },
  );
  expect(taken.code).toBe(0);
  const prompts = linesIn(join(folder, "of-task"), "prompts.jsonl");
  expect(prompts).toHaveLength(2 * (3 + 3));
  for (const { prompt, promptSha256, meta } of prompts) {
    const same = kept.find((one) => one.prompt === prompt);
    expect(promptSha256).toBe(same?.promptSha256);
    // All tokens of the span: two items.
    expect(meta.spans.string).toHaveLength(2);
    expect(meta.spans.string.at(-1)).toBe(
      same?.meta.kind === "hypothetical" ? same.meta.spans.string[0] : meta.spans.string.at(-1),
    );
  }
  for (const wrong of [
    ["--file", "x.jsonl", "--task", "planted"],
    ["--study", studyOf("A"), "--positions", "all"],
    ["--study", studyOf("A"), "--state", "nobody"],
  ]) {
    const { code, stdout } = await inward([...args, ...wrong, "--out", join(folder, "nowhere")], { cwd: folder });
    expect([code, JSON.parse(stdout).error?.code]).toEqual([2, "USAGE"]);
  }
  expect(existsSync(join(folder, "nowhere"))).toBe(false);
});

test("the dry run says the bytes that the files have", async () => {
  const { probe, disk } = await dryRun(studyOf("A"), { measure: false, set: { "probe.wholePrompts": 2 } });
  const bytesOf = (state: string): number => {
    const { files } = JSON.parse(readFileSync(join(runOf("A"), `07-states/${state}/states.json`), "utf8"));
    return files.reduce((sum: number, one: { bytes: number }) => sum + one.bytes, 0);
  };
  const bytes = bytesOf("planted");
  const counted = { ok: true, sites: 4, residuals: 5, prompts: 128, rows: 192, trainRows: 96, heldOutRows: 96, bytes };
  expect(probe?.states).toEqual([
    expect.objectContaining({ ...counted, state: "planted" }),
    expect.objectContaining({ ...counted, state: "planted+random-weights" }),
  ]);
  expect(disk.states).toBe(2 * bytes);
  // A bag of tokens for each kind of prompt; of each site and span the probe, shuffled labels, the control task, random weights.
  expect(probe?.fits.count).toBe(2 + 4 * 5 * (2 + 1));
  // Each site, the embedding among them, by both lenses; the end by one. Every token of two strings' prompts as well: 18 and 44 of each string.
  const tokens = 2 * (18 + 44);
  expect(probe?.lens).toMatchObject({ maps: 4, rows: (96 + tokens) * (5 + 4), wholePrompts: 4 });
  expect(disk.lensStates).toBeGreaterThan(tokens * 5 * 64 * 4);
  // As many cells of three models took so much.
  const [cells, told] = [
    (44 * 3 * 5 + 44 * (3 * 4 + 7)) / (tokens * 9),
    readFileSync(join(runOf("others"), "07-lens-tokens.jsonl")).length,
  ];
  expect((disk.lensTokens as number) * cells).toBeGreaterThan(told / 3);
  expect((disk.lensTokens as number) * cells).toBeLessThan(told * 3);
});

test("a table of it is exported", async () => {
  const out = join(folder, "export");
  await exportRun(runOf("A"), { to: ["csv"], out });
  const [lensHeader, ...lensRows] = linesOf(join(out, "lenses.csv"));
  expect(lensHeader).toMatch(/^predictor,target,task,prompt,property,variant,label,lens,part,layer,span/);
  expect(lensRows).toHaveLength(lensesOf(runOf("A")).questions.reduce((sum, { sites }) => sum + sites.length, 0));
  const [header, ...rows] = readFileSync(join(out, "probes.csv"), "utf8").trimEnd().split(/\r?\n/);
  expect(header).toMatch(/^predictor,target,task,prompt,property,variant,label,part,layer,span/);
  expect(rows).toHaveLength(resultsOf(runOf("A")).questions.reduce((sum, { sites }) => sum + sites.length, 0));
});

test("states that were changed are refused; scoring again gives the same bytes", async () => {
  const copy = join(folder, "copy");
  cpSync(runOf("B"), copy, { recursive: true });
  const before = readFileSync(join(copy, "08-probes.json"));
  rmSync(join(copy, "08-probes.json"));
  await score(copy);
  expect(readFileSync(join(copy, "08-probes.json")).equals(before)).toBe(true);
  const states = join(copy, "07-states/planted/states-00001.safetensors");
  const bytes = readFileSync(states);
  bytes[bytes.length - 3] = (bytes[bytes.length - 3] as number) ^ 1;
  writeFileSync(states, bytes);
  rmSync(join(copy, "08-probes.json"));
  await expect(score(copy)).rejects.toEqual(coded("STORE_CORRUPT", "states-00001.safetensors was changed"));
});

test.each([
  ["attention_weights.0", "PROBE_SITE", "rows are as long as their text"],
  ["residual_after.9", "PROBE_SITE", "layers 0 to 3"],
])("sites: %s is refused before anything is asked", async (sites, code, message) => {
  const set = { "probe.sites": sites };
  await expect(dryRun(studyOf("A"), { measure: false, set })).rejects.toEqual(coded(code, message));
  await expect(runStudy(studyOf("A"), { out: join(folder, `refused ${sites}`), set })).rejects.toEqual(
    coded(code, message),
  );
});

test.each([
  [{ "probe.spans": { hypothetical: ["strings"] } }, "STUDY_INVALID", "name a span"],
  [{ "probe.spans": { objectLevel: ["property"] } }, "STUDY_INVALID", "name a span"],
  [{ "objectLevel.reasoning": "strip" }, "STUDY_INVALID", "objectLevel.reasoning to off"],
  [
    { "probe.wholePrompts": 1, "probe.lenses": [] },
    "STUDY_INVALID",
    "probe.wholePrompts: has whole prompts read by lenses",
  ],
])("%j is refused", async (set, code, message) => {
  await expect(dryRun(studyOf("A"), { measure: false, set })).rejects.toEqual(coded(code, message));
});
