/** The addon's trainer in a worker process: the same methods, asynchronous. An abort in native code becomes TRAIN_CRASHED. */
import type {
  NativeAdamW,
  NativeDescription,
  NativeMicrobatch,
  NativeState,
  NativeTrainerOptions,
} from "../../native/index.js";
import { builtScript } from "../model/built-script.js";
import { WorkerProcess } from "../model/worker-process.js";
import type { TrainerCall, TrainerResults } from "./trainer-protocol.js";

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
