/** A benchmark as one call: files made, asked, held against the source, timed, scored, reported. What is done is not done again. */

import { existsSync } from "node:fs";
import { appendFile, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { objectLevelQuestions } from "../ask/questions.js";
import { hashOf, makeFolder, readJson, removePartials, writeJson, writeWhole } from "../base/files.js";
import { takeRunLock } from "../base/lock.js";
import { INWARD_VERSION } from "../base/version.js";
import { InwardError } from "../errors.js";
import { readImatrix } from "../gguf/imatrix.js";
import { encodeBaseHeader } from "../model/engines/base-file.js";
import {
  type ComparedItem,
  type CompareProcess,
  keptPositions,
  positionsOf,
  startCompareProcess,
} from "../model/engines/compare-logits.js";
import { settleEngine } from "../model/engines/settings.js";
import { resolveModel } from "../model/resolve-model.js";
import { readBehaviors } from "../run/behaviors.js";
import { RunFolder } from "../run/folder.js";
import { modelProgress, type WorkOptions } from "../run/open-model.js";
import { readContent, readLines } from "../run/records.js";
import { type AuthoredStudy, runStudy } from "../run/run-study.js";
import { clusterOf, readTrials } from "../run/score-stages.js";
import type { EngineManifest } from "../study/plan.js";
import type { SettledEngine } from "../study/study.js";
import { answersStudy, type Benchmark, loadBenchmark } from "./benchmark.js";
import {
  type DivergenceScores,
  type FileFloor,
  fileFloor,
  type ItemPlace,
  scoreDivergence,
} from "./divergence-scores.js";
import { type AnswerFlips, scoreFlips } from "./flips.js";
import { asOwn, type ComparedSet, divergenceFile, measureDivergence, readDivergence } from "./measure-divergence.js";
import { measureSpeed, scoreSpeed, type SpeedScores } from "./measure-speed.js";
import { scoreSelfKnowledge, type SelfKnowledge } from "./old-self.js";
import { makeQuantizeReport } from "./quantize-report.js";
import { cutWindows, readTextFile } from "./text-windows.js";
import { makeVariants, SOURCE, type Variant } from "./variants.js";

export interface QuantizeOptions extends WorkOptions {
  /** Run folder. Default `runs/quantize-<name>-<first eight hex digits of the plan's hash>`. */
  readonly out?: string;
  readonly set?: readonly string[];
  readonly onPlanned?: (planned: { readonly folder: string; readonly variants: readonly Variant[] }) => void;
}

/** What a benchmark depends on: 01-plan.json. */
export interface QuantizePlan {
  readonly quantizeVersion: 1;
  readonly inward: string;
  readonly benchmark: Benchmark;
  readonly engine: SettledEngine;
  /** By name, without where they are. */
  readonly files: Readonly<Record<string, string>>;
  readonly imatrix?: { readonly sha256: string; readonly datasets: readonly string[] };
  readonly text?: {
    readonly sha256: string;
    readonly context: number;
    readonly windows: number;
    /** Of the whole text. */
    readonly tokens: number;
    readonly positions: number;
    readonly bos?: number;
  };
}

/** A row of the table. Rows of another engine have the same fields; what was not measured says why. */
export interface QuantizeRow {
  readonly variant: Variant;
  /** Against the source on the text, and on the source's own answers. */
  readonly text: MeasuredFigure<DivergenceScores>;
  readonly answers: MeasuredFigure<DivergenceScores>;
  readonly textFloor: MeasuredFigure<FileFloor>;
  readonly answersFloor: MeasuredFigure<FileFloor>;
  readonly flips: MeasuredFigure<AnswerFlips>;
  readonly self: MeasuredFigure<SelfKnowledge>;
  readonly speed: MeasuredFigure<SpeedScores>;
  /** Which arithmetic it was evaluated in. */
  readonly arithmetic?: string;
}

export type MeasuredFigure<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly reason: string };

export interface QuantizeResults {
  readonly resultsVersion: 1;
  readonly rows: readonly QuantizeRow[];
  /** What a reader must know, in sentences. */
  readonly notes: readonly string[];
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
  divergence: "03-divergence",
  engines: "03-engines.json",
  base: "03-source.base",
  speed: "04-speed.json",
  results: "05-results.json",
  markdown: "06-report.md",
  html: "06-report.html",
  figures: "figures",
} as const;

