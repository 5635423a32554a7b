/** What each kind of device makes of products of floats, and what keeps it from rounding them: the one place that knows. */

import { InwardError } from "../errors.js";
import type { GgufSummary } from "../gguf/inspect-gguf.js";
import type { DeviceName } from "./device.js";

/**
 * Environment of every process that computes: llama.cpp's libraries read it when they start, each its own names.
 * @param exact whether products of floats are to stay floats
 */
export function arithmeticEnvironment(exact: boolean, env: NodeJS.ProcessEnv = process.env): Record<string, string> {
  // Products of half-precision weights would be summed in half precision, which ends at 65,504.
  const sums = { GGML_CUDA_CUBLAS_COMPUTE_TYPE: (!exact && env.GGML_CUDA_CUBLAS_COMPUTE_TYPE) || "f32" };
  if (!exact) return sums;
  return {
    ...sums,
    NVIDIA_TF32_OVERRIDE: "0",
    GGML_VK_DISABLE_F16: "1",
    GGML_VK_DISABLE_BFLOAT16: "1",
    GGML_VK_DISABLE_COOPMAT: "1",
    GGML_VK_DISABLE_COOPMAT2: "1",
    GGML_VK_DISABLE_DOT2: "1",
    GGML_VK_DISABLE_INTEGER_DOT_PRODUCT: "1",
  };
}

/** CUDA's kernels for 4 to 16 columns take TensorFloat-32, whatever the environment says; from here on cuBLAS computes. */
const EXACT_CUDA_ROWS = 17;
/** Metal's kernels for more columns round both operands to half precision. */
const EXACT_METAL_ROWS = 8;

export interface ExactRows {
  /** Columns that no product of an evaluation, or of a microbatch, may fall short of. */
  readonly least?: number;
  /** Columns that none may exceed. */
  readonly most?: number;
}

/** Which products a device computes exactly. */
export function exactRows(device: DeviceName): ExactRows {
  if (device === "cuda") return { least: EXACT_CUDA_ROWS };
  return device === "metal" ? { most: EXACT_METAL_ROWS } : {};
}

type Weights = Pick<GgufSummary, "quantized" | "single" | "encoding">;

/** @throws ENGINE_UNAVAILABLE where a study asks for exact products and no setting gives them, naming one that does */
export function requireExactAsking(device: DeviceName, forward: "llama.cpp" | "own", weights: Weights): void {
  if (forward === "own") return;
  const refuse = (why: string) => {
    const remedy = "ask on the CPU with engine.forward own, or re-encode the weights (encoding: f32)";
    throw new InwardError("ENGINE_UNAVAILABLE", `engine.exact: ${why}; ${remedy}`);
  };
  if (device === "cuda" && weights.quantized) {
    refuse(`CUDA's kernels for ${weights.encoding} weights round activations to 8 bits`);
  }
  if (device === "cpu" && !weights.single) {
    refuse(`llama.cpp's CPU kernels for ${weights.encoding} weights round activations`);
  }
}

/** @throws TRAIN_DEVICE */
export function requireExactTraining(device: DeviceName): void {
  if (device !== "metal") return;
  throw new InwardError(
    "TRAIN_DEVICE",
    "engine.exact: Metal's kernels for products of more than 8 columns round to half precision, and training has such products; " +
      "train on the CPU (--device cpu), or without exact",
  );
}

/**
 * Training multiplies the loss by it and divides the gradients by it again: where products round their operands to half precision,
 * gradients below 6e-8 would vanish. A power of two, so that nothing else changes by a bit; what it leaves below 65,504 is 64 a number.
 */
const HALF_LOSS_SCALE = 1024;

export function lossScale(device: DeviceName, exact: boolean): number {
  return !exact && (device === "metal" || device === "vulkan") ? HALF_LOSS_SCALE : 1;
}

const FLOAT_PRODUCTS: Readonly<Record<DeviceName, string>> = {
  cpu: "F32 weights: operands and sums in single precision",
  cuda:
    "F32 weights: operands in TensorFloat-32 (10 bits) above 3 rows on Ampere and later, sums in single precision; F16 weights: the " +
    "same, or both operands in half precision up to 16 rows; BF16 weights: likewise with bfloat16 up to 16 rows",
  vulkan:
    "F32 and F16 weights: both operands in half precision above 8 rows where the device has it, sums in single precision for F32 and in " +
    "half precision for F16 where the device has that",
  metal: "F32 and F16 weights: both operands in half precision above 8 rows, sums in single precision",
};

const EXACT_PRODUCTS: Readonly<Record<DeviceName, string>> = {
  cpu: "operands and sums in single precision",
  cuda: "operands and sums in single precision: TensorFloat-32 is off, no evaluation has fewer than 17 rows",
  vulkan: "operands and sums in single precision: half precision, cooperative matrices and integer products are off",
  metal: "operands and sums in single precision: no evaluation has more than 8 rows",
};

const QUANTIZED_PRODUCTS: Readonly<Record<DeviceName, string>> = {
  cpu: "activations rounded to 8 bits",
  cuda: "activations rounded to 8 bits",
  vulkan: "activations rounded to 8 bits where the device has integer products, else to half precision above 8 rows",
  metal: "weights and activations in half precision above 8 rows",
};

/**
 * For manifests and cards: which arithmetic products ran in, as read in the source of this release's kernels.
 * @param forward own: our own forward pass on the CPU
 */
export function askingArithmetic(
  device: DeviceName,
  exact: boolean,
  forward: "llama.cpp" | "own",
  { quantized, single, encoding }: Weights,
): string {
  if (forward === "own") return "the file's weights exactly; operands and sums in single precision";
  if (exact) return EXACT_PRODUCTS[device];
  if (quantized) return `${QUANTIZED_PRODUCTS[device]}; ${FLOAT_PRODUCTS[device]}`;
  if (device === "cpu" && !single) return `${encoding} weights: activations rounded alike, sums in single precision`;
  return FLOAT_PRODUCTS[device];
}

/** The same of a training. */
export function trainingArithmetic(device: DeviceName, exact: boolean): string {
  if (exact) return "weights as floats; operands and sums in single precision";
  if (device === "cpu") return "operands and sums in single precision; with ggml's kernels, what asking on the CPU has";
  return `${FLOAT_PRODUCTS[device]}; quantized weights: ${QUANTIZED_PRODUCTS[device]} in the forward pass, as floats in the backward pass`;
}
