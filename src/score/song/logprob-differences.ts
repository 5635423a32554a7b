/** The two numbers that Song et al. (2025, arXiv 2503.07513) compare: what a model finds more likely, and what it says when asked. */

/** One item's two sentences, each the sum of its tokens' natural logprobs, begin- and end-of-text tokens left out. */
export interface DirectLogprobs {
  readonly first: number;
  readonly second: number;
}

/** Natural logprobs of the answers "1" and "2" to a question that lists both sentences. */
export interface OptionLogprobs {
  readonly one: number;
  readonly two: number;
}

/** @returns ΔDirect, nats: above 0 where the model finds the first sentence more likely */
export function directDifference({ first, second }: DirectLogprobs): number {
  return first - second;
}

/**
 * @param inOrder the question that lists the first sentence as 1
 * @param swapped the question that lists it as 2
 * @returns ΔMeta, nats, for the first sentence; a liking for "1" or "2" as such falls out
 */
export function metaDifference(inOrder: OptionLogprobs, swapped: OptionLogprobs): number {
  return (inOrder.one - inOrder.two + (swapped.two - swapped.one)) / 2;
}
