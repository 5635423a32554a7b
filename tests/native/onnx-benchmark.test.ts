/** ONNX graphs as rows of a benchmark on a tiny model: every figure or its reason, the source itself as a graph, planted readings, kill -9. */
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { onnxVariant } from "../../src/onnx/onnx-engine.js";
import { hasOnnxPackages } from "../../src/onnx/onnx-packages.js";
import { COMPARISON, COMPARISON_FIELDS, startCompareProcess } from "../../src/quantize/compare-logits.js";
import { estimateQuantize } from "../../src/quantize/estimate-quantize.js";
import { type FinishedQuantize, runQuantize } from "../../src/quantize/run-quantize.js";
import { cutWindows, readTextFile } from "../../src/quantize/text-windows.js";
import { start } from "../helpers/command-line.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const IS_HERE = hasOnnxPackages();
const folder = mkdtempSync(join(tmpdir(), "inward-onnx-benchmark-"));
process.env.INWARD_MODELS = join(folder, "models");
process.env.INWARD_ANSWER_CACHE = join(folder, "answers");
const yaml = join(folder, "bench.yaml");
const out = join(folder, "run");
const GRAPHS = ["onnx_f32", "onnx_int8", "onnx_int4_a8", "onnx_dynamic_int8"];

const BENCHMARK = `
quantize: tiny
source: { source: floats.gguf }
types: [q4_0, ${GRAPHS.join(", ")}]
text: { file: text.txt, context: 32, windows: 6 }
tasks: [{ task: words.yaml, trainStrings: 12, heldOutStrings: 12 }]
calibration: { strings: 2, epsilon: 0.05, tokenBudget: 100, samples: 5 }
speed: { promptTokens: 16, answerTokens: 4, rounds: 1 }
engine: { device: cpu, threads: 1, cache: false }
score: { bootstrapReplicates: 100 }
noiseFloor: { questions: 4 }
floorTexts: 2
`;

