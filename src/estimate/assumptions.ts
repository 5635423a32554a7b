/** What an estimate's numbers rest on, in words. */
import type { Plan } from "../records/plan.js";
import type { ModelEstimate, TrainingEstimate } from "./plan-estimate.js";
import { LETTERS_PER_TOKEN, TEMPLATE_TOKENS_PER_MESSAGE } from "./token-counter.js";
import { ANSWER_TOKENS } from "./training-size.js";

export function assumptionsOf(
  { engine, calibration }: Plan,
  models: readonly ModelEstimate[],
  training: readonly TrainingEstimate[],
): string[] {
  const guessed = models.filter(({ tokens }) => tokens === "estimate").map(({ model }) => model);
  const scaled = models.some(({ rates }) => rates.hypothetical.ok && rates.hypothetical.rate.basis === "scaled");
  const measured = models.some(({ rates }) => rates.hypothetical.ok);
  const trainingScaled = training.some(({ time }) => time.ok && time.basis === "scaled");
  return [
    guessed.length > 0
      ? `Tokens of ${guessed.join(", ")} are estimates from the text: a token for every word, and for every ${LETTERS_PER_TOKEN} letters of a long one, three digits or run of marks, and ${TEMPLATE_TOKENS_PER_MESSAGE} a message for the chat template, whose own header (a date, in Llama 3.1) is not counted. On built-in tasks that was within a sixth of what SmolLM2's own tokenizer gives.`
      : "Prompt tokens are exact, by each model's own tokenizer.",
    engine.engine === "native" && !engine.strict
      ? "Distinct tokens count a shared beginning once per group, as the native engine evaluates it."
      : "Nothing is taken to be shared between prompts: an upper bound for this engine.",
    ...(measured
      ? ["Times are for this machine as busy as it was when it was measured; an adapter makes asking a little slower."]
      : []),
    ...(scaled
      ? [
          "Scaled rates assume time in proportion to the weights of the layers, on this machine: encodings, caches and memory that does not suffice are left out.",
        ]
      : []),
    ...(training.length > 0
      ? [
          `Examples are an upper bound: every train string has a behavior. An answer is taken to have ${ANSWER_TOKENS - 1} tokens and its end.`,
          "Activations of training are rough; the trainer plans them exactly before it begins.",
        ]
      : []),
    ...(trainingScaled
      ? [
          "Training is scaled from reading prompts: 4 operations a weight and token (6 with activation checkpointing) instead of 2.",
        ]
      : []),
    ...(calibration
      ? ["Distributions are an upper bound: each spends its whole token budget and all its samples."]
      : []),
  ];
}
