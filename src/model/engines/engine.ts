/** Drives one group through the addon, one evaluation at a time, so that messages come in between. */

import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { Engine, NativeAnswers, NativeCounts, NativeWork } from "../../../native/index.js";
import { InwardError } from "../../errors.js";
import { type Intervened, requireWritten } from "../interventions.js";

/**
 * @param take what finished, as it does; nothing that was taken is lost when the group ends early
 * @param roomForStates where captured states go, if they fit
 * @returns what the group cost
 * @throws INTERRUPTED, ENGINE_*
 */
export async function runGroup(
  engine: Engine,
  work: NativeWork,
  take: (answers: NativeAnswers) => void,
  signal?: AbortSignal,
  roomForStates?: () => Uint8Array,
): Promise<NativeCounts> {
  if (signal?.aborted) throw new InwardError("INTERRUPTED", "Asking was interrupted.");
  engine.begin(work);
  try {
    for (;;) {
      const goesOn = engine.step();
      const answers = engine.take(roomForStates?.());
      requireWritten(work, answers);
      take(answers);
      if (!goesOn) return engine.counts();
      await setImmediate();
      if (signal?.aborted) throw new InwardError("INTERRUPTED", "Asking was interrupted.");
    }
  } catch (error) {
    engine.cancel();
    throw error;
  }
}

// Counter-based randomness: a draw is a function of its seed and position alone, whatever else is in the batch.

/** @returns a number in [0, 1) with 53 random bits: the first bits of sha256(seed/position) */
export function uniformDraw(seed: string, position: number): number {
  const digest = createHash("sha256").update(`${seed}/${position}`).digest();
  return Number(digest.readBigUInt64BE(0) >> 11n) / 2 ** 53;
}

/** A request whose prompt is token ids already. */
export interface TokenizedRequest extends Intervened {
  readonly promptIds: readonly number[];
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed?: string;
  readonly topTokens: number;
  readonly positions?: number;
  readonly shares?: string;
  /** As a reply has it. */
  readonly opened?: string;
}

/** A prompt and what may follow it. */
export interface TokenizedScoreRequest extends Intervened {
  readonly promptIds: readonly number[];
  readonly continuations: readonly TokenizedContinuation[];
}

export interface TokenizedContinuation {
  /** May be empty: the end of the turn at once. */
  readonly ids: readonly number[];
  /**
   * The answer that is exactly this, up to the token that ends it. In plain text the end may be one token with the answer's last
   * mark: then these do not begin with `ids`.
   */
  readonly ended: readonly number[];
}

/**
 * What is evaluated after a request's prompt: each continuation with its end of turn; then, where the end is one token with the
 * continuation's last mark, the continuation alone.
 */
export function scoredAnswers({ continuations }: Pick<TokenizedScoreRequest, "continuations">): (readonly number[])[] {
  return continuations.flatMap((one) => (isOneLonger(one) ? [one.ended] : [one.ended, one.ids]));
}

/** Whether the answer that is exactly this has the continuation's own tokens and one that ends it. */
export function isOneLonger({ ids, ended }: TokenizedContinuation): boolean {
  return ended.length === ids.length + 1 && ids.every((id, at) => id === ended[at]);
}

/** @throws USAGE */
export function requireTemperature(temperature: number): void {
  if (temperature >= 0 && Number.isFinite(temperature)) return;
  throw new InwardError("USAGE", `The temperature is ${temperature}; it must be a finite number from 0 on.`);
}

/** sha256 of token ids as little-endian int32, hex: says whether two prompts were the same to the model. */
export function hashTokens(ids: readonly number[]): string {
  const bytes = Buffer.alloc(ids.length * 4);
  ids.forEach((id, index) => {
    bytes.writeInt32LE(id, index * 4);
  });
  return createHash("sha256").update(bytes).digest("hex");
}
