import { InwardError } from "../errors.js";

/** What is drawn. */
export interface DrawSettings {
  readonly bootstrapReplicates: number;
  /** Any safe integer. */
  readonly bootstrapSeed: number;
}

/** How intervals are made. */
export interface ResamplingSettings extends DrawSettings {
  /** In (0, 1), 0.95 for 95 %. */
  readonly confidence: number;
}

/** @throws InwardError STUDY_INVALID when a setting is out of range */
export function checkResampling({ confidence, bootstrapReplicates, bootstrapSeed }: ResamplingSettings): void {
  checkConfidence(confidence);
  requireCount("number of bootstrap replicates", bootstrapReplicates);
  if (!Number.isSafeInteger(bootstrapSeed)) {
    throw new InwardError("STUDY_INVALID", `The bootstrap seed is ${bootstrapSeed}; it must be a whole number.`);
  }
}

/** @throws InwardError STUDY_INVALID */
export function checkConfidence(confidence: number): void {
  if (confidence > 0 && confidence < 1) return;
  throw new InwardError("STUDY_INVALID", `The confidence is ${confidence}; it must be between 0 and 1.`);
}

/** @throws InwardError STUDY_INVALID */
export function checkNoiseFloor(noiseFloorNats: number): void {
  if (noiseFloorNats >= 0 && noiseFloorNats < Number.POSITIVE_INFINITY) return;
  throw new InwardError(
    "STUDY_INVALID",
    `The noise floor is ${noiseFloorNats} nats; it must be finite and not negative.`,
  );
}

/** @throws InwardError STUDY_INVALID */
export function requireCount(what: string, count: number): void {
  if (Number.isSafeInteger(count) && count >= 1) return;
  throw new InwardError("STUDY_INVALID", `The ${what} is ${count}; it must be a whole number from 1.`);
}
