/** Lenses in a process of their own, whose products the addon makes: a vocabulary times thousands of states. */

import { builtScript, WorkerProcess } from "../model/worker-process.js";
import type { LensReading, LensTarget } from "./lens-readings.js";
import type { AffineMap, LensRow, TunedLayer, TunedLensSettings } from "./lens-tuned.js";
import type { RowMatrix } from "./linear-probe.js";

/** A lens that was found in the process stays there, under a name. */
export type TunedSummary = Omit<TunedLayer, "lens"> & { readonly ridge: number | undefined };

export interface LensMethods {
  /** @throws MODEL_* · PROBE_INVALID an architecture whose end is not known here · TRAIN_ADDON */
  open(modelPath: string): Promise<{ readonly width: number; readonly vocabulary: number }>;
  /** @param through a lens that is kept; the logit lens where absent @returns [rows] */
  read(states: RowMatrix, targets: readonly LensTarget[], through?: string): Promise<LensReading[]>;
  /** Finds a tuned lens and keeps it. @throws as tuneLens */
  tune(
    name: string,
    states: RowMatrix,
    ends: RowMatrix,
    about: readonly LensRow[],
    settings: TunedLensSettings,
  ): Promise<TunedSummary>;
  /** Keeps a map of a file. */
  take(name: string, map: AffineMap): void;
  /** [rows] nats from what the model says to what a lens says. @param through as read has it */
  divergences(ends: RowMatrix, states: RowMatrix, through?: string): Promise<Float64Array>;
  /** Forgets lenses that are kept. */
  forget(): void;
}

export type LensProcess = WorkerProcess<LensMethods>;

/** End it when it has done its work. */
export function startLensProcess(): LensProcess {
  return new WorkerProcess<LensMethods>({
    script: builtScript("./lens-worker.js", import.meta.url),
    owner: "lens",
    crashCode: "ENGINE_CRASHED",
    // A block of products is not cut short.
    stopSeconds: 0,
  });
}
