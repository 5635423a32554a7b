/** Divergence of files: 0 from itself, a float64 reference's, llama-perplexity's perplexity and its base file; what is hostile is refused. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BaseFile, encodeBaseHeader, encodeBaseRow } from "../../src/quantize/base-file.js";
import {
  COMPARISON,
  COMPARISON_FIELDS,
  type CompareProcess,
  positionsOf,
  startCompareProcess,
} from "../../src/quantize/compare-logits.js";
import { settleEngine } from "../../src/model/engines/settings.js";
import { startEngine } from "../../src/model/engines/start-engine.js";
import { InwardError } from "../../src/errors.js";
import { findBinaries, loadAddon } from "../../src/model/native/addon.js";
import { requantizeGguf } from "../../src/model/requantize.js";
import { fileFloor, scoreDivergence } from "../../src/quantize/divergence-scores.js";
import { divergenceFile, measureDivergence, readDivergence } from "../../src/quantize/measure-divergence.js";
import { cutWindows, readTextFile, type TextWindows } from "../../src/quantize/text-windows.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import type { SettledEngine } from "../../src/study/study.js";
import type { LogitRows } from "../../native/index.js";
import { openEngine, workOf } from "../helpers/native-engine.js";
import { peerProgram } from "../helpers/peers.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-divergence-"));
process.env.INWARD_MODELS = join(folder, "models");
const perplexity = peerProgram("perplexity");
const CONTEXT = 64;
const WIDE = { width: 256, feedForward: 256, heads: 4, keyValueHeads: 2, blocks: 1, normSpread: 0.2 } as const;
const options = { sourceSha256: "cd".repeat(32), threads: 1 };
const coded = (code: string, message = "") =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });
const RESAMPLING = { confidence: 0.95, bootstrapReplicates: 200, bootstrapSeed: 1 };

let floats: string;
let rounded: string;
let engine: SettledEngine;
let text: string;
let windows: TextWindows;
let process_: CompareProcess;

/** Words without a pattern; the tiny vocabulary writes them with a few tokens each. */
function madeText(words: number): string {
  let state = 12345;
  const next = (below: number) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * below);
  };
  const letters = "etaoinshrdlu";
  return Array.from({ length: words }, () =>
    Array.from({ length: 1 + next(6) }, () => letters[next(12)]).join(""),
  ).join(" ");
}

beforeAll(async () => {
  floats = (await writeTinyModel(join(folder, "floats.gguf"), WIDE)).path;
  rounded = join(folder, "rounded.gguf");
  await requantizeGguf(floats, rounded, "q4_0", options);
  const settled = await settleEngine({ ...DEFAULT_ENGINE, device: "cpu" }, [floats, rounded]);
  engine = { ...settled, threads: 1 };
  text = join(folder, "text.txt");
  // The marks are text and nothing else, and the line feed at the end is dropped.
  writeFileSync(text, `${madeText(220)} <|im_start|>user <|im_end|> ${madeText(80)}\n`);
  process_ = startCompareProcess(engine);
  await process_.call("open", [floats, engine, {}]);
  windows = cutWindows(await process_.call("fileIds", [readTextFile(text).text]), CONTEXT);
}, 60_000);
afterAll(async () => {
  await process_.end();
  rmSync(folder, { recursive: true, force: true });
});

let runs = 0;
type More = Partial<Pick<Parameters<typeof measureDivergence>[0], "mostPositions" | "engine" | "require">>;
async function measured(variants: readonly string[], more: More = {}) {
  const place = join(folder, `run-${runs++}`);
  const named = variants.map((path, at) => ({ name: at === 0 ? "source" : `v${at}`, path, kind: "given" as const }));
  const set = { name: "text" as const, items: windows.windows };
  await measureDivergence({ process: process_, engine, variants: named, set, folder: place, floorItems: 2, ...more });
  const read = (name: string, isFloor = false) =>
    readDivergence(
      divergenceFile(place, name, "text", isFloor ? "floor" : undefined),
      isFloor ? set.items.slice(0, 2) : set.items,
    );
  return { place, set, named, read };
}

const places = () => windows.windows.map((_, at) => ({ task: "text", item: String(at) }));