const found = <Value>(value: Value): MeasuredFigure<Value> => ({ ok: true, value });
const unmeasured = (reason: string): MeasuredFigure<never> => ({ ok: false, reason });

/**
 * @param path of a benchmark's YAML
 * @throws InwardError STUDY_*, IMATRIX_INVALID, MODEL_*, ENGINE_*, STORE_* · INTERRUPTED: the same call goes on
 */
export async function runQuantize(path: string, options: QuantizeOptions = {}): Promise<FinishedQuantize> {
  const { offline, signal, onProgress } = options;
  const benchmark = loadBenchmark(path, options.set);
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
    variants.map((one) => one.path),
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
    const plan: QuantizePlan = {
      quantizeVersion: 1,
      inward: INWARD_VERSION,
      benchmark,
      engine,
      files: Object.fromEntries(variants.map(({ name, sha256 }) => [name, sha256])),
      ...(imatrix ? { imatrix: { sha256: imatrix.sha256, datasets: imatrix.datasets } } : {}),
      ...(windows
        ? {
            text: {
              sha256: windows.sha256,
              context: windows.context,
              windows: windows.windows.length,
              tokens: windows.tokens,
              positions: positionsOf(windows.windows),
              ...(windows.bos === undefined ? {} : { bos: windows.bos }),
            },
          }
        : {}),
    };
    const folder = resolve(options.out ?? join("runs", `quantize-${benchmark.quantize}-${hashOf(plan).slice(0, 8)}`));
    const unlock = await openFolder(folder, plan);
    try {
      options.onPlanned?.({ folder, variants });
      await writeJson(join(folder, FILES.variants), { variants });
      const answered = await answersOf(benchmark, variants, folder, { ...options, engine, process: comparison });
      const sets: ComparedSet[] = [
        ...(windows ? [{ name: "text" as const, items: windows.windows }] : []),
        ...(answered ? [{ name: "answers" as const, items: answered.items }] : []),
      ];
      const arithmetic = await compareSets(sets, {
        benchmark,
        variants,
        engine,
        folder,
        process: comparison,
        signal,
        onProgress,
      });
      if (windows && benchmark.text?.writeBase) {
        await writeBase(join(folder, FILES.base), windows, { process: comparison, path: source.path, engine });
      }
      await comparison.end();
      const { speed } = benchmark;
      const rounds = speed
        ? await measureSpeed({
            ...speed,
            variants,
            engine,
            path: join(folder, FILES.speed),
            signal,
            onProgress: (done, total) => onProgress?.({ stage: "speed", done, total, unit: "steps" }),
          })
        : undefined;
      const resampling = {
        confidence: benchmark.score.confidence,
        bootstrapReplicates: benchmark.score.bootstrapReplicates,
        bootstrapSeed: benchmark.seed,
      };
      const rows: QuantizeRow[] = [];
      for (const variant of variants) {
        const divergence = async (set: ComparedSet["name"], places: readonly ItemPlace[] | undefined) => {
          const items = sets.find(({ name }) => name === set)?.items;
          if (!items || !places) {
            const why = unmeasured(set === "text" ? "the benchmark names no text" : "the benchmark names no tasks");
            return { scores: why, floor: why };
          }
          const isSource = variant.name === SOURCE;
          const of = isSource ? variants[1] : variant;
          const values = await readDivergence(
            divergenceFile(join(folder, FILES.divergence), (of as Variant).name, set),
            items,
          );
          const sample = items.slice(0, benchmark.floorTexts);
          const again = await readDivergence(
            divergenceFile(join(folder, FILES.divergence), variant.name, set, true),
            sample,
          );
          return {
            scores: found(scoreDivergence(isSource ? asOwn(values) : values, items, places, resampling)),
            floor: found(fileFloor(again)),
          };
        };
        const text = await divergence(
          "text",
          windows?.windows.map((_, at) => ({ task: "text", item: String(at) })),
        );
        const answers = await divergence("answers", answered?.places);
        const isSource = variant.name === SOURCE;
        const notAsked = unmeasured("the benchmark names no tasks");
        const own = unmeasured("the source itself");
        rows.push({
          variant,
          text: text.scores,
          answers: answers.scores,
          textFloor: text.floor,
          answersFloor: answers.floor,
          flips: !answered
            ? notAsked
            : isSource
              ? own
              : found(
                  scoreFlips(
                    { ...answered, source: SOURCE, variant: variant.name, floor: answered.marginFloor(variant.name) },
                    resampling,
                  ),
                ),
          self: answered
            ? found(scoreSelfKnowledge({ ...answered, source: SOURCE, variant: variant.name }, resampling))
            : notAsked,
          speed: rounds ? found(scoreSpeed(rounds, variant.name)) : unmeasured("speed is off in the benchmark"),
          ...(arithmetic[variant.name] === undefined ? {} : { arithmetic: arithmetic[variant.name] }),
        });
      }
      const results: QuantizeResults = {
        resultsVersion: 1,
        rows,
        notes: notesOf(plan, variants, source.reencodedFrom?.encoding),
      };
      await writeJson(join(folder, FILES.results), results);
      const made = await makeQuantizeReport(plan, results);
      await rm(join(folder, FILES.figures), { recursive: true, force: true });
      makeFolder(join(folder, FILES.figures));
      for (const { name, svg } of made.figures) await writeWhole(join(folder, FILES.figures, `${name}.svg`), svg);
      await writeWhole(join(folder, FILES.markdown), made.markdown);
      await writeWhole(join(folder, FILES.html), made.html);
      return { folder, plan, results, report: join(folder, FILES.html) };
    } finally {
      await unlock();
    }
  } finally {
    await comparison.end();
  }
}

