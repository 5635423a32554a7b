/**
 * Gradients as ggml's operations give them on a GPU's kernels, here on Mesa's software device: each architecture's own parts, in single
 * precision. A file of its own, because ggml reads what switches half precision off when it finds the device.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { packExamples } from "../../src/finetune/batches.js";
import type { EncodedExample } from "../../src/model/language-model.js";
import { compareGradients } from "../helpers/compare-gradients.js";
import { binariesFolder, openTrainer } from "../helpers/native-trainer.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

// A software device is passed over unless it is named.
Object.assign(process.env, { GGML_VK_VISIBLE_DEVICES: "0", GGML_VK_DISABLE_F16: "1" });

/** Single precision in sums of another order: 3e-6 was seen. */
const TOLERANCE = 2e-5;

const folder = mkdtempSync(join(tmpdir(), "inward-vulkan-"));
const COMMON = [5, 17, 33, 8, 60, 21, 9, 77, 14, 25, 36, 47];
/** Their answers stand beyond every window of a tiny model. */
const EXAMPLES: EncodedExample[] = [
  { tokenIds: [...COMMON, 40, 41, 2], answerStart: 13 },
  { tokenIds: [...COMMON, 40, 18, 64, 2], answerStart: 14 },
  { tokenIds: [5, 17, 33, 50, 51, 52, 2], answerStart: 5 },
];

test.each([
  ["gemma2, with caps"],
  ["gemma3, with norms of heads, two RoPEs and windows"],
  ["phi3, with fused matrices and RoPE in part"],
  ["olmo2, with norms of all heads"],
])("%s", async (name) => {
  const architecture = name.split(",")[0] as string;
  const { path } = await writeTinyModel(join(folder, `${architecture}.gguf`), { architecture, normSpread: 0.2 });
  const kernels = { forward: "ggml", backward: "ggml-f32" };
  const vulkan = await openVulkan(path);
  // No loader or no driver on this machine.
  if (vulkan === undefined) return;
  const packed = packExamples(EXAMPLES, { treePacking: true, microbatchTokens: 128 });
  const batches = packed.map(({ microbatch }) => microbatch);
  const { gradient, loss } = await compareGradients(path, EXAMPLES, batches, { ...vulkan, kernels });
  expect(gradient).toBeLessThan(TOLERANCE);
  expect(loss).toBeLessThan(TOLERANCE);
});

/** How a trainer is opened there; undefined where it cannot be. */
async function openVulkan(path: string) {
  try {
    const options = { device: "vulkan", binariesFolder: binariesFolder("vulkan") };
    const trainer = await openTrainer(path, options);
    const { fallbacks } = trainer.describe();
    trainer.dispose();
    expect(fallbacks).toEqual({});
    return options;
  } catch (error) {
    expect(error).toMatchObject({ code: expect.stringMatching(/^TRAIN_(DEVICE|ADDON)$/) });
    return undefined;
  }
}
