/** How long an engine may say nothing. One that hangs would be waited for for ever. */
import { InwardError } from "../errors.js";

/** Far beyond the slowest reply that is still worth waiting for. */
const DEFAULT_SECONDS = 1800;
/** Silence is counted in parts of the limit: after a machine's or a process's sleep one part is over, not all of them. */
const PARTS = 10;
/** A longer timer would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** @returns seconds without a reply after which an engine is ended; 0: never @throws USAGE */
export function stallLimitSeconds(env: NodeJS.ProcessEnv = process.env): number {
  const given = env.INWARD_STALL_SECONDS;
  const seconds = given === undefined || given.trim() === "" ? DEFAULT_SECONDS : Number(given);
  if (Number.isFinite(seconds) && seconds >= 0) return seconds;
  throw new InwardError("USAGE", `INWARD_STALL_SECONDS is "${given}"; it must be a number of seconds, 0 for no limit.`);
}

/**
 * @param work calls `heard` whenever the engine says something
 * @throws ENGINE_CRASHED after the limit without a word; the work itself goes on until its engine is ended
 */
export async function unlessSilent<Result>(
  limitSeconds: number,
  work: (heard: () => void) => Promise<Result>,
): Promise<Result> {
  if (limitSeconds === 0) return work(() => {});
  let silentParts = 0;
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    const partMs = Math.min((1000 * limitSeconds) / PARTS, LONGEST_TIMER_MS);
    timer = setInterval(() => {
      if (++silentParts === PARTS) reject(new InwardError("ENGINE_CRASHED", stalled(limitSeconds)));
    }, partMs);
  });
  try {
    const working = work(() => {
      silentParts = 0;
    });
    return await Promise.race([working, silence]);
  } finally {
    clearInterval(timer);
  }
}

function stalled(limitSeconds: number): string {
  return `The engine gave no reply for ${limitSeconds} s and was ended (INWARD_STALL_SECONDS sets another limit, 0 none).`;
}
