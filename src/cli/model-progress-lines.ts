// Progress of work on a model file, on stderr: one line that is rewritten on a terminal, a line now and then elsewhere.
import { readableBytes } from "./readable-bytes.js";
import type { ModelProgress, OnModelProgress } from "../model/model-progress.js";

const STAGES = {
  download: "downloading",
  unpack: "unpacking",
  verify: "checking",
  "re-encode": "re-encoding",
} as const;
/** Milliseconds between updates: on a terminal, and elsewhere. */
const PAUSE = { terminal: 200, plain: 5_000 } as const;

export interface ProgressLines {
  readonly onProgress: OnModelProgress;
  /** Ends the line that is being rewritten. Call it before anything else is printed. */
  finish(): void;
}

export function modelProgressLines(
  stream: NodeJS.WriteStream = process.stderr,
  now: () => number = () => performance.now(),
): ProgressLines {
  const terminal = stream.isTTY === true && process.env.CI === undefined;
  let step: { key: string; since: number; from: number; printed: number } | undefined;
  let open = false;
  const finish = () => {
    if (open) stream.write("\n");
    open = false;
  };
  const onProgress = (progress: ModelProgress) => {
    const key = `${progress.stage} ${progress.what}`;
    const time = now();
    const fresh = step?.key !== key;
    if (fresh || step === undefined) {
      finish();
      step = { key, since: time, from: progress.doneBytes, printed: Number.NEGATIVE_INFINITY };
    }
    const complete = progress.doneBytes === progress.totalBytes;
    if (!complete && time - step.printed < (terminal ? PAUSE.terminal : PAUSE.plain)) return;
    step.printed = time;
    const line = describe(progress, progress.doneBytes - step.from, (time - step.since) / 1000);
    stream.write(terminal ? `\r\u001b[2K${line}` : `${line}\n`);
    open = terminal;
  };
  return { onProgress, finish };
}

function describe(progress: ModelProgress, newBytes: number, seconds: number): string {
  const { doneBytes, totalBytes } = progress;
  const share = totalBytes ? ` of ${readableBytes(totalBytes)} (${Math.floor((100 * doneBytes) / totalBytes)} %)` : "";
  const rate = seconds >= 0.5 && newBytes > 0 ? `, ${readableBytes(newBytes / seconds)}/s` : "";
  return `${STAGES[progress.stage]} ${progress.what}: ${readableBytes(doneBytes)}${share}${rate}`;
}
