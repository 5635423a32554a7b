/** What a run leaves on the disk, in the run folder and in the model folder. */

import type { LocatedModel } from "../../model/locate-model.js";
import { ALTERNATIVE_BYTES } from "../../study/engine-schema.js";
import type { Plan } from "../../study/plan.js";
import { statesOf } from "../../study/states.js";
import type { DiskEstimate, StageEstimate, TrainingEstimate } from "./estimate.js";
import type { RatedModel } from "./rates.js";

const FLOAT = 4;
/** A line of answers beside its tokens: the question's names, hashes and the text. */
const LINE_BYTES = 600;
/** Of each position whose likely tokens are stored: its token's text, the log-sum-exp and the names of the lists. */
const POSITION_BYTES = 95;
/** Id, logprob and margin of a generated token. */
const TOKEN_BYTES = 45;
/** A sum of logprobs of an option. */
const SUM_BYTES = 20;
/** A measured distribution: about ten values with their masses. */
const DISTRIBUTION_BYTES = 1000;

export function diskNeed(
  plan: Plan,
  located: Readonly<Record<string, LocatedModel>>,
  stages: readonly StageEstimate[],
  rates: Readonly<Record<string, RatedModel>>,
  training: readonly TrainingEstimate[],
): DiskEstimate {
  const parameters = training.map((one) => one.parameters ?? 0);
  const models = Object.values(located);
  // Two states of a study may come from one file.
  const downloads = new Map(models.map(({ source, toDownload = 0 }) => [source, toDownload]));
  const alternatives = Math.round(stages.reduce((sum, stage) => sum + alternativeBytesOf(plan, stage, rates), 0));
  return {
    answers: Math.round(stages.reduce((sum, stage) => sum + bytesOf(plan, stage, rates), 0)),
    ...(alternatives > 0 ? { alternatives } : {}),
    adapters: parameters.reduce((sum, count) => sum + count * FLOAT, 0),
    // Parameters and two moments.
    checkpoint: Math.max(0, ...parameters) * 3 * FLOAT,
    modelsToDownload: [...downloads.values()].reduce((sum, bytes) => sum + bytes, 0),
    modelsToWrite: models.reduce((sum, { toWrite }) => sum + toWrite, 0),
    unknown: Object.entries(located).flatMap(([name, { missing, weights }]) =>
      weights ? [] : [`${name}: ${missing ?? "its header lacks a size"}, and how large it is is not known`],
    ),
  };
}

function bytesOf(plan: Plan, stage: StageEstimate, rates: Readonly<Record<string, RatedModel>>): number {
  if (stage.stage === "noise_floor" || stage.stage === "options_noise_floor") return 0;
  if (stage.stage === "distributions") return stage.questions * DISTRIBUTION_BYTES;
  if (stage.continuations !== undefined) return stage.continuations * SUM_BYTES;
  const own = ratedFor(plan, stage, rates);
  if (own?.ok) return stage.questions * own.rate.bytesPerAnswer;
  const line = LINE_BYTES + plan.engine.topTokens * ALTERNATIVE_BYTES;
  const tokens = stage.generatedTokensAtMost * TOKEN_BYTES;
  return stage.questions * line + tokens + alternativeBytesOf(plan, stage, rates);
}

/** Of what bytesOf says, the likely tokens of every position. */
function alternativeBytesOf(plan: Plan, stage: StageEstimate, rates: Readonly<Record<string, RatedModel>>): number {
  const { alternatives } = plan.engine;
  if (alternatives === undefined || stage.generatedTokensAtMost === 0) return 0;
  if (stage.stage === "noise_floor" || stage.stage === "distributions" || stage.continuations !== undefined) return 0;
  const own = ratedFor(plan, stage, rates);
  if (own?.ok) return stage.questions * (own.rate.alternativeBytesPerAnswer ?? 0);
  return stage.generatedTokensAtMost * (POSITION_BYTES + alternatives * ALTERNATIVE_BYTES);
}

function ratedFor(plan: Plan, { stage, state }: StageEstimate, rates: Readonly<Record<string, RatedModel>>) {
  const rated = rates[statesOf(plan).of(state).model];
  return stage === "hypothetical" ? rated?.hypothetical : rated?.objectLevel;
}
