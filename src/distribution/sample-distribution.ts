/** The distribution of a property by seeded samples at temperature 1: for what is decided too late to expand. */
import type { LanguageModel } from "../model/language-model.js";
import type { TextDecider } from "../properties/text-decider.js";
import type { ChatMessage } from "../records/answer.js";
import type { SampledDistribution } from "../records/distribution.js";
import { ValueMasses } from "./value-masses.js";

export interface SamplingOptions {
  readonly maxTokens: number;
  /** Answers to draw, at least 1. */
  readonly samples: number;
  /** What the draws are a function of, with the sample's number. */
  readonly seed: string;
  readonly signal?: AbortSignal;
}

/** @throws what asking throws */
export async function sampleDistribution(
  model: Pick<LanguageModel, "ask">,
  messages: readonly ChatMessage[],
  decider: TextDecider,
  because: SampledDistribution["because"],
  { maxTokens, samples, seed, signal }: SamplingOptions,
): Promise<SampledDistribution> {
  const requests = Array.from({ length: samples }, (_, sample) => ({
    messages,
    maxTokens,
    temperature: 1 as const,
    seed: `${seed}/${sample}`,
    topTokens: 1,
    shares: seed,
  }));
  const masses = new ValueMasses();
  for (const { text, stop } of await model.ask(requests, signal ? { signal } : {})) {
    masses.add(decider.atEnd(text, stop), 1);
  }
  const values = masses.values(samples).map(({ value, probability }) => ({
    value,
    probability,
    standardError: Math.sqrt((probability * (1 - probability)) / samples),
  }));
  return { method: "samples", because, values, notCompliant: masses.notCompliant(samples), samples };
}
