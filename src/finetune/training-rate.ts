/** How fast training goes: over the last steps, so that a slow start or another process does not spoil it for long. Pure. */

/** One optimizer step. */
export interface StepTiming {
  readonly seconds: number;
  /** Tokens of the batch's examples, each counted whole. */
  readonly exampleTokens: number;
  /** Tokens that were evaluated for them: fewer, where beginnings are shared. */
  readonly evaluatedTokens: number;
}

export interface Rate {
  readonly exampleTokensPerSecond: number;
  readonly evaluatedTokensPerSecond: number;
  readonly secondsPerStep: number;
}

const STEPS = 20;

export class TrainingRate {
  private readonly last: StepTiming[] = [];

  /** @returns the rate with this step */
  add(step: StepTiming): Rate {
    this.last.push(step);
    if (this.last.length > STEPS) this.last.shift();
    const sum = (key: keyof StepTiming) => this.last.reduce((total, timing) => total + timing[key], 0);
    const seconds = sum("seconds");
    return {
      exampleTokensPerSecond: sum("exampleTokens") / seconds,
      evaluatedTokensPerSecond: sum("evaluatedTokens") / seconds,
      secondsPerStep: seconds / this.last.length,
    };
  }
}
