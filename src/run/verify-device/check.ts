/** What verify device says of one thing: a row of its table. */

import { InwardError } from "../../errors.js";
import type { GgufSummary } from "../../gguf/inspect-gguf.js";
import type { ResolvedDevice } from "../../model/device.js";
import type { StudyEngine } from "../../study/study.js";
import type { FoundModel, OnWorkProgress } from "../open-model.js";

export interface DeviceCheck {
  readonly check: string;
  /** What is held against the tolerance; absent where there is nothing to measure, or no number came out, which `found` says. */
  readonly value?: number;
  readonly tolerance?: number;
  readonly found: string;
  /** `note`: nothing is proven by it, and nothing is wrong. */
  readonly verdict: "ok" | "note" | "mismatch";
}

export function held(check: string, value: number, tolerance: number, unit = "relative"): DeviceCheck {
  // NaN is within no tolerance, and JSON has no word for it.
  if (!Number.isFinite(value))
    return { check, tolerance, found: `no number (${value}), allowed ${tolerance}`, verdict: "mismatch" };
  const verdict = value <= tolerance ? "ok" : "mismatch";
  return { check, value, tolerance, found: `${value.toPrecision(2)} ${unit}, allowed ${tolerance}`, verdict };
}

export function holds(check: string, is: boolean, found: string): DeviceCheck {
  return { check, found, verdict: is ? "ok" : "mismatch" };
}

export function noted(check: string, found: string): DeviceCheck {
  return { check, found, verdict: "note" };
}

/**
 * Adds one part's rows to what was found. A process that dies on the device is a row too, and what other parts found stays.
 * @throws what `work` throws, but for a crash that nobody asked for
 */
export async function rowsOfPart(
  { signal, checks }: Pick<Verified, "signal" | "checks">,
  what: string,
  work: () => Promise<readonly DeviceCheck[]>,
): Promise<void> {
  try {
    checks.push(...(await work()));
  } catch (error) {
    if (signal?.aborted || !(error instanceof InwardError) || !error.code.endsWith("_CRASHED")) throw error;
    checks.push({ check: `${what}: its process`, found: error.message.replace(/\s+/g, " "), verdict: "mismatch" });
  }
}

/** `exact`: engine.exact. */
export type ArithmeticMode = "exact" | "usual";
export const MODES: readonly ArithmeticMode[] = ["exact", "usual"];

/**
 * By what products round: single precision; TensorFloat-32 or half precision; activations in 8 bits. Relative, of logits and gradients,
 * and of the losses of twenty steps; nats, of asked logprobs; relative, of a slope of the loss.
 */
const TOLERANCES = {
  single: { numbers: 1e-4, steps: 2e-3, asked: 1e-3, slope: 2e-2 },
  rounded: { numbers: 1e-2, steps: 1e-2, asked: 2e-2, slope: 2e-2 },
  quantized: { numbers: 8e-2, steps: 3e-2, asked: 0.3, slope: 8e-2 },
} as const;
export type Tolerance = (typeof TOLERANCES)[keyof typeof TOLERANCES];

type Weights = Pick<GgufSummary, "quantized" | "single">;

/** Of training, which turns weights into floats where it is exact. */
export function trainingTolerance(
  device: ResolvedDevice["name"],
  mode: ArithmeticMode,
  { quantized, single }: Weights,
): Tolerance {
  if (mode === "exact" || (device === "cpu" && single)) return TOLERANCES.single;
  return quantized ? TOLERANCES.quantized : TOLERANCES.rounded;
}

/** Of asking, beside llama.cpp's on the processor, which rounds activations as the weights are encoded. */
export function askingTolerance(
  device: ResolvedDevice["name"],
  mode: ArithmeticMode,
  { quantized, single }: Weights,
): Tolerance {
  if (single && (mode === "exact" || device === "cpu")) return TOLERANCES.single;
  return quantized ? TOLERANCES.quantized : TOLERANCES.rounded;
}

/** What every part of the verification is given. */
export interface Verified {
  readonly found: FoundModel;
  readonly device: ResolvedDevice;
  readonly summary: GgufSummary;
  readonly settings: Pick<StudyEngine, "device" | "split" | "threads">;
  /** What was found so far. */
  readonly checks: DeviceCheck[];
  readonly onProgress?: OnWorkProgress;
  readonly signal?: AbortSignal;
}

/** Says what comes next. @throws INTERRUPTED */
export function tellStage({ onProgress, signal }: Pick<Verified, "onProgress" | "signal">, stage: string): void {
  if (signal?.aborted) throw new InwardError("INTERRUPTED", "The verification was interrupted.");
  onProgress?.({ stage, done: 0, unit: "questions" });
}
