/** Drives one group through the addon, one evaluation at a time, so that messages come in between. */
import { setImmediate } from "node:timers/promises";
import type { Engine, NativeAnswers, NativeCounts, NativeWork } from "../../../native/index.js";
import { InwardError } from "../../errors.js";

/**
 * @param take what finished, as it does; nothing that was taken is lost when the group ends early
 * @returns what the group cost
 * @throws INTERRUPTED, ENGINE_*
 */
export async function runGroup(
  engine: Engine,
  work: NativeWork,
  take: (answers: NativeAnswers) => void,
  signal?: AbortSignal,
): Promise<NativeCounts> {
  if (signal?.aborted) throw new InwardError("INTERRUPTED", "Asking was interrupted.");
  engine.begin(work);
  try {
    for (;;) {
      const goesOn = engine.step();
      take(engine.take());
      if (!goesOn) return engine.counts();
      await setImmediate();
      if (signal?.aborted) throw new InwardError("INTERRUPTED", "Asking was interrupted.");
    }
  } catch (error) {
    engine.cancel();
    throw error;
  }
}
