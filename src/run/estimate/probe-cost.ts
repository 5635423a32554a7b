/** What looking inside comes to before it is run: evaluations, products of lenses, fits of probes, and bytes. */

import { seededRandom } from "../../base/random.js";
import { PROBE_SETTINGS, type ProbeExample, scoreProbe } from "../../probe/linear-probe-score.js";
import type { Plan, PlannedProbe } from "../../study/plan.js";
import { PENALTIES } from "../probe-scores-stage.js";
import type { StatesEstimate } from "../states-file.js";
import type { ModelEstimate, TimeEstimate } from "./estimate.js";
import { sumOfTimes } from "./rates.js";

/** What stage 07 comes to, by state. */
export interface ProbedEstimate extends Pick<StatesEstimate, "prompts" | "promptTokens" | "rows" | "bytes"> {
  readonly state: string;
  readonly model: string;
  /** Set of a twin with random weights: bytes of its file, which is there while it is looked into. */
  readonly fileBytes?: number;
  /** Declared ones. */
  readonly sites: number;
  /** That a lens reads: declared ones, the embedding and the end. */
  readonly residuals: number;
  readonly width: number;
  readonly vocabulary: number;
  /** Rows of spans, of all kinds of prompts. */
  readonly trainRows: number;
  readonly heldOutRows: number;
  /** Prompts that lenses read at every token, their tokens, and bytes of their states while they are read; absent where there are none. */
  readonly whole?: { readonly prompts: number; readonly tokens: number; readonly bytes: number };
  /** Of the task that has most. */
  readonly trainStrings: number;
  readonly heldOutStrings: number;
}

export type MaybeProbedEstimate =
  | ({ readonly ok: true } & ProbedEstimate)
  | { readonly ok: false; readonly state: string; readonly reason: string };

export interface ProbeCost {
  /** By state, with the time that asking its prompts once more takes. */
  readonly states: readonly (MaybeProbedEstimate & { readonly time: TimeEstimate })[];
  /** States that lenses read, and maps that are found; absent where no lens is wanted. */
  readonly lens?: {
    readonly rows: number;
    readonly maps: number;
    readonly time: TimeEstimate;
    /** Of prompts that are read at every token: how many, and bytes of their readings. */
    readonly wholePrompts: number;
    readonly readingBytes: number;
  };
  readonly fits: { readonly count: number; readonly time: TimeEstimate };
  /** Of all of it. */
  readonly time: TimeEstimate;
  /** Of the states' files; of the largest file with random weights, which is there while it is looked into; of states of whole prompts while they are read. */
  readonly bytes: number;
  readonly randomWeightBytes: number;
  readonly wholeBytes: number;
}

/** Of asking: our own pass keeps what it computes; llama.cpp evaluates once more, a row at a time. */
const CAPTURING = { own: 1.3, other: 2 } as const;
/** Of one logit, on its way to a sum: measured, in nanoseconds. */
const LOGIT_NS = 25;
/** Products and sums of this language's own arithmetic, per second. */
const OWN_ARITHMETIC = 6e8;
/** Of a cell of a prompt that is read at every token: its numbers for a value or two, and the likeliest token's text: 44 to 54 in studies. */
const CELL_BYTES = 60;
/** Divergences on held-out strings take the map's logits and the plain lens's, each beside the model's own. */
const DIVERGENCE_ROWS = 4;
const TUNED = { folds: 4, ridges: 4, mostRows: 1000 } as const;

/**
 * @param fits probes that are fitted
 * @param measure whether one may be fitted to time it
 */
export function probeCost(
  plan: Plan,
  states: readonly MaybeProbedEstimate[],
  fits: number,
  models: readonly ModelEstimate[],
  measure: boolean,
): ProbeCost {
  const timed = states.map((one) => ({ ...one, time: capturingTime(plan, one, models) }));
  const known = states.flatMap((one) => (one.ok ? [one] : []));
  const lens = lensCost(plan, known, models);
  const fitting = fittingTime(known, fits, measure);
  const bytes = known.reduce((sum, one) => sum + one.bytes, 0);
  const randomWeightBytes = Math.max(0, ...known.map(({ fileBytes = 0 }) => fileBytes));
  const wholeBytes = known.reduce((sum, { whole }) => sum + (whole?.bytes ?? 0), 0);
  return {
    states: timed,
    ...(lens ? { lens } : {}),
    fits: { count: fits, time: fitting },
    time: sumOfTimes([...timed.map(({ time }) => time), ...(lens ? [lens.time] : []), fitting]),
    bytes,
    randomWeightBytes,
    wholeBytes,
  };
}

