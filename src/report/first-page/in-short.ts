/** The first sentences of a verdict; all of them stand in the section that it comes from. */
const MOST_SENTENCES = 3;

/** A sentence ends where a full stop is followed by a capital: numbers and names of models have stops of their own. */
export function inShort(verdict: string): string {
  const sentences = verdict.split(/(?<=\.) (?=[A-Z])/);
  if (sentences.length <= MOST_SENTENCES) return verdict;
  return `${sentences.slice(0, MOST_SENTENCES).join(" ")} (${sentences.length - MOST_SENTENCES} more sentences below.)`;
}
