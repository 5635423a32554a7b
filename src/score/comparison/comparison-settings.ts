import { checkNoiseFloor, checkResampling, type ResamplingSettings, requireCount } from "../resampling-settings.js";

/** The seed is that of the strings, tasks and seeds drawn, and of the signs. */
export interface ComparisonSettings extends ResamplingSettings {
  /** Not negative; trials with a smaller token margin may flip between runs. */
  readonly noiseFloorNats: number;
  /** Sign patterns drawn where they are too many to list; 10,000 unless told. */
  readonly signFlipDraws?: number;
}

export const SIGN_FLIP_DRAWS = 10_000;

/** @throws InwardError STUDY_INVALID when a setting is out of range */
export function checkComparison(settings: ComparisonSettings): void {
  checkResampling(settings);
  checkNoiseFloor(settings.noiseFloorNats);
  requireCount("number of sign patterns to draw", settings.signFlipDraws ?? SIGN_FLIP_DRAWS);
}