async function textWindows({ text }: Benchmark, process: CompareProcess, path: string, engine: SettledEngine) {
  if (text === undefined) return undefined;
  const file = readTextFile(text.file);
  await process.call("open", [path, engine, {}]);
  return { sha256: file.sha256, ...cutWindows(await process.call("fileIds", [file.text]), text.context, text.windows) };
}

/** @throws STORE_LOCKED, STORE_OTHER_PLAN, STORE_UNWRITABLE */
async function openFolder(folder: string, plan: QuantizePlan): Promise<() => Promise<void>> {
  makeFolder(folder);
  const unlock = await takeRunLock(folder);
  try {
    await removePartials(folder);
    const path = join(folder, FILES.plan);
    if (!existsSync(path)) await writeJson(path, plan);
    else if (hashOf(await readJson(path)) !== hashOf(JSON.parse(JSON.stringify(plan)))) {
      throw new InwardError("STORE_OTHER_PLAN", `${folder} holds another benchmark, or this one of other files.`);
    }
    return unlock;
  } catch (error) {
    await unlock();
    throw error;
  }
}

/** Who says which tokens the source's prompts are. */
interface AskedSource {
  readonly engine: SettledEngine;
  readonly process: CompareProcess;
}

/** The study of the answers, run as any study is; and the source's answers as texts on which logits are compared. */
async function answersOf(
  benchmark: Benchmark,
  variants: readonly Variant[],
  folder: string,
  { offline, signal, onProgress, engine, process }: QuantizeOptions & AskedSource,
) {
  if (benchmark.tasks === undefined) return undefined;
  const study = answersStudy(benchmark, Object.fromEntries(variants.map(({ name, path }) => [name, path])));
  const place = join(folder, FILES.answers);
  await runStudy(study as unknown as AuthoredStudy, { out: place, offline, signal, onProgress });
  const run = await RunFolder.open(place);
  try {
    const { plan } = run;
    const answers = await readLines(run, "objectLevel");
    const behaviors = await readBehaviors(run);
    const trials = await readTrials(run);
    const floors = await readContent(run, "noiseFloor");
    const own = answers.filter(
      ({ state, split, reply }) => state === SOURCE && split === "held_out" && reply && !reply.madeElsewhere,
    );
    const asked = new Map(
      objectLevelQuestions(plan).map((question) => [`${question.state}|${question.key}`, question]),
    );
    const source = variants[0] as Variant;
    const chat = plan.chats?.[SOURCE];
    const clusters = clusterOf(plan);
    await process.call("open", [source.path, engine, chat ? { chat } : {}]);
    const questions = own.flatMap((answer) => asked.get(`${SOURCE}|${answer.key.split("#")[0]}`) ?? []);
    const prompts = await process.call("prompts", [
      questions.map(({ messages, thinking }) => ({ messages, ...(thinking === undefined ? {} : { thinking }) })),
    ]);
    const items: ComparedItem[] = [];
    const places: ItemPlace[] = [];
    own.forEach(({ reply, task, item }, at) => {
      const prompt = prompts[at] as number[];
      const tokenIds = reply?.tokenIds ?? [];
      if (tokenIds.length === 0) return;
      items.push({ ids: [...prompt, ...tokenIds], scoreFrom: prompt.length });
      places.push({ task, item, cluster: clusters(task, item) });
    });
    const marginFloor = (variant: string) =>
      floors
        .filter(({ state }) => state === SOURCE || state === variant)
        .reduce((most, one) => Math.max(most, one.maxMarginDifference), 0);
    const labels = behaviors.flatMap(({ state, split, task, property, extraction, compliance }) =>
      split === "train" && compliance.ok && extraction.ok
        ? [{ target: state, task, property, value: extraction.value }]
        : [],
    );
    return { items, places, answers, behaviors, trials, labels, marginFloor, clusterOf: clusters };
  } finally {
    await run.close();
  }
}

