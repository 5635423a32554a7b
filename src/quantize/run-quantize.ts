/** A benchmark as one call: files made, asked, held against the source, timed, scored, reported. What is done is not done again. */

import { existsSync } from "node:fs";
import { appendFile, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { hashOf, makeFolder, readJson, removePartials, writeJson, writeWhole } from "../base/files.js";
import { type RunLock, takeRunLock } from "../base/lock.js";
import { INWARD_VERSION } from "../base/version.js";
import { environmentOf, mostAtOnce, type Sharing } from "../cluster/launch-workers.js";
import { InwardError } from "../errors.js";
import { readImatrix } from "../gguf/imatrix.js";
import { BaseFile, encodeBaseHeader } from "./base-file.js";
import { type CompareProcess, keptPositions, positionsOf, startCompareProcess } from "./compare-logits.js";
import { settleEngine } from "../model/engines/settings.js";
import { ONNX_RUNTIME } from "../onnx/onnx-packages.js";
import { requirePlannedFile, sha256OfFile } from "../model/model-file.js";
import { resolveModel } from "../model/resolve-model.js";
import { modelProgress, type WorkOptions } from "../run/open-model.js";
import type { SettledEngine } from "../study/study.js";
import { askFiles } from "./asked-answers.js";
import { type Benchmark, loadBenchmark } from "./benchmark.js";
import { benchmarkNotes } from "./benchmark-notes.js";
import { crossAdapters } from "./crossed-adapters.js";
import { compareImatrixTexts } from "./imatrix-text.js";
import { type ComparedSet, measureDivergence, type OpenedFiles } from "./measure-divergence.js";
import { measureSpeed } from "./measure-speed.js";
import { requireOnnxFor } from "./onnx-variants.js";
import { makeQuantizeReport } from "./quantize-report.js";
import {
  found,
  type QuantizePlan,
  type QuantizeResults,
  scoreRows,
  steppedSet,
  unmeasured,
} from "./quantize-results.js";
import { cutWindows, readTextFile } from "./text-windows.js";
import { makeVariants, SOURCE, type Variant } from "./variants.js";

/** With workers the asking and training are shared out as any run is, and files are held against the source side by side. */
export interface QuantizeOptions extends WorkOptions, Sharing {
  /** Run folder. Default `runs/quantize-<name>-<first eight hex digits of the plan's hash>`. */
  readonly out?: string;
  readonly set?: readonly string[];
  readonly onPlanned?: (planned: { readonly folder: string; readonly variants: readonly Variant[] }) => void;
}

export interface FinishedQuantize {
  readonly folder: string;
  readonly plan: QuantizePlan;
  readonly results: QuantizeResults;
  readonly report: string;
}

const FILES = {
  plan: "01-plan.json",
  variants: "01-variants.json",
  answers: "02-answers",
  graphAnswers: "02-onnx-answers",
  divergence: "03-divergence",
  engines: "03-engines.json",
  base: "03-source.base",
  speed: "04-speed.json",
  results: "05-results.json",
  markdown: "06-report.md",
  html: "06-report.html",
  figures: "figures",
} as const;

/**
 * @param path of a benchmark's YAML
 * @throws InwardError STUDY_*, ONNX_PACKAGES (before anything is fetched), ONNX_*, IMATRIX_INVALID, MODEL_*, ENGINE_*, STORE_* · INTERRUPTED: the
 * same call goes on
 */
export async function runQuantize(path: string, options: QuantizeOptions = {}): Promise<FinishedQuantize> {
  const { offline, signal, onProgress, workers, devices, cut, onWorkers } = options;
  const sharing: Sharing = { workers, devices, cut, onWorkers };
  const benchmark = loadBenchmark(path, options.set);
  requireOnnxFor(benchmark.types ?? []);
  const { source: authored } = benchmark;
  if (authored.adapter !== undefined) {
    throw new InwardError(
      "STUDY_INVALID",
      "source.adapter: a benchmark's source wears no adapter; merge it into the weights first",
    );
  }
  const source = await resolveModel(authored.source, {
    ...authored,
    offline,
    signal,
    onProgress: modelProgress(onProgress, SOURCE),
  });
  const imatrix = benchmark.imatrix === undefined ? undefined : await readImatrix(benchmark.imatrix);
  const { types = [], files } = benchmark;
  const variants = await makeVariants({
    source,
    types,
    files,
    imatrix,
    offline,
    signal,
    onProgress: modelProgress(onProgress),
  });
  const engine = await settleEngine(
    benchmark.engine,
    variants.filter(({ graph }) => graph === undefined).map((one) => one.path),
  );
  if (engine.engine !== "native") {
    throw new InwardError(
      "ENGINE_UNAVAILABLE",
      "a benchmark compares whole vocabularies, which the native engine does; build it: node scripts/build-native.mjs",
    );
  }
  const comparison = startCompareProcess(engine);
  try {
    const windows = await textWindows(benchmark, comparison, source.path, engine);
    const base =
      windows && benchmark.text?.base !== undefined ? await openBase(benchmark.text.base, windows) : undefined;
    const plan: QuantizePlan = {
      quantizeVersion: 1,
      inward: INWARD_VERSION,
      benchmark,
      engine,
      files: Object.fromEntries(variants.map(({ name, sha256 }) => [name, sha256])),
      ...(variants.some(({ graph }) => graph) ? { onnxRuntime: ONNX_RUNTIME } : {}),
      ...(imatrix
        ? {
            imatrix: {
              sha256: imatrix.sha256,
              datasets: imatrix.datasets,
              texts: windows ? compareImatrixTexts(imatrix, windows.text, benchmark.imatrixTexts) : [],
            },
          }
        : {}),
      ...(windows
        ? {
            text: {
              sha256: windows.text.sha256,
              context: windows.context,
              windows: windows.windows.length,
              tokens: windows.tokens,
              positions: positionsOf(windows.windows),
              ...(windows.bos === undefined ? {} : { bos: windows.bos }),
              ...(base ? { baseSha256: base.sha256 } : {}),
            },
          }
        : {}),
    };
    const folder = resolve(options.out ?? join("runs", `quantize-${benchmark.quantize}-${hashOf(plan).slice(0, 8)}`));
    const lock = await openFolder(folder, plan);
    try {
      options.onPlanned?.({ folder, variants });
      await writeJson(join(folder, FILES.variants), { variants });
      const work = { offline, signal, onProgress };
      const places = { place: join(folder, FILES.answers), graphAnswers: join(folder, FILES.graphAnswers) };
      const answered = await askFiles(benchmark, variants, places, { ...work, engine, process: comparison, sharing });
      const resampling = {
        confidence: benchmark.score.confidence,
        bootstrapReplicates: benchmark.score.bootstrapReplicates,
        bootstrapSeed: benchmark.seed,
      };
      const crossed = await crossAdapters(benchmark, variants, folder, resampling, { ...work, sharing });
      const sets: ComparedSet[] = [
        ...(windows ? [{ name: "text" as const, items: windows.windows }] : []),
        ...(windows && base
          ? [{ name: "base" as const, items: windows.windows.slice(0, base.windows), base: base.path }]
          : []),
        ...(answered ? [{ name: "answers" as const, items: answered.items }] : []),
      ];
      const arithmetic = await compareSets(sets, {
        benchmark,
        variants,
        engine,
        folder,
        process: comparison,
        lock,
        sharing,
        signal,
        onProgress,
      });
      if (windows && benchmark.text?.writeBase) {
        await writeBase(join(folder, FILES.base), windows, { process: comparison, path: source.path, engine });
      }
      await comparison.end();
      const { speed } = benchmark;
      const noLlamaSpeed = whyNoLlamaSpeed(benchmark, engine);
      const rounds = speed
        ? await measureSpeed({
            ...speed,
            besideLlama: noLlamaSpeed === undefined,
            variants,
            engine,
            path: join(folder, FILES.speed),
            signal,
            onProgress: (done, total) => onProgress?.({ stage: "speed", done, total, unit: "steps" }),
          })
        : undefined;
      const divergenceFolder = join(folder, FILES.divergence);
      const rows = await scoreRows(
        { benchmark, variants, sets, divergenceFolder, answered, rounds, noLlamaSpeed, arithmetic },
        resampling,
      );
      const results: QuantizeResults = {
        resultsVersion: 1,
        rows,
        adapters: crossed ? found(crossed) : unmeasured("the benchmark names no adapters"),
        notes: benchmarkNotes(plan, rows, source.reencodedFrom?.encoding),
      };
      await lock.require();
      await writeJson(join(folder, FILES.results), results);
      const made = await makeQuantizeReport(plan, results);
      await rm(join(folder, FILES.figures), { recursive: true, force: true });
      makeFolder(join(folder, FILES.figures));
      for (const { name, svg } of made.figures) await writeWhole(join(folder, FILES.figures, `${name}.svg`), svg);
      await writeWhole(join(folder, FILES.markdown), made.markdown);
      await writeWhole(join(folder, FILES.html), made.html);
      return { folder, plan, results, report: join(folder, FILES.html) };
    } catch (error) {
      // What fails because the folder is not where it was says so.
      await lock.require();
      throw error;
    } finally {
      await lock.release();
    }
  } finally {
    await comparison.end();
  }
}

async function textWindows({ text }: Benchmark, process: CompareProcess, path: string, engine: SettledEngine) {
  if (text === undefined) return undefined;
  const file = readTextFile(text.file);
  const { facts } = await process.call("open", [path, engine, {}]);
  const windows = cutWindows(await process.call("fileIds", [file.text]), text.context, text.windows);
  return { text: file, vocabulary: facts.vocabularySize, ...windows };
}

/** @throws STUDY_INVALID for a base file of another text, cut otherwise, or of another vocabulary */
async function openBase(
  path: string,
  {
    context,
    tokenIds,
    vocabulary,
  }: { readonly context: number; readonly tokenIds: readonly number[]; readonly vocabulary: number },
): Promise<{ readonly path: string; readonly windows: number; readonly sha256: string }> {
  const file = await BaseFile.open(path);
  const { header } = file;
  await file.close();
  const refuse = (why: string) => new InwardError("STUDY_INVALID", `text.base: ${path} ${why}`);
  if (header.vocabulary !== vocabulary) {
    throw refuse(`has a vocabulary of ${header.vocabulary} tokens, and the source's is ${vocabulary}`);
  }
  if (header.context !== context) {
    throw refuse(
      `has windows of ${header.context} tokens, and text.context is ${context}; set it to ${header.context}`,
    );
  }
  const windows = Math.min(header.windows, tokenIds.length / context);
  const other = header.tokenIds.subarray(0, windows * context).findIndex((id, at) => id !== tokenIds[at]);
  if (other >= 0) {
    throw refuse(
      `is of another text: its token ${other + 1} is ${header.tokenIds[other]}, that of text.file is ${tokenIds[other]}`,
    );
  }
  return { path, windows, sha256: await sha256OfFile(path) };
}

/** Why llama.cpp's kernels are not timed beside ours, or nothing. */
function whyNoLlamaSpeed({ speed }: Benchmark, engine: SettledEngine): string | undefined {
  if (!speed) return "speed is off in the benchmark";
  if (!speed.llamaCpp) return "speed.llamaCpp is off in the benchmark";
  return engine.forward === "own" ? undefined : "llama.cpp evaluated all of it";
}

/** @throws STORE_LOCKED, STORE_OTHER_PLAN, STORE_UNWRITABLE */
async function openFolder(folder: string, plan: QuantizePlan): Promise<RunLock> {
  makeFolder(folder);
  const lock = await takeRunLock(folder);
  try {
    await removePartials(folder);
    const path = join(folder, FILES.plan);
    if (!existsSync(path)) await writeJson(path, plan);
    else if (hashOf(await readJson(path)) !== hashOf(JSON.parse(JSON.stringify(plan)))) {
      throw new InwardError("STORE_OTHER_PLAN", `${folder} holds another benchmark, or this one of other files.`);
    }
    return lock;
  } catch (error) {
    await lock.release();
    throw error;
  }
}

interface CompareSetsRequest {
  readonly benchmark: Benchmark;
  readonly variants: readonly Variant[];
  readonly engine: SettledEngine;
  readonly folder: string;
  readonly process: CompareProcess;
  readonly lock: RunLock;
  readonly sharing: Sharing;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: QuantizeOptions["onProgress"];
}

/** @returns by variant the arithmetic that it was evaluated in */
async function compareSets(
  sets: readonly ComparedSet[],
  { benchmark, variants, engine, folder, process, lock, sharing, signal, onProgress }: CompareSetsRequest,
): Promise<Record<string, string>> {
  const path = join(folder, FILES.engines);
  const manifests: Record<string, OpenedFiles[string]> = existsSync(path) ? await readJson(path) : {};
  // Once is enough: on answers, where there are some, since that is how answers are made.
  const stepped = variants.some(({ graph }) => graph) ? steppedSet(sets) : undefined;
  const { workers = 1, devices } = sharing;
  const { most } = workers > 1 ? await mostAtOnce(engine, { workers, devices }) : { most: 1 };
  const more = Array.from({ length: Math.min(most, variants.length) - 1 }, (_, at) =>
    startCompareProcess(engine, environmentOf(devices?.[(at + 1) % devices.length])),
  );
  const processes = [process, ...more];
  const require = async (evaluated: readonly { readonly name: string }[]) => {
    await lock.require();
    for (const { name, path, sha256, graph } of variants) {
      const isEvaluated = graph === undefined && evaluated.some((one) => one.name === name);
      if (isEvaluated) await requirePlannedFile(name, { path, sha256 });
    }
  };
  try {
    for (const set of sets) {
      const opened = await sideBySide(processes, signal, (one, at, stop) => ({
        process: one,
        share: { at, of: processes.length },
        engine,
        variants,
        set,
        folder: join(folder, FILES.divergence),
        floorItems: benchmark.floorTexts,
        steps: set.name === stepped,
        known: new Set(Object.keys(manifests)),
        require,
        signal: stop,
        onProgress: (done, total) => onProgress?.({ stage: `comparing ${set.name}`, done, total, unit: "questions" }),
      }));
      for (const [name, manifest] of Object.entries(opened)) manifests[name] ??= manifest;
      await writeJson(path, inOrder(manifests, variants));
    }
  } finally {
    await Promise.all(more.map((one) => one.end()));
  }
  return Object.fromEntries(
    Object.entries(manifests).flatMap(([name, { arithmetic }]) => (arithmetic ? [[name, arithmetic]] : [])),
  );
}

type DivergenceRequest = Parameters<typeof measureDivergence>[0];

/** Each process its share; the first that fails stops the others, and nobody writes any more when this ends. */
async function sideBySide(
  processes: readonly CompareProcess[],
  signal: AbortSignal | undefined,
  requestOf: (
    process: CompareProcess,
    at: number,
    stop: AbortSignal,
  ) => Omit<DivergenceRequest, "onProgress"> & { readonly onProgress: (done: number, total: number) => void },
): Promise<OpenedFiles> {
  const stop = new AbortController();
  const all = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const progress = new Map<number, readonly [number, number]>();
  let failure: { readonly error: unknown } | undefined;
  const opened = await Promise.all(
    processes.map(async (process, at) => {
      const { onProgress, ...request } = requestOf(process, at, all);
      const told = (_: string, done: number, total: number) => {
        progress.set(at, [done, total]);
        const sums = [...progress.values()].reduce(([a, b], [c, d]) => [a + c, b + d], [0, 0] as const);
        onProgress(...sums);
      };
      return measureDivergence({ ...request, onProgress: told }).catch((error: unknown): OpenedFiles => {
        failure ??= { error };
        stop.abort();
        return {};
      });
    }),
  );
  if (failure) throw failure.error;
  return Object.assign({}, ...opened) as OpenedFiles;
}

/** So that the bytes do not depend on who was first. */
function inOrder(manifests: OpenedFiles, variants: readonly Variant[]): OpenedFiles {
  return Object.fromEntries(variants.flatMap(({ name }) => (manifests[name] ? [[name, manifests[name]]] : [])));
}

interface BaseWriting {
  readonly process: CompareProcess;
  readonly path: string;
  readonly engine: SettledEngine;
}

async function writeBase(
  path: string,
  { windows, tokenIds, context, positions }: NonNullable<Awaited<ReturnType<typeof textWindows>>>,
  { process, path: model, engine }: BaseWriting,
): Promise<void> {
  if (existsSync(path)) return;
  const partial = `${path}.partial-${globalThis.process.pid}`;
  await rm(partial, { force: true });
  const { facts } = await process.call("open", [model, engine, {}]);
  const header = {
    context,
    vocabulary: facts.vocabularySize,
    windows: windows.length,
    tokenIds: Int32Array.from(tokenIds),
  };
  await appendFile(partial, encodeBaseHeader(header));
  const at = Math.max(1, Math.floor(keptPositions(facts.vocabularySize) / positions));
  for (let first = 0; first < windows.length; first += at) {
    const some = windows.slice(first, first + at);
    await process.call("keep", [some]);
    await process.call("appendBase", [partial, positionsOf(some)]);
  }
  await rename(partial, path);
}
