/** What each number of the section estimates and how it was made, in the words that the scores carry. */
import type { Comparisons } from "../../records/comparisons.js";
import type { Inline } from "../document.js";
import { formatCount, formatNats } from "../format-number.js";

export function comparisonMethod({ comparisons, noiseFloorNats }: Comparisons): Inline[][] {
  const [one] = comparisons;
  if (!one) return [["Nothing was compared."]];
  const [micro] = one.comparison.overall;
  const hierarchical = comparisons
    .map(({ comparison }) => comparison.overall[0].hierarchical)
    .find((estimate) => estimate.ok);
  return [
    ...comparisons.map(({ comparison }): Inline[] => [
      { strong: "What is estimated. " },
      `${capitalized(comparison.overall[0].estimand)}.`,
    ]),
    [{ strong: "Intervals. " }, micro.intervalMethod],
    ...(hierarchical?.ok ? [[{ strong: "Drawing tasks and seeds too. " }, hierarchical.intervalMethod]] : []),
    [
      { strong: "Sign-flip test. " },
      "Were self and cross equally good, each string's difference could as well have had the other sign. The p-value is the share of sign patterns with a difference at least as large, two-sided; all trials of a string turn together.",
    ],
    [
      { strong: "Several numbers side by side. " },
      `Micro and macro: ${micro.multiplicity}. Tasks: ${one.comparison.byTask[0]?.multiplicity ?? "none"}.`,
    ],
    [{ strong: "Verdict. " }, one.verdict.rule],
    [
      { strong: "Third parties. " },
      "The mode of the train strings; of the rules on the string the one that is right most often on these very trials, which favors it; and a classifier that learnt the target's train behaviors from the strings alone (words, their places, letters, length; multinomial logistic regression, penalty by cross-validation). Where they were run: the same model untrained, and adapters that learnt scrambled labels or the form of a reply alone.",
    ],
    [
      { strong: "Noise floor. " },
      `${formatNats(noiseFloorNats)} nats; ${formatCount(one.comparison.trials.paired)} trials are paired in the first comparison.`,
    ],
  ];
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