beforeAll(async () => {
  const shape = { width: 64, feedForward: 96, heads: 4, keyValueHeads: 2, blocks: 1 } as const;
  await writeTinyModel(join(folder, "floats.gguf"), shape);
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

describe.skipIf(!IS_HERE)("a benchmark with ONNX graphs", () => {
  let done: FinishedQuantize;
  beforeAll(async () => {
    done = await runQuantize(yaml, { out });
  }, 300_000);
  const row = (name: string) => {
    const found = done.results.rows.find(({ variant }) => variant.name === name);
    if (!found) throw new Error(`no row ${name}`);
    return found;
  };
  const lines = (path: string) =>
    readFileSync(join(out, path), "utf8")
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));

  test("a graph has every figure of a file, or the reason why it has none", () => {
    expect(done.results.rows.map(({ variant }) => [variant.name, variant.engine])).toEqual([
      ["source", "inward"],
      ["q4_0", "inward"],
      ...GRAPHS.map((name) => [name, "onnxruntime"]),
    ]);
    for (const name of GRAPHS) {
      const { text, answers, textFloor, answersFloor, steps, flips, self, speed, ...rest } = row(name);
      const measured = { text, answers, textFloor, answersFloor, steps, flips, self, speed };
      expect(Object.entries(measured).filter(([, { ok }]) => !ok)).toEqual([]);
      expect(rest).toMatchObject({
        base: { reason: "the benchmark names no base file" },
        again: { reason: "a graph is asked one question at a time: there is no other batch composition" },
        distances: { reason: "whole distributions are expanded on GGUF files alone" },
        calibration: { reason: "whole distributions are expanded on GGUF files alone" },
        llamaSpeed: { reason: "llama.cpp does not run ONNX graphs" },
      });
      expect(rest.arithmetic).toContain("onnxruntime-node 1.30.0: ");
    }
    const markdown = readFileSync(join(out, "06-report.md"), "utf8");
    expect(markdown).not.toMatch(/NaN|undefined|Infinity|\[object/);
    expect(markdown).toContain("Read whole, and a token at a time");
    // The source by another engine is no choice, and its distance is no point of a figure of losses.
    expect(/^No other file is both smaller and nearer.*$/m.exec(markdown)?.[0]).not.toContain("onnx\\_f32");
    expect(readFileSync(join(out, "figures/cost-and-loss.svg"), "utf8")).not.toContain(">onnx_f32<");
    expect(readFileSync(join(out, "figures/cost-and-loss.svg"), "utf8")).toContain(">onnx_dynamic_in");
    expect(done.plan.onnxRuntime).toBe("onnxruntime-node 1.30.0");
  });

  test("the source as a graph is the source: the same tokens, the same behaviors and the same said of itself", () => {
    const { text, answers, flips, self, variant } = row("onnx_f32");
    for (const set of [text, answers]) {
      if (!set.ok || !set.value.kl.mean.ok) throw new Error("no divergence");
      // Two engines in single precision: logprobs within 5e-5, and a divergence of about half the square of that.
      expect(set.value.kl.most.value).toBeLessThan(1e-8);
      expect(set.value.kl.mean.value).toBeGreaterThan(0);
      expect(set.value.sameTop).toMatchObject({ value: 1 });
    }
    expect(flips).toMatchObject({ ok: true, value: { sameAnswers: { value: 1, n: 12 }, behaviors: { value: 0 } } });
    expect(self).toMatchObject({ ok: true, value: { change: { value: 0 }, overSource: { value: 0 } } });
    // What was asked are the study's own questions, train strings too, and what is said is recorded as a study records it.
    const said = lines("02-onnx-answers/onnx_f32.jsonl");
    const source = [...lines("02-answers/02-object-level.jsonl"), ...lines("02-answers/07-hypothetical.jsonl")];
    const own = source.filter(({ state }) => state === "source");
    expect(said).toHaveLength(own.length);
    const told = ({
      key,
      reply: { text: words, stop, tokenIds, promptSha256, first, opened },
    }: (typeof own)[number]) => ({ key, words, stop, tokenIds, promptSha256, top: first.texts, opened });
    const byKey = new Map(own.map((one) => [one.key, told(one)]));
    expect(said.map(told)).toEqual(said.map(({ key }) => byKey.get(key)));
    expect(variant.weights).toEqual({ F32: expect.any(Number) });
  });

  test("divergences are those of the graphs' logits, computed apart", async () => {
    const { engine } = done.plan;
    const comparison = startCompareProcess(engine);
    await comparison.call("open", [join(folder, "floats.gguf"), engine, {}]);
    const cut = cutWindows(await comparison.call("fileIds", [readTextFile(join(folder, "text.txt")).text]), 32, 6);
    await comparison.end();
    const logitsOf = async (quantization: "none" | "int8") => {
      const variant = await onnxVariant(join(folder, "floats.gguf"), join(folder, `apart-${quantization}`), {
        quantization,
      });
      const open = await variant.open({ threads: 1 });
      const all: Float32Array[] = [];
      for (const { ids, scoreFrom } of cut.windows)
        all.push(...(await open.logits(ids.slice(0, -1), ids.length - scoreFrom)));
      await open.dispose();
      return all;
    };
    const [floats, rounded] = [await logitsOf("none"), await logitsOf("int8")];
    const logprobs = (logits: Float32Array) => {
      const sum = Math.log(logits.reduce((total, one) => total + Math.exp(one), 0));
      return Float64Array.from(logits, (one) => one - sum);
    };
    const bytes = readFileSync(join(out, "03-divergence/onnx_dynamic_int8.text.f64"));
    const at = (position: number, field: keyof typeof COMPARISON) =>
      bytes.readDoubleLE(8 * (position * COMPARISON_FIELDS + COMPARISON[field]));
    const targets = cut.windows.flatMap(({ ids, scoreFrom }) => ids.slice(scoreFrom));
    expect(bytes.length).toBe(8 * COMPARISON_FIELDS * targets.length);
    targets.forEach((id, position) => {
      const [p, q] = [logprobs(floats[position] as Float32Array), logprobs(rounded[position] as Float32Array)];
      const divergence = p.reduce((sum, log, token) => sum + Math.exp(log) * (log - (q[token] as number)), 0);
      // The source's own logits are ours here, and onnxruntime's there.
      expect(at(position, "klForward")).toBeCloseTo(divergence, 5);
      expect(at(position, "target")).toBeCloseTo(q[id] as number, 10);
      expect(at(position, "best")).toBe(q.indexOf(Math.max(...q)));
    });
  });

  test("a graph that says other things of a text read whole than token by token is found, and no other", () => {
    const apart = (name: string) => {
      const { steps } = row(name);
      if (!steps.ok) throw new Error(steps.reason);
      return steps.value;
    };
    // inward's own forward pass: the same bits.
    for (const name of ["source", "q4_0"]) expect(apart(name)).toMatchObject({ klMost: 0, logprobMost: 0, sameTop: 1 });
    for (const name of ["onnx_f32", "onnx_int8", "onnx_int4_a8"]) expect(apart(name).logprobMost).toBeLessThan(5e-5);
    expect(apart("onnx_dynamic_int8").logprobMost).toBeGreaterThan(1e-3);
    const floor = row("onnx_dynamic_int8").answersFloor;
    expect(floor.ok && floor.value.klMost).toBeGreaterThan(1e-9);
    const notes = done.results.notes.filter((note) => note.includes("read a token at a time"));
    expect(notes.map((note) => note.split(":")[0])).toEqual(["onnx_dynamic_int8"]);
  });

  test("a size is what the graph reads, as the dry run says beforehand", async () => {
    const { files } = await estimateQuantize(yaml);
    for (const { name, bytes } of files.filter(({ name: one }) => GRAPHS.includes(one))) {
      expect([name, bytes]).toEqual([name, row(name).variant.bytes]);
    }
    expect(row("onnx_int4_a8").variant.bytes).toBeLessThan(row("onnx_int8").variant.bytes);
  });

  test("a file's row is the same without graphs beside it", async () => {
    const alone = join(folder, "alone.yaml");
    writeFileSync(alone, BENCHMARK.replace(/^types: .*$/m, "types: [q4_0]"));
    const { results } = await runQuantize(alone, { out: join(folder, "alone") });
    const [, own] = results.rows;
    const { steps, speed, llamaSpeed, ...rest } = row("q4_0");
    expect(own?.steps).toEqual({ ok: false, reason: "the benchmark has no ONNX graph" });
    expect({ ...own, steps, speed, llamaSpeed }).toEqual({ ...rest, steps, speed, llamaSpeed });
  }, 120_000);

  test("called again it measures nothing, and the results are the same bytes", async () => {
    const before = readFileSync(join(out, "05-results.json"));
    await runQuantize(yaml, { out });
    expect(readFileSync(join(out, "05-results.json")).equals(before)).toBe(true);
  }, 120_000);

  test("killed while a graph answers and while it is compared, it ends with the same bytes", async () => {
    const killed = join(folder, "killed");
    const small = join(folder, "small.yaml");
    writeFileSync(small, BENCHMARK.replace(/^speed: .*$/m, "speed: false").replace(/^calibration: .*$/m, ""));
    const whole = join(folder, "whole");
    await runQuantize(small, { out: whole });
    for (const file of ["02-onnx-answers/onnx_int8.jsonl", "03-divergence/onnx_int8.text.f64"]) {
      const { child, finished } = start(["quantize", small, "--out", killed]);
      const watch = setInterval(() => {
        if (existsSync(join(killed, file))) child.kill("SIGKILL");
      }, 5);
      const { signal, stderr } = await finished;
      clearInterval(watch);
      expect([signal, stderr.includes("INTERNAL")]).toEqual(["SIGKILL", false]);
      expect(existsSync(join(killed, "05-results.json"))).toBe(false);
    }
    await runQuantize(small, { out: killed });
    for (const name of ["05-results.json", "06-report.md"]) {
      expect([name, readFileSync(join(killed, name)).equals(readFileSync(join(whole, name)))]).toEqual([name, true]);
    }
    for (const place of ["02-onnx-answers", "03-divergence"]) {
      for (const name of readdirSync(join(whole, place))) {
        const [one, other] = [join(killed, place, name), join(whole, place, name)];
        expect([name, readFileSync(one).equals(readFileSync(other))]).toEqual([name, true]);
      }
    }
  }, 240_000);

  test("a graph that was changed is not measured", async () => {
    const { path } = row("onnx_int8").variant;
    appendFileSync(join(dirname(path), "model.onnx_data"), "x");
    await expect(runQuantize(yaml, { out })).rejects.toMatchObject({ code: "STORE_CORRUPT" });
    rmSync(dirname(dirname(path)), { recursive: true });
    const before = readFileSync(join(out, "05-results.json"));
    await runQuantize(yaml, { out });
    expect(readFileSync(join(out, "05-results.json")).equals(before)).toBe(true);
  }, 120_000);

  test("of an architecture that no graph is written of nothing is made", async () => {
    const path = join(folder, "gemma.yaml");
    await writeTinyModel(join(folder, "gemma.gguf"), { architecture: "gemma" });
    writeFileSync(path, BENCHMARK.replace("floats.gguf", "gemma.gguf"));
    const before = readdirSync(join(folder, "models"));
    await expect(runQuantize(path, { out: join(folder, "never") })).rejects.toMatchObject({ code: "ONNX_MODEL" });
    expect(readdirSync(join(folder, "models"))).toEqual(before);
    expect(existsSync(join(folder, "never"))).toBe(false);
  });
});
