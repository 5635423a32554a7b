/** A model of a study: where it comes from, and what is made of it before it is asked. */
import { z } from "zod";
import { FILE_TYPE_NAMES } from "../records/file-type.js";
import type { StudyModel } from "../records/study.js";

export const modelSchema = z
  .strictObject({
    source: z.string().min(1).describe("Registry name, hf: URI, or path of a GGUF file."),
    encoding: z
      .enum(["as_shipped", ...FILE_TYPE_NAMES])
      .default("as_shipped")
      .describe(
        "Run the file itself, or a re-encoding of it: f32 and f16 do not care what stands in a batch together; the others need the addon.",
      ),
    roundedTo: z
      .enum(FILE_TYPE_NAMES)
      .exclude(["f32"])
      .optional()
      .describe(
        "With encoding: f32, the weights of a coarser quantization, computed in F32: another model without more batch noise. Needs the addon but for f16.",
      ),
    dropLayers: z
      .number()
      .gt(0)
      .lt(1)
      .optional()
      .describe(
        "Share of the layers taken out, side by side in the middle, never the first or the last: another network.",
      ),
  })
  .refine(({ encoding, roundedTo }) => roundedTo === undefined || encoding === "f32", {
    path: ["roundedTo"],
    message: "wants encoding: f32; for the quantization itself, say encoding: q4_0 alone",
  });

export function toStudyModel({ roundedTo, dropLayers, ...model }: z.infer<typeof modelSchema>): StudyModel {
  return {
    ...model,
    ...(roundedTo === undefined ? {} : { roundedTo }),
    ...(dropLayers === undefined ? {} : { dropLayers }),
  };
}
