/** How the matrix was made and fitted, and what it does not show, in words. */
import type { MatrixScores } from "../../score/matrix/matrix-scores.js";
import type { Inline } from "../document.js";
import { formatCount } from "../format-number.js";
import { joinWords } from "../readable-name.js";

export function matrixMethod({ intervalMethod, selfMeans, similarityMeans, song }: MatrixScores): Inline[][] {
  return [
    [
      { strong: "Cells. " },
      "A reply to a hypothetical question does not depend on whom it is held against: every predictor's replies are scored against every target's behavior, each predictor asked once. Micro: every trial counts the same.",
    ],
    [
      { strong: "Fit. " },
      "accuracy(i, j) = skill of i + predictability of j + δ · likeness(i, j) + γ · [i = j], by least squares over the cells. γ is what a state knows of itself beyond what anybody of its skill would, about a target that easy, that like it.",
    ],
    [{ strong: "Itself. " }, `${selfMeans}.`],
    [{ strong: "Likeness. " }, `${similarityMeans}.`],
    [
      { strong: "Relations. " },
      "The same base weights under another adapter or none, being what the predictor's adapter learnt from, and having learnt from the same: each of two different states, beside likeness.",
    ],
    [
      { strong: "−log(1 − accuracy). " },
      "On this scale knowing and guessing add up. A self effect of plain accuracies may come from unequally skilled predictors and unequally easy targets; one that stands on both scales does not.",
    ],
    [
      { strong: "Own or other's. " },
      "Among the trials in which two states behave differently: the share in which a state's reply is its own behavior, minus the share in which it is the other's. Each pair is taken both ways, so that an answer which is common to all counts for either side alike.",
    ],
    [{ strong: "Intervals. " }, `${intervalMethod}.`],
    ...(song.ok
      ? [
          [
            { strong: "Logprob differences. " },
            "For every string two items of the task's other strings, drawn by seed and without any model's part. Direct: how much more likely a state begins its answer with the first than with the second (sums of logprobs over tokens, the end of the turn left out). Asked: the logprob of the reply 1 minus that of 2 to a question which lists both, averaged over the two orders. After Song, Hu and Mahowald (2025), in our own wordings.",
          ] as Inline[],
          [{ strong: "Their intervals. " }, `${song.intervalMethod}.`] as Inline[],
        ]
      : []),
  ];
}

/** With so few states likeness between different ones is fitted by skill and predictability alone. */
const FEW_STATES = 3;

export function matrixLimits({ states, cells, fits, song }: MatrixScores): string[] {
  const predictors = new Set(cells.map(({ predictor }) => predictor));
  const targets = new Set(cells.map(({ target }) => target));
  const models = new Set(states.map(({ model }) => model));
  const missing = cells.filter(({ accuracy, similarity }) => !accuracy.ok || !similarity.ok);
  const trainings = new Map<string, number>();
  for (const { model, learntFrom } of states) {
    if (learntFrom === undefined) continue;
    const key = JSON.stringify([model, learntFrom]);
    trainings.set(key, (trainings.get(key) ?? 0) + 1);
  }
  const oneSeed = trainings.size > 0 && [...trainings.values()].every((count) => count === 1);
  const unfitted = fits.filter(({ fit }) => !fit.ok);
  return [
    `${formatCount(predictors.size)} predictors, ${formatCount(targets.size)} targets, ${formatCount(models.size)} base ${models.size === 1 ? "model" : "models"}. Intervals say what other strings could have given; with other models γ may be another, and no interval here covers that.`,
    "A state that says what it would do itself is right about another as often as the two behave alike. So perfect self-knowledge gives δ = 1 and γ = 0 here, and r = d in logprobs: γ above 0 shows self-knowledge beyond likeness, γ near 0 does not refute it. Read δ, and what states say where they behave differently, beside it.",
    "Standard errors take the cells as independent. They share strings, predictors and targets: read the intervals.",
    "Likeness is measured on few strings and on the asked properties only. What chance takes off δ goes to γ, since a state is like itself without error; intervals do not cover this.",
    ...(Math.min(predictors.size, targets.size) <= FEW_STATES
      ? [
          `With ${FEW_STATES} states or fewer on a side, likeness and being the same state are hardly told from skills and predictabilities, or not at all: four or more are needed to read δ and γ apart.`,
        ]
      : []),
    ...(oneSeed ? ["Every adapter was trained once: how far cells vary between trainings is not measured."] : []),
    ...(missing.length > 0
      ? [
          `${formatCount(missing.length)} of ${formatCount(cells.length)} cells have no accuracy or no likeness and are left out of the fits: ${reasonsOf(missing)}.`,
        ]
      : []),
    ...(unfitted.length > 0
      ? [`${formatCount(unfitted.length)} of ${formatCount(fits.length)} fits have no solution; the table says why.`]
      : []),
    ...(song.ok
      ? [
          "Beginnings differ in length: a longer word is less likely to every state, which d takes into account and r does not.",
          ...(song.baseline === "other"
            ? []
            : ["All states share weights or are made from each other: self is not compared with unrelated models."]),
        ]
      : []),
    "Fits stand side by side without a correction for their number: the first of each group is the one that was meant beforehand.",
  ];
}

function reasonsOf(missing: MatrixScores["cells"]): string {
  const reasons = missing.flatMap(({ accuracy, similarity }) =>
    [accuracy, similarity].flatMap((one) => (one.ok ? [] : [one.reason])),
  );
  return joinWords([...new Set(reasons)]);
}
