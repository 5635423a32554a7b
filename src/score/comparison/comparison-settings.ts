import { InwardError } from "../../errors.js";

export interface ComparisonSettings {
  /** In (0, 1), 0.95 for 95 %. */
  readonly confidence: number;
  readonly bootstrapReplicates: number;
  /** Any safe integer: of the strings, tasks and seeds drawn, and of the signs. */
  readonly bootstrapSeed: number;
  /** Not negative; trials with a smaller token margin may flip between runs. */
  readonly noiseFloorNats: number;
  /** Sign patterns drawn where they are too many to list; 10,000 unless told. */
  readonly signFlipDraws?: number;
}

export const SIGN_FLIP_DRAWS = 10_000;

/** @throws InwardError STUDY_INVALID when a setting is out of range */
export function checkComparison({
  confidence,
  bootstrapReplicates,
  bootstrapSeed,
  noiseFloorNats,
  signFlipDraws = SIGN_FLIP_DRAWS,
}: ComparisonSettings): void {
  const refuse = (what: string) => {
    throw new InwardError("STUDY_INVALID", what);
  };
  if (!(confidence > 0 && confidence < 1)) refuse(`The confidence is ${confidence}; it must be between 0 and 1.`);
  if (!Number.isSafeInteger(bootstrapReplicates) || bootstrapReplicates < 1) {
    refuse(`The number of bootstrap replicates is ${bootstrapReplicates}; it must be a whole number from 1.`);
  }
  if (!Number.isSafeInteger(bootstrapSeed)) {
    refuse(`The bootstrap seed is ${bootstrapSeed}; it must be a whole number.`);
  }
  if (!(noiseFloorNats >= 0 && noiseFloorNats < Number.POSITIVE_INFINITY)) {
    refuse(`The noise floor is ${noiseFloorNats} nats; it must be finite and not negative.`);
  }
  if (!Number.isSafeInteger(signFlipDraws) || signFlipDraws < 1) {
    refuse(`The number of sign patterns to draw is ${signFlipDraws}; it must be a whole number from 1.`);
  }
}
