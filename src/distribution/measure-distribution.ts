/** The distribution of a property for one question: exactly where the tree can be expanded, else by samples that say why. */
import { InwardError } from "../errors.js";
import type { LanguageModel } from "../model/language-model.js";
import type { TextDecider } from "../properties/text-decider.js";
import type { ChatMessage } from "../records/answer.js";
import type { Distribution } from "../records/distribution.js";
import { type ExpansionOptions, expandDistribution } from "./expand-distribution.js";
import { modelSource } from "./model-source.js";
import { sampleDistribution } from "./sample-distribution.js";

export interface DistributionQuestion {
  readonly messages: readonly ChatMessage[];
  readonly decider: TextDecider;
  /** The property is decided so late that samples are drawn at once. */
  readonly decidedLate: boolean;
}

export interface DistributionOptions extends ExpansionOptions {
  /** Above this tail, samples are drawn instead. Default 0.05. */
  readonly mostTail?: number;
  /** Default 200. */
  readonly samples?: number;
  readonly seed: string;
}

const DEFAULTS = { mostTail: 0.05, samples: 200 };

/** @throws what asking throws, INTERRUPTED */
export async function measureDistribution(
  model: Pick<LanguageModel, "ask" | "render" | "facts" | "nextTokens">,
  { messages, decider, decidedLate }: DistributionQuestion,
  options: DistributionOptions,
): Promise<Distribution> {
  const { mostTail, ...sampling } = { ...DEFAULTS, ...options };
  const sample = (because: "long_answer" | "tail" | "engine") =>
    sampleDistribution(model, messages, decider, because, sampling);
  if (decidedLate) return await sample("long_answer");
  const { vocabularySize, cleansSpaces } = model.facts;
  const facts = { vocabularySize, cleansSpaces, promptTokens: (await model.render(messages)).tokenIds.length };
  try {
    const expanded = await expandDistribution(modelSource(model, messages, facts), decider, options);
    if (expanded.tail <= mostTail) return expanded;
    return { ...(await sample("tail")), evaluatedTokens: expanded.evaluatedTokens };
  } catch (error) {
    if (error instanceof InwardError && error.code === "ENGINE_UNAVAILABLE") return await sample("engine");
    throw error;
  }
}
