/** A whole benchmark on a tiny model: every section has its figures, the same file twice is 0 everywhere, a second call makes the same bytes. */
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BaseFile, encodeBaseHeader, encodeBaseRow } from "../../src/quantize/base-file.js";
import { estimateQuantize } from "../../src/quantize/estimate-quantize.js";
import { paretoFront } from "../../src/quantize/quantize-report.js";
import { type FinishedQuantize, runQuantize } from "../../src/quantize/run-quantize.js";
import { start } from "../helpers/command-line.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-quantize-"));
process.env.INWARD_MODELS = join(folder, "models");
process.env.INWARD_ANSWER_CACHE = join(folder, "answers");
const coded = (code: string, message = "") =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });
const yaml = join(folder, "bench.yaml");
const out = join(folder, "run");

const BENCHMARK = `
quantize: tiny
source: { source: floats.gguf }
types: [q4_0]
files: { twin: twin.gguf }
text: { file: text.txt, context: 32, windows: 6, writeBase: true }
tasks: [{ task: words.yaml, trainStrings: 12, heldOutStrings: 12 }]
calibration: { strings: 4, epsilon: 0.05, tokenBudget: 400, samples: 20 }
adapters: { trainedOn: [q4_0], askedOn: [q4_0, source], lora: { maxSteps: 2, rank: 2, validationShare: 0, batchExamples: 4 } }
speed: { promptTokens: 16, answerTokens: 4, rounds: 1 }
engine: { device: cpu, threads: 1, cache: false }
score: { bootstrapReplicates: 100 }
noiseFloor: { questions: 4 }
floorTexts: 2
`;

