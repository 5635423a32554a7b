/**
 * The tensor type that most of a file of each type has. Vectors and norms stay F32; in the mixtures (`_k_m`, `q3_k_m`, `q2_k`) some
 * matrices are finer, and so is an output or tied embedding of every quantized file.
 */
import type { FileTypeName } from "../../records/file-type.js";
import type { GgmlTypeName } from "./tensor-types.js";

export type { FileTypeName } from "../../records/file-type.js";

export const FILE_TYPES = {
  f32: "F32",
  f16: "F16",
  bf16: "BF16",
  q8_0: "Q8_0",
  q6_k: "Q6_K",
  q5_k_m: "Q5_K",
  q5_1: "Q5_1",
  q5_0: "Q5_0",
  q4_k_m: "Q4_K",
  q4_1: "Q4_1",
  q4_0: "Q4_0",
  q3_k_m: "Q3_K",
  q2_k: "Q2_K",
} as const satisfies Record<FileTypeName, GgmlTypeName>;
