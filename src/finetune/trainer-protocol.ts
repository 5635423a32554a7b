/** The calls between a training run and the worker process that holds its trainer: the addon's own methods, and `open`. */
import type {
  NativeAdamW,
  NativeDescription,
  NativeMicrobatch,
  NativeState,
  NativeTrainerOptions,
  Trainer,
} from "../../native/index.js";

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
