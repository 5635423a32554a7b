/** The `calibration` section of a study. */
import { z } from "zod";
import type { StudyCalibration } from "../records/study.js";

const count = (most: number) => z.int().min(1).max(most);

export const calibrationSchema = z.strictObject({
  strings: count(100_000).default(50).describe("Most held-out strings of each task whose distributions are measured."),
  properties: z
    .array(z.string())
    .min(1)
    .optional()
    .describe("For every task that they apply to; what the study asks of the task when absent."),
  epsilon: z.number().gt(0).lt(1).default(0.001).describe("Expanding ends when at most this much probability is open."),
  tokenBudget: count(100_000_000).default(4096).describe("Tokens that may be evaluated for one distribution."),
  mostTail: z
    .number()
    .min(0)
    .lt(1)
    .default(0.05)
    .describe("Where more stays open than this, answers are drawn instead."),
  samples: count(1_000_000).default(200).describe("Answers drawn where expanding is out of reach."),
});

export function toStudyCalibration({ properties, ...rest }: z.infer<typeof calibrationSchema>): StudyCalibration {
  return { ...rest, ...(properties === undefined ? {} : { properties }) };
}