beforeAll(async () => {
  const shape = { width: 64, feedForward: 96, heads: 4, keyValueHeads: 2, blocks: 1 } as const;
  const { path } = await writeTinyModel(join(folder, "floats.gguf"), shape);
  copyFileSync(path, join(folder, "twin.gguf"));
  const words =
    "river stone cloud ember falcon garden harbor island jacket kettle lantern meadow north orchard pebble quiet raven silver thunder umber velvet willow yellow zephyr".split(
      " ",
    );
  writeFileSync(join(folder, "words.jsonl"), words.map((text) => `${JSON.stringify({ text })}\n`).join(""));
  writeFileSync(
    join(folder, "words.yaml"),
    'name: words\nkind: continuation\nquestion: "Go on: {string}"\nmaxTokens: 6\nproperties: [second_character]\nstrings: words.jsonl\n',
  );
  writeFileSync(join(folder, "text.txt"), `${words.join(" ")} <|im_end|> ${words.toReversed().join(" ")}\n`.repeat(2));
  writeFileSync(yaml, BENCHMARK);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("a benchmark", () => {
  let done: FinishedQuantize;
  beforeAll(async () => {
    done = await runQuantize(yaml, { out });
  }, 300_000);
  const row = (name: string) => {
    const found = done.results.rows.find(({ variant }) => variant.name === name);
    if (!found) throw new Error(`no row ${name}`);
    return found;
  };

  test("has a row for each file, the source first", () => {
    expect(done.results.rows.map(({ variant }) => variant.name)).toEqual(["source", "q4_0", "twin"]);
    for (const one of done.results.rows) {
      const measured = [one.text, one.answers, one.textFloor, one.answersFloor, one.self, one.again, one.calibration];
      expect([...measured, one.speed, one.llamaSpeed].map(({ ok }) => ok)).toEqual(Array(9).fill(true));
    }
    expect(row("source").distances).toEqual({ ok: false, reason: "the source itself" });
    expect(row("q4_0").base).toEqual({ ok: false, reason: "the benchmark names no base file" });
    expect(row("q4_0").steps).toEqual({ ok: false, reason: "the benchmark has no ONNX graph" });
    expect(row("source").flips).toEqual({ ok: false, reason: "the source itself" });
  });

  test("of the same file twice every difference is 0", () => {
    const twin = row("twin");
    for (const set of [twin.text, twin.answers]) {
      expect(set).toMatchObject({
        ok: true,
        value: {
          kl: { mean: { value: 0 }, most: { value: 0 }, least: 0 },
          sameTop: { value: 1 },
          logRatio: { value: 0 },
        },
      });
    }
    expect(twin.flips).toMatchObject({ ok: true, value: { behaviors: { value: 0 }, sameAnswers: { value: 1 } } });
    expect(twin.self).toMatchObject({
      ok: true,
      value: { change: { value: 0 }, overSource: { value: 0 }, oldSelf: { trials: 0, finding: "cannot_be_told" } },
    });
    // What is drawn and not expanded is drawn anew of each file.
    const apart = twin.calibration.ok ? twin.calibration.value.change.brier : undefined;
    expect(apart?.ok && Math.abs(apart.value)).toBeLessThan(0.05);
    expect(twin.again).toMatchObject({ ok: true, value: { questions: 4, sameTokens: 4 } });
    expect(twin.distances.ok && twin.distances.value.properties.map(({ property }) => property)).toEqual([
      "second_character",
    ]);
  });

  test("an adapter on the file that it was trained on is the trained state of its own run", async () => {
    const { adapters } = done.results;
    if (!adapters.ok) throw new Error(adapters.reason);
    expect(adapters.value.cells.map(({ trainedOn, askedOn }) => [trainedOn, askedOn])).toEqual([
      ["q4_0", "q4_0"],
      ["q4_0", "source"],
    ]);
    const [own, other] = adapters.value.cells;
    expect(own?.overOwn).toEqual({ ok: false, reason: "it is the one that was trained on this file" });
    expect(other?.overOwn).toEqual({ ok: false, reason: "no adapter was trained on this file" });
    expect(own?.rightMode.mode).toMatchObject({ ok: true, n: 12 });
    const said = (run: string, state: string) =>
      readFileSync(join(out, run, "08-trials.jsonl"), "utf8")
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line))
        .filter(({ predictor, target }) => predictor === state && target === "q4_0")
        .map(({ task, item, property, behavior, prediction }) => ({ task, item, property, behavior, prediction }));
    const trained = said("02-adapters-trained", "q4_0-predicts-q4_0");
    expect(trained).toHaveLength(12);
    expect(said("02-adapters-asked", "q4_0-on-q4_0")).toEqual(trained);
  });

  test("fewer bits are smaller and lose something", () => {
    const { text, variant } = row("q4_0");
    expect(text.ok && text.value.kl.mean.ok && text.value.kl.mean.low).toBeGreaterThan(0);
    expect(variant.bytes).toBeLessThan(row("source").variant.bytes);
  });

  test("speed has a rate for each round, and memory", () => {
    const { speed } = row("q4_0");
    expect(speed).toMatchObject({ ok: true, value: { rounds: 1 } });
    if (!speed.ok) return;
    expect(speed.value.reading.least).toBeGreaterThan(0);
    const { writing } = speed.value;
    if ("missing" in writing) throw new Error(writing.missing);
    expect(writing.most).toBeGreaterThanOrEqual(writing.least);
    expect(speed.value.peakBytes).toBeGreaterThan(1e7);
  });

  test("a base file for llama-perplexity", async () => {
    const base = await BaseFile.open(join(out, "03-source.base"));
    await base.close();
    expect(base.header).toMatchObject({ context: 32, windows: 6, positions: 15 });
  });

  test("the report names every file, and nothing in it is NaN or undefined", () => {
    const markdown = readFileSync(join(out, "06-report.md"), "utf8");
    for (const name of ["q4\\_0", "twin"]) expect(markdown).toContain(name);
    expect(markdown).not.toMatch(/NaN|undefined|Infinity|\[object/);
    expect(readdirSync(join(out, "figures"))).toEqual(["cost-and-loss.svg"]);
    expect(markdown).toContain("a log scale has no 0: twin");
    expect(markdown).toContain("6 windows");
    // A random model names no second character.
    const { self } = row("source");
    expect(self.ok && self.value.readable).toMatchObject({ ok: true, n: 12 });
    expect(done.results.notes.some((note) => note.includes("cannot be told from the others"))).toBe(
      self.ok && self.value.readable.ok && self.value.readable.value < 0.5,
    );
  });

  test("called again it measures nothing, and the results are the same bytes; what evaluated the files is asked again where nobody wrote it down", async () => {
    const names = ["05-results.json", "03-engines.json"];
    const before = names.map((name) => readFileSync(join(out, name), "utf8"));
    expect(Object.keys(JSON.parse(before[1] as string))).toEqual(["source", "q4_0", "twin"]);
    rmSync(join(out, "03-engines.json"));
    await runQuantize(yaml, { out });
    expect(names.map((name) => readFileSync(join(out, name), "utf8"))).toEqual(before);
  }, 120_000);

  test.each<[string, string, string]>([
    ["has windows of 32 tokens, and text.context is 16; set it to 32", "context: 32", "context: 16"],
    ["is of another text: its token 1 is", "file: text.txt", "file: other.txt"],
    ["has a vocabulary of 5 tokens, and the source's is ", "03-source.base", "five.base"],
  ])("a base file that %s is refused before anything is measured", async (message, from, to) => {
    copyFileSync(join(out, "03-source.base"), join(folder, "03-source.base"));
    writeFileSync(join(folder, "other.txt"), `${"zephyr kettle yellow ".repeat(30)}\n`);
    const header = { context: 32, vocabulary: 5, windows: 1, tokenIds: new Int32Array(32) };
    const row = encodeBaseRow(Float32Array.of(0.5, 2, -30, 1, 0));
    writeFileSync(join(folder, "five.base"), Buffer.concat([encodeBaseHeader(header), ...Array(15).fill(row)]));
    const path = join(folder, "beside.yaml");
    const beside = BENCHMARK.replace("writeBase: true", "base: 03-source.base");
    writeFileSync(path, beside.replace(from, to));
    const never = join(folder, "never-beside");
    await expect(runQuantize(path, { out: never })).rejects.toEqual(coded("STUDY_INVALID", message));
    expect(existsSync(never)).toBe(false);
  });

  test("another benchmark is not mixed in", async () => {
    await expect(runQuantize(yaml, { out, set: ["seed=7"] })).rejects.toEqual(coded("STORE_OTHER_PLAN"));
  });
});

test("killed while two workers ask and while one process compares, and ended by two: the bytes of one process", async () => {
  const small = join(folder, "small.yaml");
  const text = BENCHMARK.replace(/^(files|calibration|adapters|speed): .*$/gm, "").replace(", writeBase: true", "");
  writeFileSync(small, `${text}speed: false\n`);
  const whole = join(folder, "whole");
  await runQuantize(small, { out: whole });
  const killed = join(folder, "killed");
  const strikes = [
    ["02-answers/units/02-object-level/0001.done", "--workers", "2", "--unit-questions", "8"],
    ["03-divergence/q4_0.text.f64"],
  ] as const;
  for (const [file, ...more] of strikes) {
    const { child, finished } = start(["quantize", small, "--out", killed, ...more]);
    const watch = setInterval(() => {
      if (existsSync(join(killed, file))) child.kill("SIGKILL");
    }, 5);
    const { signal, stderr } = await finished;
    clearInterval(watch);
    expect([signal, stderr.includes("INTERNAL")]).toEqual(["SIGKILL", false]);
    expect(existsSync(join(killed, "05-results.json"))).toBe(false);
  }
  await runQuantize(small, { out: killed, workers: 2 });
  const same = ["05-results.json", "06-report.md", "02-answers/08-trials.jsonl"];
  for (const name of [...same, ...readdirSync(join(whole, "03-divergence")).map((one) => `03-divergence/${one}`)]) {
    expect([name, readFileSync(join(killed, name)).equals(readFileSync(join(whole, name)))]).toEqual([name, true]);
  }
}, 120_000);

test.each<[string, string, string]>([
  ["STUDY_UNKNOWN_KEY", "types:", "typs:"],
  ["STUDY_INVALID", "types: [q4_0]", "types: [q9_z]"],
  ["STUDY_INVALID", "files: { twin: twin.gguf }", "files: { q4_0: twin.gguf }"],
  ["IMATRIX_INVALID", "types: [q4_0]", "types: [q4_0, iq2_xs]"],
  ["STUDY_UNKNOWN_KEY", "windows: 6", "windows: 6, bse: nothing"],
  ["STUDY_INVALID", "windows: 6", "windows: 6, base: nothing"],
  ["STUDY_INVALID", "trainedOn: [q4_0]", "trainedOn: [q5_0]"],
  ["STUDY_INVALID", "context: 32", "context: 4096"],
  ["STUDY_INVALID", "types: [q4_0]", "types: [q4_0, onnx_int3]"],
  ["STUDY_INVALID", "files: { twin: twin.gguf }", "files: { onnx_int4: twin.gguf }"],
  ["STUDY_INVALID", "trainedOn: [q4_0]", "trainedOn: [onnx_int4]"],
])("%s is said before anything is measured: %s", async (code, from, to) => {
  const path = join(folder, "bad.yaml");
  writeFileSync(path, BENCHMARK.replace(from, to));
  await expect(runQuantize(path, { out: join(folder, "never") })).rejects.toEqual(coded(code));
});

test("without onnxruntime a benchmark of graphs is refused before anything is fetched or made, and so is its dry run", async () => {
  const path = join(folder, "graphs.yaml");
  writeFileSync(
    path,
    BENCHMARK.replace("types: [q4_0]", "types: [q4_0, onnx_int4]").replace("floats.gguf", "no-such.gguf"),
  );
  const packages = process.env.INWARD_ONNX;
  process.env.INWARD_ONNX = join(folder, "no packages");
  try {
    const refused = coded("ONNX_PACKAGES", "npm install --prefix");
    await expect(runQuantize(path, { out: join(folder, "never") })).rejects.toEqual(refused);
    await expect(estimateQuantize(path)).rejects.toEqual(refused);
    expect(existsSync(join(folder, "never"))).toBe(false);
  } finally {
    if (packages === undefined) delete process.env.INWARD_ONNX;
    else process.env.INWARD_ONNX = packages;
  }
});

test("whom no other beats is on the front, and equals are both", () => {
  const file = (name: string, bytes: number, loss: number) => ({ name, bytes, loss });
  const front = paretoFront([
    file("a", 1, 9),
    file("b", 2, 3),
    file("c", 3, 4),
    file("d", 4, 1),
    file("e", 4, 1),
    file("f", 5, 1),
  ]);
  expect([...front].sort()).toEqual(["a", "b", "d", "e"]);
});
