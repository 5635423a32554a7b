/** What a benchmark comes to, file by file: everything that the report shows, and 05-results.json holds. */

import type { NoiseFloor } from "../ask/noise-floor.js";
import type { ResamplingSettings } from "../score/resampling.js";
import type { SettledEngine } from "../study/study.js";
import { type AskedAnswers, marginFloor } from "./asked-answers.js";
import {
  type BehaviorDistances,
  type OwnCalibration,
  scoreDistances,
  scoreOwnCalibration,
} from "./behavior-distances.js";
import type { Benchmark } from "./benchmark.js";
import type { CrossedAdapters } from "./crossed-adapters.js";
import {
  type DivergenceScores,
  type FileFloor,
  fileFloor,
  type ItemPlace,
  scoreDivergence,
} from "./divergence-scores.js";
import { type AnswerFlips, scoreFlips } from "./flips.js";
import type { ImatrixText } from "./imatrix-text.js";
import { asOwn, type ComparedSet, divergenceFile, type OwnReading, readDivergence } from "./measure-divergence.js";
import { scoreSpeed, type SpeedRound, type SpeedScores } from "./measure-speed.js";
import { scoreSelfKnowledge, type SelfKnowledge } from "./old-self.js";
import { SOURCE, type Variant } from "./variants.js";

/** What a benchmark depends on: 01-plan.json. */
export interface QuantizePlan {
  readonly quantizeVersion: 1;
  readonly inward: string;
  readonly benchmark: Benchmark;
  readonly engine: SettledEngine;
  /** By name, without where they are. */
  readonly files: Readonly<Record<string, string>>;
  /** Name and release, where files are ONNX graphs. */
  readonly onnxRuntime?: string;
  readonly imatrix?: {
    readonly sha256: string;
    readonly datasets: readonly string[];
    readonly texts: readonly ImatrixText[];
  };
  readonly text?: {
    readonly sha256: string;
    readonly context: number;
    readonly windows: number;
    /** Of the whole text. */
    readonly tokens: number;
    readonly positions: number;
    readonly bos?: number;
    /** Of a base file of llama-perplexity that is read. */
    readonly baseSha256?: string;
  };
}

/** A row of the table. Rows of ONNX graphs have the same fields; what was not measured says why. */
export interface QuantizeRow {
  readonly variant: Variant;
  /** Against the source on the text, and on the source's own answers. */
  readonly text: MeasuredFigure<DivergenceScores>;
  readonly answers: MeasuredFigure<DivergenceScores>;
  readonly textFloor: MeasuredFigure<FileFloor>;
  readonly answersFloor: MeasuredFigure<FileFloor>;
  /** The file read a token at a time against itself as usual: on answers where there are some, else on the text. */
  readonly steps: MeasuredFigure<FileFloor>;
  /** Against a base file of llama-perplexity, on the same text. */
  readonly base: MeasuredFigure<DivergenceScores>;
  readonly flips: MeasuredFigure<AnswerFlips>;
  /** The same asked again in another order and batch composition: what flips there, no weight has flipped. */
  readonly again: MeasuredFigure<NoiseFloor>;
  readonly distances: MeasuredFigure<BehaviorDistances>;
  readonly self: MeasuredFigure<SelfKnowledge>;
  readonly calibration: MeasuredFigure<OwnCalibration>;
  readonly speed: MeasuredFigure<SpeedScores>;
  /** Of llama.cpp's own kernels on the same file, in the same rounds. */
  readonly llamaSpeed: MeasuredFigure<SpeedScores>;
  /** Which arithmetic it was evaluated in. */
  readonly arithmetic?: string;
}

export type MeasuredFigure<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly reason: string };

export interface QuantizeResults {
  readonly resultsVersion: 1;
  readonly rows: readonly QuantizeRow[];
  /** Adapters that were trained on one file and asked on another. */
  readonly adapters: MeasuredFigure<CrossedAdapters>;
  /** What a reader must know, in sentences. */
  readonly notes: readonly string[];
}

export const found = <Value>(value: Value): MeasuredFigure<Value> => ({ ok: true, value });
export const unmeasured = (reason: string): MeasuredFigure<never> => ({ ok: false, reason });

interface Measured {
  readonly benchmark: Benchmark;
  readonly variants: readonly Variant[];
  readonly sets: readonly ComparedSet[];
  /** Where rows of positions lie. */
  readonly divergenceFolder: string;
  readonly answered: AskedAnswers | undefined;
  readonly rounds: readonly SpeedRound[] | undefined;
  /** Why llama.cpp's own kernels were not timed beside ours, where they were not. */
  readonly noLlamaSpeed: string | undefined;
  readonly arithmetic: Readonly<Record<string, string>>;
}