function rateOf(model: string, models: readonly ModelEstimate[]) {
  return models.find((one) => one.model === model)?.rates.hypothetical ?? { ok: false, reason: "nothing was measured" };
}

function capturingTime(plan: Plan, one: MaybeProbedEstimate, models: readonly ModelEstimate[]): TimeEstimate {
  if (!one.ok) return one;
  const rated = rateOf(one.model, models);
  if (!rated.ok) return rated;
  const factor = plan.engine.forward === "own" ? CAPTURING.own : CAPTURING.other;
  return { ok: true, seconds: (factor * one.promptTokens) / rated.rate.readTokensPerSecond, basis: "scaled" };
}

function lensCost(plan: Plan, states: readonly ProbedEstimate[], models: readonly ModelEstimate[]): ProbeCost["lens"] {
  const { lenses = [] } = plan.probe as PlannedProbe;
  if (lenses.length === 0) return undefined;
  let [rows, maps, seconds, prompts, cells] = [0, 0, 0, 0, 0];
  let unknown: TimeEstimate | undefined;
  for (const one of states) {
    if (one.fileBytes !== undefined) continue;
    const { model, residuals: sites, heldOutRows, trainRows, width, vocabulary } = one;
    const tokens = one.whole?.tokens ?? 0;
    const ofFiles = lenses.filter((lens) => typeof lens !== "string" && lens.model === model).length;
    const hasTuned = lenses.includes("tuned") ? 1 : 0;
    const whole = (lenses.includes("logit") ? sites * tokens : 0) + (hasTuned + ofFiles) * (sites - 1) * tokens;
    const plain = (lenses.includes("logit") ? sites * heldOutRows : 0) + whole;
    const read = ofFiles * (sites - 1) * heldOutRows;
    const mapped = hasTuned * (sites - 1) * heldOutRows + read;
    rows += plain + mapped;
    prompts += one.whole?.prompts ?? 0;
    cells += whole;
    if (lenses.includes("tuned")) maps += sites - 1;
    const rated = rateOf(model, models);
    const weights = models.find((known) => known.model === model)?.layerParameters;
    if (!rated.ok || weights === undefined) {
      unknown = rated.ok ? { ok: false, reason: `the shape of ${model} is not known` } : rated;
      continue;
    }
    const operations = (2 * weights * rated.rate.readTokensPerSecond) / plan.engine.threads;
    const each = (2 * vocabulary * width) / operations + 1e-9 * LOGIT_NS * vocabulary;
    seconds += each * (plain + (1 + DIVERGENCE_ROWS) * mapped);
    seconds += (CAPTURING.other * tokens) / rated.rate.readTokensPerSecond;
    // A map of a file is applied for the readings, and again beside the model's end.
    seconds += (2 * read * width ** 2) / OWN_ARITHMETIC;
    if (lenses.includes("tuned"))
      seconds += ((sites - 1) * mapOperations(Math.min(trainRows, TUNED.mostRows), width)) / OWN_ARITHMETIC;
  }
  const time = unknown ?? ({ ok: true, seconds, basis: "scaled" } as const);
  return { rows, maps, time, wholePrompts: prompts, readingBytes: CELL_BYTES * cells };
}

/** Of finding one map: a basis of the rows, their products, and a system for each ridge, in each fold and on all. */
function mapOperations(rows: number, width: number): number {
  const size = Math.min(rows, width);
  const basis = 2 * rows * size * width;
  const products = rows * size * (size + width);
  const solving = size ** 3 / 6 + size ** 2 * width;
  return (TUNED.folds + 1) * (basis + products) + (TUNED.folds * TUNED.ridges + 1) * solving;
}

/** As long as a made-up one of the same size and eight labels. */
function fittingTime(states: readonly ProbedEstimate[], fits: number, measure: boolean): TimeEstimate {
  if (!measure) return { ok: false, reason: "nothing was measured (--no-measure)" };
  const [largest] = states.toSorted((a, b) => b.trainStrings - a.trainStrings);
  if (!largest || fits === 0) return { ok: true, seconds: 0, basis: "scaled" };
  const { trainStrings, heldOutStrings, width } = largest;
  const random = seededRandom("a probe to be timed");
  const strings = trainStrings + heldOutStrings;
  const values = Float32Array.from({ length: strings * width }, () => random.next() / 2 ** 31);
  const examples = Array.from({ length: strings }, (_, at): ProbeExample => {
    return { string: String(at), split: at < trainStrings ? "train" : "held_out", label: String(at % 8) };
  });
  const begun = performance.now();
  scoreProbe({ values, width }, examples, { ...PROBE_SETTINGS, cs: PENALTIES });
  return { ok: true, seconds: (fits * (performance.now() - begun)) / 1000, basis: "scaled" };
}
