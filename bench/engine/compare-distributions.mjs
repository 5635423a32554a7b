// Two distributions of one property, value by value; texts without a value count as one more outcome for each reason.

/** @returns outcome → probability */
export function outcomes({ values, notCompliant }) {
  return new Map([
    ...values.map(({ value, probability }) => [`value ${value}`, probability]),
    ...Object.entries(notCompliant).map(([reason, probability]) => [`no value: ${reason}`, probability]),
  ]);
}

/**
 * @param samples how many the distribution was made of; absent for an expansion
 * @returns mean over every outcome that either has; an expansion's probabilities are taken at their lower bound. `covered`: share of
 * outcomes whose true probability lies in the expansion's interval, as far as the truth's own is known.
 */
export function unlike(distribution, truth, samples) {
  const ours = outcomes(distribution);
  const theirs = outcomes(truth);
  const names = [...new Set([...ours.keys(), ...theirs.keys()])];
  const errors = names.map((name) => Math.abs((ours.get(name) ?? 0) - (theirs.get(name) ?? 0)));
  const shared = {
    meanAbsoluteError: mean(errors),
    greatestError: Math.max(...errors),
    totalVariation: sum(errors) / 2,
  };
  if (samples !== undefined) {
    // Of as many independent draws from the truth.
    const standardErrors = names.map((name) =>
      Math.sqrt(((theirs.get(name) ?? 0) * (1 - (theirs.get(name) ?? 0))) / samples),
    );
    return { ...shared, expectedStandardError: mean(standardErrors) };
  }
  const rounding = 1e-6;
  const covered = names.filter((name) => {
    const low = ours.get(name) ?? 0;
    const trueLow = theirs.get(name) ?? 0;
    return trueLow + truth.tail >= low - rounding && trueLow <= low + distribution.tail + rounding;
  });
  return { ...shared, covered: covered.length / names.length };
}

/** Tokens of an answer up to the one that decides the property, all of them when none does. */
export function tokensUntilDecided(tokenIds, settled, decider) {
  for (let count = 1; count < tokenIds.length; count++) {
    if (decider.decidedBy(settled(tokenIds.slice(0, count))) !== "open") return count;
  }
  return tokenIds.length;
}

export function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

export function mean(numbers) {
  return sum(numbers) / numbers.length;
}