interface CompareSetsRequest {
  readonly benchmark: Benchmark;
  readonly variants: readonly Variant[];
  readonly engine: SettledEngine;
  readonly folder: string;
  readonly process: CompareProcess;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: QuantizeOptions["onProgress"];
}

/** @returns by variant the arithmetic that it was evaluated in */
async function compareSets(
  sets: readonly ComparedSet[],
  { benchmark, variants, engine, folder, process, signal, onProgress }: CompareSetsRequest,
): Promise<Record<string, string>> {
  const path = join(folder, FILES.engines);
  const manifests: Record<string, EngineManifest> = existsSync(path) ? await readJson(path) : {};
  for (const set of sets) {
    const opened = await measureDivergence({
      process,
      engine,
      variants,
      set,
      folder: join(folder, FILES.divergence),
      floorItems: benchmark.floorTexts,
      signal,
      onProgress: (what, done, total) => onProgress?.({ stage: `comparing ${what}`, done, total, unit: "questions" }),
    });
    for (const [name, manifest] of Object.entries(opened)) manifests[name] ??= manifest;
    await writeJson(path, manifests);
  }
  return Object.fromEntries(
    Object.entries(manifests).flatMap(([name, { arithmetic }]) => (arithmetic ? [[name, arithmetic]] : [])),
  );
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

function notesOf(
  { imatrix, text, benchmark }: QuantizePlan,
  variants: readonly Variant[],
  shipped: string | undefined,
): string[] {
  const notes: string[] = [];
  if (shipped !== undefined && !["F32", "F16", "BF16"].includes(shipped)) {
    notes.push(
      `The source is an F32 copy of a file of ${shipped}: it was rounded before, and what that cost is in no figure here. ${shipped} made of it again loses next to nothing.`,
    );
  }
  for (const { name, otherTypes = 0, weights, imatrix: used } of variants) {
    if (otherTypes > 0.5) {
      const [most] = Object.entries(weights);
      notes.push(
        `${name}: ${(100 * otherTypes).toFixed(0)} % of its matrices' weights have another type (most are ${most?.[0]}), mostly because their rows are no whole superblocks of 256. Another model's ${name} is another mixture.`,
      );
    }
    if (used && used.without.length > 0) {
      notes.push(
        `${name}: the importance matrix says nothing of ${used.without.length} matrices, which were rounded without it.`,
      );
    }
  }
  if (imatrix) {
    const same =
      text &&
      benchmark.text &&
      imatrix.datasets.some((one) => one.split(/[\\/]/).at(-1) === benchmark.text?.file.split(/[\\/]/).at(-1));
    notes.push(
      same
        ? `The importance matrix was made from a text of the same name as the one that is looked at (${imatrix.datasets.join(", ")}): what is measured on it was fitted to it, and says less of other texts.`
        : `The importance matrix says that it was made from ${imatrix.datasets.length === 0 ? "a text that it does not name" : imatrix.datasets.join(", ")}: look that it is none of what is measured here.`,
    );
  }
  return notes;
}