describe("a file against itself", () => {
  test.each(["own", "llama.cpp"] as const)("is 0 at every position, exactly, evaluated by %s", async (forward) => {
    const { read } = await measured([floats, floats], { engine: { ...engine, forward } });
    const values = await read("v1");
    const scores = scoreDivergence(values, windows.windows, places(), RESAMPLING);
    expect(scores.kl.mean).toMatchObject({ ok: true, value: 0, low: 0, high: 0 });
    expect([scores.kl.least, scores.kl.most.value, scores.kl.percentile999.value]).toEqual([0, 0, 0]);
    expect(scores.kl.backward).toMatchObject({ value: 0 });
    expect(scores.sameTop).toMatchObject({ value: 1, n: positionsOf(windows.windows) });
    expect(scores.logRatio).toMatchObject({ value: 0, low: 0, high: 0 });
    expect(scores.perplexity).toEqual(scores.sourcePerplexity);
  });

  test("our own forward pass has no floor in another batch composition", async () => {
    const { read } = await measured([floats, floats], { engine: { ...engine, forward: "own" } });
    expect(fileFloor(await read("v1", true))).toMatchObject({ klMean: 0, klMost: 0, probabilityRms: 0, sameTop: 1 });
  });
});

describe("against a reference in double precision", () => {
  test("every number of a position, from the whole vocabulary's log-probabilities", async () => {
    const messages = [{ role: "user", content: "two words" }] as const;
    const models = [await startEngine(floats, engine), await startEngine(rounded, engine)] as const;
    const [reply] = await models[0].ask([{ messages, maxTokens: 6, temperature: 0, topTokens: 1 }]);
    const answer = reply?.tokenIds as readonly number[];
    const paths = answer.map((_, at) => answer.slice(0, at));
    const { vocabularySize } = models[0].facts;
    const prompt = (await models[0].render(messages)).tokenIds;
    const logprobs = await Promise.all(
      models.map(async (model) => {
        const { steps } = await model.nextTokens(messages, paths, vocabularySize);
        return steps.map(({ ids, logprobs: listed }) => {
          const row = new Float64Array(vocabularySize);
          for (let at = 0; at < ids.length; at++) row[ids[at] as number] = listed[at] as number;
          return row;
        });
      }),
    );
    for (const model of models) await model.dispose();

    const items = [{ ids: [...prompt, ...answer], scoreFrom: prompt.length }];
    await process_.call("open", [floats, engine, {}]);
    await process_.call("keep", [items]);
    await process_.call("open", [rounded, engine, {}]);
    const values = await process_.call("compare", [items]);
    expect(values.length).toBe(answer.length * COMPARISON_FIELDS);
    answer.forEach((target, position) => {
      const [p, q] = [logprobs[0]?.[position] as Float64Array, logprobs[1]?.[position] as Float64Array];
      const at = (field: keyof typeof COMPARISON) => values[position * COMPARISON_FIELDS + COMPARISON[field]] as number;
      const sum = (one: (log: number, other: number) => number, a: Float64Array, b: Float64Array) =>
        a.reduce((total, log, id) => total + one(log, b[id] as number), 0);
      const divergence = (log: number, other: number) => Math.exp(log) * (log - other);
      const sorted = (row: Float64Array) => [...row].sort((a, b) => b - a);
      // Both are in double precision; what is listed was rounded once more, and the engines' batches differ by the last bit of a float.
      expect(at("klForward")).toBeCloseTo(sum(divergence, p, q), 5);
      expect(at("klForward")).toBeGreaterThan(1e-4);
      expect(at("klBackward")).toBeCloseTo(sum(divergence, q, p), 5);
      expect(at("klLlama")).toBeCloseTo(
        sum((log, other) => (log > -16 ? divergence(log, other) : 0), p, q),
        5,
      );
      expect(at("keptTarget")).toBeCloseTo(p[target] as number, 5);
      expect(at("target")).toBeCloseTo(q[target] as number, 5);
      expect(at("keptBest")).toBe(p.indexOf(Math.max(...p)));
      expect(at("best")).toBe(q.indexOf(Math.max(...q)));
      expect(at("keptMargin")).toBeCloseTo((sorted(p)[0] as number) - (sorted(p)[1] as number), 5);
      expect(at("done")).toBe(1);
    });
  });

  test("rows that no memory holds, and what are no rows", async () => {
    const { LogitRows } = await loadAddon(findBinaries("cpu").folder);
    // The second product is 0 in 64 bits.
    for (const [count, width] of [
      [2, 2 ** 42],
      [2 ** 32, 2 ** 32],
    ] as const) {
      expect(() => new LogitRows(count, width)).toThrow(coded("ENGINE_MEMORY"));
    }
    const engine = await openEngine(floats);
    for (const rows of [{}, engine, []] as unknown as LogitRows[]) {
      expect(() => engine.begin(workOf([{ ids: [5, 6], scoreFrom: 1 }], { rows }))).toThrow(coded("TRAIN_SHAPE"));
    }
    engine.dispose();
  });

  test("rows that others computed are kept and compared as the engine's are", async () => {
    const { LogitRows } = await loadAddon(findBinaries("cpu").folder);
    const rows = new LogitRows(2, 5);
    const [a, b] = [Float32Array.of(0.5, 2, -30, 1, 0), Float32Array.of(0.7, 1.5, -20, 1, 0.1)];
    rows.keep(1, a);
    // A view into a longer array, as a graph's output is.
    rows.compare(1, Float32Array.of(9, 9, ...b, 9).subarray(2, 7), 3);
    const found = rows.compared().subarray(COMPARISON_FIELDS);
    const logprobs = (row: Float32Array) => {
      const sum = Math.log(row.reduce((total, logit) => total + Math.exp(logit), 0));
      return Array.from(row, (logit) => logit - sum);
    };
    const [p, q] = [logprobs(a), logprobs(b)];
    const divergence = p.reduce((sum, log, id) => sum + Math.exp(log) * (log - (q[id] as number)), 0);
    // Only the exponentials' last digits are between them.
    expect(found[COMPARISON.klForward]).toBeCloseTo(divergence, 12);
    expect(found[COMPARISON.target]).toBeCloseTo(q[3] as number, 12);
    expect([found[COMPARISON.keptBest], found[COMPARISON.best], found[COMPARISON.done]]).toEqual([1, 1, 1]);
    expect(Array.from(rows.kept(1))).toEqual(Array.from(a));
    const shape = coded("TRAIN_SHAPE");
    expect(() => rows.keep(2, a)).toThrow(shape);
    expect(() => rows.keep(0, a.subarray(1))).toThrow(shape);
    for (const id of [5, -1, Number.NaN]) expect(() => rows.compare(1, b, id)).toThrow(shape);
    // Nothing is kept of it.
    expect(() => rows.compare(0, b, 3)).toThrow(coded("INTERNAL"));
    expect(() => rows.compare(1, Float32Array.of(Number.NaN, 0, 0, 0, 0), 3)).toThrow(coded("ENGINE_NOT_FINITE"));
    rows.dispose();
    expect(() => rows.keep(0, a)).toThrow(coded("ENGINE_UNAVAILABLE"));
  });

  test("no divergence is negative, where files hardly differ either", async () => {
    const halves = join(folder, "halves.gguf");
    await requantizeGguf(floats, halves, "f16", options);
    const { read } = await measured([floats, halves], { engine: { ...engine, forward: "own" } });
    const values = await read("v1");
    const kl = Array.from(
      { length: values.length / COMPARISON_FIELDS },
      (_, row) => values[row * COMPARISON_FIELDS] as number,
    );
    expect(Math.min(...kl)).toBeGreaterThan(0);
    expect(Math.max(...kl)).toBeLessThan(1e-4);
  });
});

