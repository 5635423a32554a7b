/** What a run leaves on the disk, in the run folder and in the model folder. Pure. */
import type { LocatedModel } from "../model/locate-model.js";
import type { Plan } from "../records/plan.js";
import type { DiskEstimate, StageEstimate, TrainingEstimate } from "./plan-estimate.js";
import type { RatedModel } from "./rate-models.js";
import { modelOf } from "./size-stages.js";

const FLOAT = 4;
/** A line of answers beside its tokens: the question's names, hashes and the text. */
const LINE_BYTES = 600;
/** Id, text and logprob of a likely token at the first position. */
const TOP_TOKEN_BYTES = 40;
/** Id, logprob and margin of a generated token. */
const TOKEN_BYTES = 45;
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
  return {
    answers: Math.round(stages.reduce((sum, stage) => sum + bytesOf(plan, stage, rates), 0)),
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
  if (stage.stage === "noise_floor") return 0;
  if (stage.stage === "distributions") return stage.questions * DISTRIBUTION_BYTES;
  const rated = rates[modelOf(plan, stage.state)];
  const own = stage.stage === "hypothetical" ? rated?.hypothetical : rated?.objectLevel;
  if (own?.ok) return stage.questions * own.rate.bytesPerAnswer;
  const line = LINE_BYTES + plan.engine.topTokens * TOP_TOKEN_BYTES;
  return stage.questions * line + stage.generatedTokensAtMost * TOKEN_BYTES;
}
