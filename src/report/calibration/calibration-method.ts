/** How calibration was measured, and what it does not show, in words. */
import type { CalibrationScores } from "../../records/calibration-scores.js";
import type { Inline } from "../document.js";
import { formatCount } from "../format-number.js";

export function calibrationMethod({ klMixing, intervalMethod }: CalibrationScores): Inline[][] {
  return [
    [
      { strong: "Two distributions. " },
      "At temperature 1 the target's answer has a distribution over the values of a property, and so has the predictor's reply to the hypothetical question. They are found by expanding the tree of continuations, or, where that is out of reach, from samples.",
    ],
    [
      { strong: "Answers without a value. " },
      "The target's probabilities are divided by their sum, as if only answers with a value were counted. The predictor's are not: what it gives to replies that do not comply, or to continuations that were not looked into, it gives to no value, and this counts against it.",
    ],
    [
      { strong: "Points. " },
      "For each string the three likeliest values of the target (fewer where it shows fewer), each with its probability and the one that was predicted; 0 for a value that the predictor does not list.",
    ],
    [
      { strong: "MAD. " },
      "Ten bins with as many points each, cut at quantiles of the target's probability, equal edges merged: the mean over bins of the distance between mean probability and mean predicted probability.",
    ],
    [
      { strong: "Correlations. " },
      "Pearson and Spearman over the points; per string, Spearman over the values that the target shows, averaged over the strings where it is defined.",
    ],
    [
      { strong: "Brier. " },
      "The expected squared distance between the target's value and the predicted probabilities of all values, 0 to 2; 1 for a predictor that names no value. Beyond entropy: what is left after taking off the score of a predictor that knows the target's probabilities.",
    ],
    [
      { strong: "ECE. " },
      "For the likeliest predicted value, ten bins of equal width: the mean distance between how likely it was held to be and how likely it is. Replies without any value are left out.",
    ],
    [
      { strong: "Total variation and KL. " },
      `One minus what the two distributions share; and the divergence from the target's to the predictor's, which is mixed with ${Number((100 * klMixing).toFixed(6))} % of a uniform distribution over the values that the target shows, since it would else be infinite where a behavior is not predicted at all. “By the tails”: between which numbers the mean must lie, whatever the continuations that were not looked into hold (for KL: among the values seen).`,
    ],
    [
      { strong: "Constant predictor. " },
      "Knows nothing about the string: always the mean of the target's probabilities over the other strings of the task. Skill: one minus Brier divided by its Brier; 0 is no better than it, 1 is perfect.",
    ],
    [
      { strong: "Cost. " },
      "Tokens that were evaluated, prompts included, for expansions; the number of answers for samples.",
    ],
    [{ strong: "Intervals. " }, intervalMethod],
  ];
}

export function calibrationLimits({ rows, differences }: CalibrationScores): string[] {
  const pooled = rows.filter(({ property }) => property === undefined);
  const kinds = new Set(pooled.map(({ kind }) => kind));
  const sampled = pooled.reduce((sum, row) => sum + row.sampled.count, 0);
  const compared = pooled.reduce((sum, row) => sum + row.sampled.of, 0);
  const missing = (["self", "cross", "untrained"] as const).filter((kind) => !kinds.has(kind));
  return [
    ...missing.map((kind) => NOT_RUN[kind]),
    ...(kinds.has("self") && kinds.has("cross") && !differences.some(({ kind }) => kind === "self_minus_cross")
      ? ["Self- and cross-predictions are about different targets: they are not compared."]
      : []),
    ...(sampled > 0
      ? [
          `${formatCount(sampled)} of ${formatCount(compared)} comparisons rest on samples: their chance errors are part of MAD, Brier, KL and total variation, and the bounds by the tails do not cover them.`,
        ]
      : []),
    "Low MAD of the second and third behavior is partly because their probabilities are small: read it beside the constant predictor's.",
    "Pooled over properties, every comparison counts the same, so properties that many tasks share weigh more.",
    "Differences and properties stand side by side without a correction for their number.",
  ];
}

const NOT_RUN = {
  self: "No trained self-prediction was measured: what training does to calibration is not shown.",
  cross:
    "No cross-prediction was measured: whether another model would be as well calibrated about the same behavior is not shown.",
  untrained: "No untrained prediction was measured: how calibrated the model is without training is not shown.",
} as const;
