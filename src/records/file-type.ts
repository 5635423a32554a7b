/** What a whole model file can be re-encoded as, by llama.cpp's name in lower case. */
export const FILE_TYPE_NAMES = [
  "f32",
  "f16",
  "bf16",
  "q8_0",
  "q6_k",
  "q5_k_m",
  "q5_1",
  "q5_0",
  "q4_k_m",
  "q4_1",
  "q4_0",
  "q3_k_m",
  "q2_k",
] as const;

export type FileTypeName = (typeof FILE_TYPE_NAMES)[number];
