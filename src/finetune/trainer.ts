/** The addon's trainer in a worker process: the same methods, asynchronous. An abort in native code becomes TRAIN_CRASHED. */

import type { NativeDescription, NativeTrainerOptions, Trainer } from "../../native/index.js";
import { arithmeticEnvironment } from "../model/arithmetic.js";
import { builtScript, type Remote, WorkerProcess } from "../model/worker-process.js";

/** What the trainer's process serves: the addon's own methods, and `open`. */
export interface TrainerMethods extends Omit<Trainer, "describe"> {
  open(options: NativeTrainerOptions): Promise<NativeDescription>;
}

/** Every method throws what the addon throws (TRAIN_*, MODEL_*), or TRAIN_CRASHED with the worker's last words. */
export interface NativeTrainer extends Remote<Omit<Trainer, "describe" | "dispose">> {
  readonly description: NativeDescription;
  /** Frees the device's memory and ends the process. */
  dispose(): Promise<void>;
}

/** @throws TRAIN_ADDON, TRAIN_MODEL, TRAIN_DEVICE, TRAIN_MEMORY, MODEL_* */
export async function openNativeTrainer(options: NativeTrainerOptions): Promise<NativeTrainer> {
  const worker = new WorkerProcess<TrainerMethods>({
    script: builtScript("./trainer-worker.js", import.meta.url),
    owner: "trainer",
    crashCode: "TRAIN_CRASHED",
    // ggml's threads call the BLAS each for itself: a second pool under each would fight them for the cores.
    env: { OPENBLAS_NUM_THREADS: "1", ...arithmeticEnvironment(options.exact === true) },
  });
  const { accumulate, evaluate, logits, update, gradients, zeroGradients, state, setState, profile } = worker.remote;
  try {
    return {
      description: await worker.remote.open(options),
      accumulate,
      evaluate,
      logits,
      update,
      gradients,
      zeroGradients,
      state,
      setState,
      profile,
      async dispose() {
        // A worker that is gone already has nothing left to free.
        await worker.remote.dispose().catch(() => {});
        await worker.end();
      },
    };
  } catch (error) {
    await worker.end();
    throw error;
  }
}
