/** The addon's trainer in a worker process: the same methods, asynchronous. An abort in native code becomes TRAIN_CRASHED. */

import type {
  NativeAdamW,
  NativeDescription,
  NativeMicrobatch,
  NativeState,
  NativeTrainerOptions,
  Trainer,
} from "../../native/index.js";
import { builtScript, WorkerProcess } from "../model/worker-process.js";

/** Every method throws what the addon throws (TRAIN_*, MODEL_*), or TRAIN_CRASHED with the worker's last words. */
export class NativeTrainer {
  private constructor(
    private readonly worker: WorkerProcess<TrainerCall, TrainerResults>,
    readonly description: NativeDescription,
  ) {}

  /** @throws TRAIN_ADDON, TRAIN_MODEL, TRAIN_DEVICE, TRAIN_MEMORY, MODEL_* */
  static async open(options: NativeTrainerOptions): Promise<NativeTrainer> {
    const worker = new WorkerProcess<TrainerCall, TrainerResults>({
      script: builtScript("./trainer-worker.js", import.meta.url),
      owner: "trainer",
      crashCode: "TRAIN_CRASHED",
      // ggml's threads call the BLAS each for itself: a second pool under each would fight them for the cores.
      env: { OPENBLAS_NUM_THREADS: "1" },
    });
    try {
      return new NativeTrainer(worker, await worker.call({ call: "open", options }));
    } catch (error) {
      await worker.end();
      throw error;
    }
  }

  /** Adds a microbatch's gradient to the sum. @returns Σ weight · nll, nats */
  accumulate(microbatch: NativeMicrobatch, dropoutSeed: number): Promise<number> {
    return this.worker.call({ call: "accumulate", microbatch, dropoutSeed });
  }

  /** Forward only. Per loss row: the target's logprob, nats, and whether it is the most likely token. */
  evaluate(microbatch: NativeMicrobatch): Promise<TrainerResults["evaluate"]> {
    return this.worker.call({ call: "evaluate", microbatch });
  }

  /** @returns raw logits at the loss rows, [rows × vocabulary] */
  logits(microbatch: NativeMicrobatch): Promise<Float32Array> {
    return this.worker.call({ call: "logits", microbatch });
  }

  /** One AdamW update; the summed gradients are zero after it. @returns the scaled gradient's global L2 norm before clipping */
  update(adamw: NativeAdamW): Promise<number> {
    return this.worker.call({ call: "update", adamw });
  }

  /** @returns the summed gradients as they stand, [parameters] */
  gradients(): Promise<Float32Array> {
    return this.worker.call({ call: "gradients" });
  }

  async zeroGradients(): Promise<void> {
    await this.worker.call({ call: "zeroGradients" });
  }

  state(): Promise<NativeState> {
    return this.worker.call({ call: "state" });
  }

  /** @throws TRAIN_SHAPE when lengths differ from the description's */
  async setState(state: NativeState): Promise<void> {
    await this.worker.call({ call: "setState", state });
  }

  /** @returns milliseconds by kind of operation over one accumulate of this microbatch, whose gradient is discarded */
  profile(microbatch: NativeMicrobatch): Promise<TrainerResults["profile"]> {
    return this.worker.call({ call: "profile", microbatch });
  }

  /** Frees the device's memory and ends the process. */
  async dispose(): Promise<void> {
    // A worker that is gone already has nothing left to free.
    await this.worker.call({ call: "dispose" }).catch(() => {});
    await this.worker.end();
  }
}

// The calls between a training run and the worker process that holds its trainer: the addon's own methods, and `open`.

export type TrainerCall =
  | { readonly call: "open"; readonly options: NativeTrainerOptions }
  | { readonly call: "accumulate"; readonly microbatch: NativeMicrobatch; readonly dropoutSeed: number }
  | { readonly call: "evaluate"; readonly microbatch: NativeMicrobatch }
  | { readonly call: "logits"; readonly microbatch: NativeMicrobatch }
  | { readonly call: "update"; readonly adamw: NativeAdamW }
  | { readonly call: "gradients" }
  | { readonly call: "zeroGradients" }
  | { readonly call: "state" }
  | { readonly call: "setState"; readonly state: NativeState }
  | { readonly call: "profile"; readonly microbatch: NativeMicrobatch }
  | { readonly call: "dispose" };

export interface TrainerResults {
  readonly open: NativeDescription;
  readonly accumulate: number;
  readonly evaluate: ReturnType<Trainer["evaluate"]>;
  readonly logits: Float32Array;
  readonly update: number;
  readonly gradients: Float32Array;
  readonly zeroGradients: null;
  readonly state: NativeState;
  readonly setState: null;
  readonly profile: ReturnType<Trainer["profile"]>;
  readonly dispose: null;
}