describe("a run that is stopped", () => {
  test("goes on with the same bytes, whatever was cut off", async () => {
    const room = 2 * windows.positions;
    const whole = await measured([floats, rounded], { mostPositions: room });
    const path = divergenceFile(whole.place, "v1", "text");
    const before = readFileSync(path);
    truncateSync(path, Math.floor(0.6 * before.length));
    const request = {
      process: process_,
      engine,
      variants: whole.named,
      set: whole.set,
      folder: whole.place,
      floorItems: 2,
    };
    await measureDivergence({ ...request, mostPositions: room });
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  test("shared out, each file has one writer, and is as one process has it", async () => {
    const { place, named, set } = await measured([floats, rounded, floats]);
    const shared = join(folder, `run-${runs++}`);
    const request = { process: process_, engine, variants: named, set, folder: shared, floorItems: 2 };
    await measureDivergence({ ...request, share: { at: 0, of: 2 } });
    expect(readdirSync(shared).sort()).toEqual(["source.text.floor.f64", "v2.text.f64", "v2.text.floor.f64"]);
    await measureDivergence({ ...request, share: { at: 1, of: 2 } });
    const files = (of: string) => readdirSync(of).map((name) => [name, readFileSync(join(of, name), "hex")]);
    expect(files(shared)).toEqual(files(place));
  });

  test("of a file that is another by now, or in a folder that is another's, no row is kept", async () => {
    const place = runs;
    const require = async (evaluated: readonly { readonly name: string }[]) => {
      throw new InwardError("MODEL_CHECKSUM", evaluated.map(({ name }) => name).join());
    };
    await expect(measured([floats, rounded], { require })).rejects.toEqual(coded("MODEL_CHECKSUM", "source,v1"));
    expect(readdirSync(join(folder, `run-${place}`))).toEqual([]);
  });

  test("a file that was changed is not read", async () => {
    const { place, read } = await measured([floats, rounded]);
    const path = divergenceFile(place, "v1", "text");
    truncateSync(path, statSync(path).size - 8);
    await expect(read("v1")).rejects.toEqual(coded("STORE_CORRUPT"));
  });
});

const SAME = ["-c", String(CONTEXT), "-b", String(CONTEXT), "-ctk", "f32", "-ctv", "f32", "-fa", "off", "-t", "1"];

describe.skipIf(perplexity.program === undefined)(`as llama-perplexity has it ${perplexity.note}`, () => {
  /** Its log is written by a thread of its own: on a busy machine the end is missing at times, with status 0. */
  const run = (wanted: RegExp, ...flags: string[]): RegExpExecArray => {
    for (let again = 0; ; again++) {
      const { stdout, stderr, status } = spawnSync(perplexity.program as string, [...flags, ...SAME], {
        encoding: "utf8",
        cwd: perplexity.libraries,
      });
      const said = wanted.exec(`${stdout}\n${stderr}`);
      if (status === 0 && said) return said;
      if (again === 9) throw new Error(`llama-perplexity ended with ${status}: ${stderr.slice(-2000)}`);
    }
  };

  test("perplexity and its error; the base file, written and read", async () => {
    const theirs = join(folder, "theirs.base");
    const printed = run(
      /Final estimate: PPL = ([\d.]+) \+\/- ([\d.]+)/,
      "-m",
      floats,
      "-f",
      text,
      "--kl-divergence-base",
      theirs,
    );
    const { read } = await measured([floats, rounded], { engine: { ...engine, forward: "llama.cpp" } });
    const scores = scoreDivergence(await read("v1"), windows.windows, places(), RESAMPLING);
    const { value, llamaError } = scores.sourcePerplexity;
    // A random model's perplexity has nine digits in print, and theirs sums exps in single precision: 1e-7 is that. Of a real model all
    // printed digits are the same: bench/quantize-perplexity.mjs.
    expect(value.ok && value.value / Number(printed[1])).toBeCloseTo(1, 6);
    expect(llamaError / Number(printed[2])).toBeCloseTo(1, 6);

    // Written by us: their bytes, but for steps of 1 where the last bit of a logit decides.
    await process_.call("open", [floats, { ...engine, forward: "llama.cpp" }, {}]);
    const { vocabularySize } = (await process_.call("open", [floats, { ...engine, forward: "llama.cpp" }, {}])).facts;
    const ours = join(folder, "ours.base");
    const header = {
      context: CONTEXT,
      vocabulary: vocabularySize,
      windows: windows.windows.length,
      tokenIds: Int32Array.from(windows.tokenIds),
    };
    writeFileSync(ours, encodeBaseHeader(header));
    await process_.call("keep", [windows.windows]);
    await process_.call("appendBase", [ours, positionsOf(windows.windows)]);
    const [a, b] = [readFileSync(ours), readFileSync(theirs)];
    expect(a.length).toBe(b.length);
    const start = 20 + 4 * windows.tokenIds.length;
    expect(a.subarray(0, start).equals(b.subarray(0, start))).toBe(true);
    let [most, others] = [0, 0];
    for (let at = start; at + 8 < a.length; at += 8 + 4 * Math.floor((vocabularySize + 1) / 2)) {
      expect(Math.abs(a.readFloatLE(at) - b.readFloatLE(at))).toBeLessThan(1e-8);
      for (let id = 0; id < vocabularySize; id++) {
        const step = Math.abs(a.readUInt16LE(at + 8 + 2 * id) - b.readUInt16LE(at + 8 + 2 * id));
        most = Math.max(most, step);
        others += step > 0 ? 1 : 0;
      }
    }
    expect(most).toBeLessThanOrEqual(1);
    expect(others).toBeLessThan((0.01 * a.length) / 2);

    // What they print of the other file against this base, from ours read back: to the sixth decimal that they print, within a step.
    const said = run(
      /Mean +KLD: +([-\d.]+)[\s\S]*Same top p: +([\d.]+)/,
      ...["-m", rounded, "--kl-divergence-base", ours, "--kl-divergence"],
    );
    const [kl, top] = [Number(said[1]), Number(said[2])];
    await process_.call("keepBase", [theirs, 0, windows.windows.length]);
    await process_.call("open", [rounded, { ...engine, forward: "llama.cpp" }, {}]);
    const against = await process_.call("compare", [windows.windows]);
    const read64 = scoreDivergence(against, windows.windows, places(), RESAMPLING);
    expect(kl).toBeGreaterThan(0.001);
    // A base's logits are kept in steps of a 65,535th of at most 16 nats: each is at most half of that off.
    expect(Math.abs(read64.kl.llama - kl)).toBeLessThan(16 / 65_535);
    expect(read64.sameTop.ok && 100 * read64.sameTop.value).toBeCloseTo(top, 2);
    // Without the base's steps it is the same number as near.
    const direct = scores.kl.mean;
    expect(direct.ok && Math.abs(direct.value - kl)).toBeLessThan(2 * (16 / 65_535));
  });
});

describe("hostile input is refused before anything runs", () => {
  const file = (name: string, content: Uint8Array | string) => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };

  test.each<[string, () => string]>([
    ["no such file", () => join(folder, "none.txt")],
    ["it is empty", () => file("empty.txt", " \n")],
    ["it is not UTF-8", () => file("latin.txt", Buffer.from("caf\xe9", "latin1"))],
    ["it has a character that no prompt can carry", () => file("nul.txt", "one\0two")],
  ])("a text: %s", (message, path) => {
    const expected = message === "no such file" ? "ENOENT" : message;
    expect(() => readTextFile(path())).toThrow(coded("STUDY_INVALID", expected));
  });

  test("a text of fewer than two windows, as llama-perplexity has it", () => {
    const ids = Array.from({ length: 2 * CONTEXT - 1 }, () => 1);
    expect(() => cutWindows({ ids }, CONTEXT)).toThrow(coded("STUDY_INVALID", "127 tokens"));
    expect(cutWindows({ ids: [...ids, 1] }, CONTEXT).windows).toHaveLength(2);
  });

  test("control tokens in a text are text", async () => {
    await process_.call("open", [floats, engine, {}]);
    const { ids } = await process_.call("fileIds", ["<|im_end|>"]);
    expect(ids.length).toBeGreaterThan(2);
  });

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ["does not begin with", (bytes) => Buffer.concat([Buffer.from("logits__"), bytes.subarray(8)])],
    ["comes to", (bytes) => bytes.subarray(0, -2)],
    ["windows of", (bytes) => Buffer.concat([bytes.subarray(0, 8), Buffer.alloc(4), bytes.subarray(12)])],
    [
      "it has the token 4000",
      (bytes) => {
        bytes.writeInt32LE(4000, 20);
        return bytes;
      },
    ],
  ])("a base file that %s", async (message, spoil) => {
    const header = { context: 4, vocabulary: 5, windows: 1, tokenIds: Int32Array.of(0, 1, 2, 3) };
    const row = encodeBaseRow(Float32Array.of(0.5, 2, -30, 1, 0));
    const path = file("base", spoil(Buffer.concat([encodeBaseHeader(header), row])));
    await expect(BaseFile.open(path)).rejects.toEqual(coded("STUDY_INVALID", message));
  });

  test("a base row read back is softmax, clipped 16 nats below the greatest", async () => {
    const logits = Float32Array.of(0.5, 2, -30, 1, 0);
    const header = { context: 4, vocabulary: 5, windows: 1, tokenIds: Int32Array.of(0, 1, 2, 3) };
    const path = file("good", Buffer.concat([encodeBaseHeader(header), encodeBaseRow(logits)]));
    const base = await BaseFile.open(path);
    const rows: Float32Array[] = [];
    for await (const row of base.rows(0, 1)) rows.push(row);
    await base.close();
    const sum = Math.log(logits.reduce((total, one) => total + Math.exp(one), 0));
    const expected = [...logits].map((one) => Math.max(one, 2 - 16) - sum);
    rows[0]?.forEach((logprob, id) => {
      expect(Math.abs(logprob - (expected[id] as number))).toBeLessThan(16 / 65_535);
    });
  });
});
