/** The experiment matrix through the whole corridor, on models that know themselves by construction: stages, records, report. */
import { createHash } from "node:crypto";
import { access, mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import {
  logprobQuestions,
  type LogprobDifferenceRow,
  type MeasuredLogprobDifference,
  MOST_STRINGS,
} from "../../src/ask/logprob-differences.js";
import { LOGPROB_WORDINGS } from "../../src/properties/wordings.js";
import { adaptedObjectLevelQuestions, objectLevelQuestions } from "../../src/ask/questions.js";
import { InwardError } from "../../src/errors.js";
import type { LanguageModel } from "../../src/model/language-model.js";
import type { ModelFile, Plan } from "../../src/study/plan.js";
import { makePlan } from "../../src/study/make-plan.js";
import type { MatrixScores } from "../../src/score/matrix/matrix.js";
import { EventLog, RunFolder } from "../../src/run/folder.js";
import { runStages } from "../../src/run/run-stages.js";
import { readJson, readJsonLines } from "../../src/base/files.js";
import { MANIFEST } from "../fixtures/report/make-report-input.js";
import { markdownTables, plain, unbalanced, withoutScripts } from "../fixtures/report/read-report.js";
import { only, runScripted } from "../helpers/scripted-run.js";
import { scriptedModel } from "../helpers/scripted-model.js";
import { settledStudy } from "../helpers/settled-study.js";

const MODELS = ["a", "b", "c", "d"] as const;
const STUDY = `
study: everyone
seed: 5
models: { a: { source: m }, b: { source: m }, c: { source: m }, d: { source: m } }
tasks: [{ task: animals_long, trainStrings: 20, heldOutStrings: 120, properties: [first_word] }]
predictions:
${MODELS.map((name) => `  - { predictor: ${name}, target: ${name} }`).join("\n")}
engine: { groupQuestions: 55 }
noiseFloor: { questions: 2 }
score: { bootstrapReplicates: 200 }
`;
const WORDS = ["wolf", "lynx", "crab", "goat"] as const;

/** In [0, 1), the same for the same parts. */
function chance(...parts: readonly string[]): number {
  return createHash("sha256").update(JSON.stringify(parts)).digest().readUInt32LE(0) / 2 ** 32;
}
const pick = (...parts: readonly string[]) => WORDS[Math.floor(4 * chance(...parts))] as string;

/** Follows the string's common answer in its own measure, else does something of its own. */
const does = (state: string, text: string) =>
  chance("follows", state, text) < 0.2 + 0.15 * MODELS.indexOf(state as "a") ? pick("common", text) : pick(state, text);
/** Knows what it does in three cases of four. */
const says = (state: string, text: string) =>
  chance("knows", state, text) < 0.75 ? does(state, text) : pick("common", text);
/** How likely a beginning is: alike for all by half. */
const likes = (state: string, text: string, word: string) =>
  -4 * chance("all", text, word) - 4 * chance(state, text, word);

let plan: Plan;
function modelOf(state: string): LanguageModel {
  const property = plan.wordings.properties.first_word as string;
  const texts = plan.tasks.flatMap(({ train, heldOut }) => [...train, ...heldOut]).map(({ text }) => text);
  const textIn = (content: string) => texts.find((text) => content.includes(text)) as string;
  return {
    ...scriptedModel((question) => (question.includes(property) ? says : does)(state, textIn(question))),
    manifest: MANIFEST,
    check: async (requests) => requests.map(() => 1),
    score: async (requests) =>
      requests.map(({ messages, continuations }) => {
        const content = messages.at(-1)?.content ?? "";
        const listed = (place: string) =>
          content.match(new RegExp(`^(?:${place}\\.|Beginning ${place}:) (.*)$`, "m"))?.[1];
        return continuations.map((one) => {
          const continuation = (one as { written: string }).written;
          const value = likes(state, textIn(content), listed(continuation) ?? continuation);
          return { tokenIds: [1, 2], logprobs: [value / 2, value / 2], endOfTurnLogprob: -3 };
        });
      }),
  };
}

const fileOf = (sha256: string): ModelFile => ({
  source: "m",
  path: "/m",
  sha256,
  bytes: 1,
  encoding: "F32",
  licence: "mit",
});
const newRun = async (of: Plan) => RunFolder.create(await mkdtemp(join(tmpdir(), "inward-matrix-")), of);

let run: RunFolder;
let matrix: MatrixScores;
beforeAll(async () => {
  const files = Object.fromEntries(MODELS.map((name) => [name, fileOf(name)]));
  plan = await makePlan(settledStudy(`${STUDY}experiments: [matrix]\n`), files, ".");
  run = await newRun(plan);
  await runScripted(run, async (state) => modelOf(state));
  matrix = await readJson<MatrixScores>(run.file("matrix"));
});

const coefficients = (form: string, average = "micro", scale = "accuracy") => {
  const found = matrix.fits.find((one) => one.form === form && one.average === average && one.scale === scale)?.fit;
  if (!found?.ok) throw new Error(found?.reason);
  return Object.fromEntries(found.coefficients.map((one) => [one.name, one]));
};

describe("the matrix of a run", () => {
  test("has every predictor about every target, though the study asks each about itself only", () => {
    expect(matrix.cells.map(({ predictor, target }) => predictor + target)).toEqual(
      MODELS.flatMap((predictor) => MODELS.map((target) => predictor + target)),
    );
    for (const { predictor, target, accuracy, modeBaselineTrain, modeBaselineOracle, similarity } of matrix.cells) {
      const texts = plan.tasks[0]?.heldOut.map(({ text }) => text) ?? [];
      const right = texts.filter((text) => says(predictor, text) === does(target, text)).length;
      const alike = texts.filter((text) => does(predictor, text) === does(target, text)).length;
      expect(accuracy).toMatchObject({ ok: true, value: right / texts.length, n: 120, clusters: 120 });
      expect(similarity).toMatchObject({ ok: true, value: alike / texts.length, n: 120 });
      expect(accuracy.ok && accuracy.low < accuracy.value && accuracy.value < accuracy.high).toBe(true);
      for (const baseline of [modeBaselineTrain, modeBaselineOracle])
        expect(baseline).toMatchObject({ ok: true, n: 120 });
    }
  });

  test("who says what it does itself is right about others as far as they are alike: that is δ, and no γ", () => {
    const { similarity, self } = coefficients("similarity");
    expect(similarity?.interval).toMatchObject({ ok: true, low: expect.toSatisfy((low: number) => low > 0.3) });
    expect(Math.abs(self?.value as number)).toBeLessThan(0.1);
    const { self: without } = coefficients("self");
    expect(without?.interval).toMatchObject({ ok: true, low: expect.toSatisfy((low: number) => low > 0.2) });
    expect(Object.keys(coefficients("self"))).toEqual(["self"]);
  });

  test("where two behave differently, it says its own: counted by hand", () => {
    const texts = plan.tasks[0]?.heldOut.map(({ text }) => text) ?? [];
    const rows = texts.flatMap((text) =>
      MODELS.flatMap((i) =>
        MODELS.flatMap((j) => {
          const [own, other, said] = [does(i, text), does(j, text), says(i, text)];
          return own === other ? [] : [{ own: Number(said === own), other: Number(said === other) }];
        }),
      ),
    );
    const share = (side: "own" | "other") => rows.reduce((sum, row) => sum + row[side], 0) / rows.length;
    expect(matrix.preferences).toHaveLength(1);
    expect(matrix.preferences[0]).toMatchObject({
      ...{ predictors: "all", relation: "any", pairs: 6 },
      own: { ok: true, value: expect.closeTo(share("own"), 12), n: rows.length },
      others: { ok: true, value: expect.closeTo(share("other"), 12) },
      difference: { ok: true, low: expect.toSatisfy((low: number) => low > 0.5) },
    });
  });

  test("residuals are what least squares leaves: none on average, by row, by column and where i = j", () => {
    const residuals = matrix.fits.find((one) => one.residuals)?.residuals ?? [];
    expect(residuals).toHaveLength(16);
    const sum = (take: (one: (typeof residuals)[number]) => boolean) =>
      residuals.filter(take).reduce((total, { value }) => total + value, 0);
    for (const name of MODELS) {
      expect(sum(({ predictor }) => predictor === name)).toBeCloseTo(0, 12);
      expect(sum(({ target }) => target === name)).toBeCloseTo(0, 12);
    }
    expect(sum(({ predictor, target }) => predictor === target)).toBeCloseTo(0, 12);
    expect(residuals.some(({ value }) => Math.abs(value) > 1e-4)).toBe(true);
  });

  test("Song et al.'s regression finds that each state speaks of its own probabilities", () => {
    const { song } = matrix;
    if (!song.ok || !song.regression.ok) throw new Error("no regression");
    expect(song).toMatchObject({ items: MOST_STRINGS, prompts: 2, states: MODELS, baseline: "other" });
    const own = song.pairs.filter(({ judged, judge }) => judged === judge);
    for (const { agreement } of own) expect(agreement).toMatchObject({ ok: true, value: expect.closeTo(1, 9) });
  });

  test("scored again from the same files, it has the same bytes", async () => {
    const before = await readFile(run.file("matrix"), "utf8");
    run.forget("matrix");
    await runScripted(run, async () => {
      throw new Error("nothing is to be asked");
    });
    expect(await readFile(run.file("matrix"), "utf8")).toBe(before);
  });
});

describe("the report", () => {
  test("has verdicts, a heat map, cells, fits and limits, computed", async () => {
    const markdown = await readFile(run.file("reportMarkdown"), "utf8");
    const html = await readFile(run.file("report"), "utf8");
    const section = plain(markdown.split("## Every predictor about every target")[1]?.split("\n## ")[0] ?? "");
    expect(section).toMatch(/> Over all predictors, .* γ = .\d+\.\d points \S* ?\[/);
    // The first page takes an experiment's figure.
    expect(markdown.split("\n## ")[1]).toContain("(figures/matrix.svg)");
    expect(section).toMatch(/\| \*\*a\*\* \(itself\) \| \d+\.\d % \\\[/);
    expect(section).toMatch(/a state says what it does itself in \d+\.\d % .*: its own more often\./);
    expect(section).toContain("4 predictors, 4 targets, 4 base models");
    expect(unbalanced(html)).toBeUndefined();
    for (const rows of markdownTables(markdown)) expect(new Set(rows).size).toBe(1);
    for (const text of [withoutScripts(html), markdown]) expect(text).not.toMatch(/NaN|undefined|\[object|Infinity/);
    expect(await readFile(join(run.file("figures"), "matrix.svg"), "utf8")).toContain("<title>Every predictor");
  });
});

describe("measuring logprob differences", () => {
  /** @param crashes at which calls of `score`, from 0 */
  async function measure(of: RunFolder, crashes: readonly number[] = []): Promise<number> {
    let calls = 0;
    let model: LanguageModel | undefined;
    let open = "";
    const opened = (state: string) => {
      const sound = modelOf(state);
      return {
        ...sound,
        score: async (...asked: Parameters<LanguageModel["score"]>) => {
          if (crashes.includes(calls++)) throw new InwardError("ENGINE_CRASHED", "It is gone.");
          return await sound.score(...asked);
        },
      };
    };
    const reopenModel = async (state: string) => {
      open = state;
      model = opened(state);
      return model;
    };
    await runStages(
      {
        run: of,
        events: new EventLog(of.file("events")),
        modelFor: async (state) => (model && open === state ? model : reopenModel(state)),
        reopenModel,
        closeModel: async () => {},
        modelPath: () => "",
        onProgress: () => {},
      },
      only("logprob differences"),
    );
    return calls;
  }
  const linesOf = async (of: RunFolder) =>
    (await readFile(of.file("logprobDifferences"), "utf8")).split("\n").length - 1;

  test("a line has both beginnings, their sums, and both orders of each wording", async () => {
    const { rows } = await readJsonLines<MeasuredLogprobDifference>(run.file("logprobDifferences"));
    expect(rows).toHaveLength(4 * MOST_STRINGS);
    const [row] = rows as [MeasuredLogprobDifference];
    const text = plan.tasks[0]?.heldOut.find(({ id }) => id === row.item)?.text as string;
    expect(row.direct.first).toEqual({ logprob: likes("a", text, row.first), tokens: 2 });
    expect(row.meta.map(({ wording }) => wording)).toEqual(Object.keys(LOGPROB_WORDINGS));
    for (const { inOrder, swapped } of row.meta) {
      expect(inOrder).toEqual({ one: row.direct.first.logprob, two: row.direct.second.logprob });
      expect(swapped).toEqual({ one: inOrder.two, two: inOrder.one });
    }
  });

  test("after crashes it goes on where it stopped, with the same bytes", async () => {
    const again = await newRun(plan);
    await expect(measure(again, [2, 3, 4, 5])).rejects.toThrow(expect.objectContaining({ code: "ENGINE_CRASHED" }));
    expect(await linesOf(again)).toBe(2 * 11);
    // Twice whole, then string by string.
    await measure(again, [1, 2]);
    expect(await readFile(again.file("logprobDifferences"), "utf8")).toBe(
      await readFile(run.file("logprobDifferences"), "utf8"),
    );
    expect(await measure(again)).toBe(0);
  });

  test("a string that crashes alone is set aside, left out for every state, and counted", async () => {
    const fragile = await newRun(plan);
    const [first] = plan.tasks[0]?.heldOut ?? [];
    await runScripted(fragile, async (state) => {
      const sound = modelOf(state);
      return {
        ...sound,
        score: async (requests, options) => {
          const crashes = requests.some(({ messages }) => messages.at(-1)?.content.includes(first?.text as string));
          if (crashes && state === "b") throw new InwardError("ENGINE_CRASHED", "It is gone.");
          return await sound.score(requests, options);
        },
      };
    });
    const { rows } = await readJsonLines<LogprobDifferenceRow>(fragile.file("logprobDifferences"));
    const aside = rows.filter(({ setAside }) => setAside);
    expect(aside.map(({ state, key, setAside, direct }) => [state, key, setAside, direct])).toEqual([
      ["b", `animals_long/${first?.id}`, "engine_crashed", undefined],
    ]);
    const { song } = await readJson<MatrixScores>(fragile.file("matrix"));
    if (!song.ok || !song.regression.ok) throw new Error("no regression");
    expect(song).toMatchObject({ items: MOST_STRINGS - 1, leftOut: [{ reason: "engine_crashed", count: 1 }] });
    expect(plain(await readFile(fragile.file("reportMarkdown"), "utf8"))).toContain(
      "because the engine crashed on them for one: 1.",
    );
  });

  test("the beginnings are items of other strings, drawn without a model, the same for all states", () => {
    const questions = logprobQuestions(plan);
    const pairs = (state: string) =>
      questions.filter((one) => one.state === state).map(({ key, first, second }) => [key, first, second]);
    expect(new Set(pairs("a").map(([, first]) => first)).size).toBeGreaterThan(20);
    for (const state of MODELS) expect(pairs(state)).toEqual(pairs("a"));
    for (const { item, first, second } of questions) {
      const text = plan.tasks[0]?.heldOut.find(({ id }) => id === item)?.text.split(" ");
      expect(first === second || text?.includes(first) || text?.includes(second)).toBe(false);
    }
  });

  test("is left out with a reason by an engine that cannot score, and without the experiment", async () => {
    const other = { ...plan, engine: { ...plan.engine, engine: "node-llama-cpp" as const } };
    for (const [of, reason] of [
      [other, true],
      [{ ...plan, experiments: [] }, false],
    ] as const) {
      const without = await newRun(of);
      await runScripted(without, async (state) => modelOf(state));
      await expect(access(without.file("logprobDifferences"))).rejects.toThrow();
      if (!reason) await expect(access(without.file("matrix"))).rejects.toThrow();
      else {
        const { song } = await readJson<MatrixScores>(without.file("matrix"));
        expect(song).toEqual({ ok: false, reason: expect.stringContaining("node-llama-cpp cannot score") });
        expect(plain(await readFile(without.file("reportMarkdown"), "utf8"))).toContain("was not measured");
      }
    }
  });
});

describe("whose behaviors the matrix needs", () => {
  test("those of every plain predictor: of one that nothing learns from, held-out strings only", () => {
    const states = {
      ...Object.fromEntries(MODELS.map((model) => [model, { model }])),
      "b-predicts-a": { model: "b", adapter: "b-predicts-a" },
      worded: { model: "a", wording: "plain" },
    };
    const predictions = ["a", "b", "b-predicts-a", "worded"].map((predictor) => ({ predictor, target: "a" }));
    const wanted: Plan = { ...plan, states, predictions };
    const asked = (questions: readonly { state: string; split: string }[]) =>
      new Set(questions.map(({ state, split }) => `${state} ${split}`));
    expect(asked(objectLevelQuestions(wanted))).toEqual(new Set(["a train", "a held_out", "b held_out"]));
    expect(asked(adaptedObjectLevelQuestions(wanted))).toEqual(new Set(["b-predicts-a held_out"]));
    const { experiments: _, ...without } = wanted;
    expect(asked(objectLevelQuestions(without))).toEqual(new Set(["a train", "a held_out"]));
    expect(adaptedObjectLevelQuestions(without)).toEqual([]);
    expect(new Set(logprobQuestions(wanted).map(({ state }) => state))).toEqual(new Set(["a", "b", "b-predicts-a"]));
  });
});