/** @throws InwardError STORE_INCOMPLETE, STORE_CORRUPT */
export async function scoreRows(measured: Measured, settings: ResamplingSettings): Promise<QuantizeRow[]> {
  const { variants, arithmetic } = measured;
  const rows: QuantizeRow[] = [];
  for (const variant of variants) {
    const text = await divergenceOf(measured, variant, "text", settings);
    const answers = await divergenceOf(measured, variant, "answers", settings);
    const base = await divergenceOf(measured, variant, "base", settings);
    rows.push({
      variant,
      text: text.scores,
      textFloor: text.floor,
      answers: answers.scores,
      answersFloor: answers.floor,
      steps: answers.steps.ok ? answers.steps : text.steps,
      base: base.scores,
      ...ofAnswers(measured, variant, settings),
      ...speedOf(measured, variant),
      ...(arithmetic[variant.name] === undefined ? {} : { arithmetic: arithmetic[variant.name] as string }),
    });
  }
  return rows;
}

/** On which texts each file is read a token at a time as well: answers, where there are some, because so they are made. */
export function steppedSet(sets: readonly ComparedSet[]): ComparedSet["name"] | undefined {
  const names = sets.map(({ name }) => name);
  return names.includes("answers") ? "answers" : names.find((name) => name === "text");
}

const NOT_NAMED: Readonly<Record<ComparedSet["name"], string>> = {
  text: "the benchmark names no text",
  answers: "the benchmark names no tasks",
  base: "the benchmark names no base file",
};

async function divergenceOf(
  { benchmark, variants, sets, divergenceFolder, answered }: Measured,
  variant: Variant,
  name: ComparedSet["name"],
  settings: ResamplingSettings,
): Promise<Record<"floor" | "steps", MeasuredFigure<FileFloor>> & { scores: MeasuredFigure<DivergenceScores> }> {
  const items = sets.find((set) => set.name === name)?.items;
  if (!items) {
    const none = unmeasured(NOT_NAMED[name]);
    return { scores: none, floor: none, steps: none };
  }
  const places: readonly ItemPlace[] =
    name === "answers" && answered ? answered.places : items.map((_, at) => ({ task: "text", item: String(at) }));
  const read = (of: string, own?: OwnReading) =>
    readDivergence(
      divergenceFile(divergenceFolder, of, name, own),
      own === undefined ? items : items.slice(0, benchmark.floorTexts),
    );
  // The source beside a base file is a file like any other.
  const isOwn = variant.name === SOURCE && name !== "base";
  const values = await read(isOwn ? (variants[1] as Variant).name : variant.name);
  const floor =
    name === "base" ? unmeasured("that of the text is the same") : found(fileFloor(await read(variant.name, "floor")));
  const steps = !variants.some(({ graph }) => graph)
    ? unmeasured("the benchmark has no ONNX graph")
    : name === steppedSet(sets)
      ? found(fileFloor(await read(variant.name, "steps")))
      : unmeasured("it was measured on the answers");
  return { scores: found(scoreDivergence(isOwn ? asOwn(values) : values, items, places, settings)), floor, steps };
}

function ofAnswers({ answered }: Measured, { name: variant, graph }: Variant, settings: ResamplingSettings) {
  const isSource = variant === SOURCE;
  const notAsked = graph && answered?.graphsNotAsked;
  const asked = <Value>(of: (answered: AskedAnswers) => Value | undefined, why: string): MeasuredFigure<Value> => {
    if (!answered) return unmeasured(NOT_NAMED.answers);
    if (notAsked !== undefined) return unmeasured(notAsked);
    const value = of(answered);
    return value === undefined ? unmeasured(why) : found(value);
  };
  const itself = "the source itself";
  const uncalibrated =
    answered && !answered.distributions
      ? "the benchmark names no calibration"
      : graph
        ? "whole distributions are expanded on GGUF files alone"
        : "no distribution was measured of both";
  const input = { source: SOURCE, variant };
  return {
    flips: asked(
      (all) =>
        isSource ? undefined : scoreFlips({ ...all, ...input, floor: marginFloor(all.floors, variant) }, settings),
      itself,
    ),
    again: asked(
      ({ floors }) => floors.find(({ state, questions }) => state === variant && questions > 0),
      graph
        ? "a graph is asked one question at a time: there is no other batch composition"
        : "nothing was asked again",
    ),
    distances: asked(
      ({ distributions }) =>
        isSource || graph || !distributions ? undefined : scoreDistances({ ...input, distributions }, settings),
      isSource && answered?.distributions ? itself : uncalibrated,
    ),
    self: asked((all) => scoreSelfKnowledge({ ...all, ...input }, settings), itself),
    calibration: asked(
      ({ distributions, calibration }) =>
        graph || !distributions || !calibration
          ? undefined
          : scoreOwnCalibration({ ...input, distributions }, calibration, settings),
      uncalibrated,
    ),
  };
}

function speedOf({ rounds, noLlamaSpeed }: Measured, { name, graph }: Variant) {
  const off = unmeasured("speed is off in the benchmark");
  return {
    speed: rounds ? found(scoreSpeed(rounds, name)) : off,
    llamaSpeed: !rounds
      ? off
      : graph
        ? unmeasured("llama.cpp does not run ONNX graphs")
        : noLlamaSpeed === undefined
          ? found(scoreSpeed(rounds, name, "llama.cpp"))
          : unmeasured(noLlamaSpeed),
  };
}
