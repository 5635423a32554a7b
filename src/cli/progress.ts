/** Progress of long work on stderr: a bar on a terminal, a line every few seconds elsewhere, JSON events with --json. */

import cliProgress from "cli-progress";
import type { ModelProgress, OnModelProgress } from "../model/model-file.js";
import { note, readableBytes } from "./output.js";

const LINE_EVERY_MS = 5000;

export interface Progress {
  /** @param detail what else is worth seeing at this moment, such as the loss */
  readonly update: (stage: string, done: number, total: number, detail?: string) => void;
  readonly end: () => void;
}

export function showProgress(): Progress {
  const terminal = process.stderr.isTTY && !process.env.CI && !process.env.NO_COLOR;
  return terminal ? bars() : lines();
}

function bars(): Progress {
  let stage = "";
  let bar: cliProgress.SingleBar | undefined;
  return {
    update: (name, done, total, detail) => {
      const payload = { detail: detail === undefined ? "" : ` · ${detail}` };
      if (name !== stage) {
        bar?.stop();
        stage = name;
        bar = new cliProgress.SingleBar({
          format: `${name.padEnd(14)} {bar} {value}/{total} · {duration_formatted} · {eta_formatted} left{detail}`,
          stream: process.stderr,
          hideCursor: true,
          barsize: 24,
          etaBuffer: 200,
        });
        bar.start(total, done, payload);
      }
      bar?.update(done, payload);
    },
    end: () => bar?.stop(),
  };
}

function lines(): Progress {
  let stage = "";
  let begun = 0;
  let atBegin = 0;
  let last = Number.NEGATIVE_INFINITY;
  return {
    update: (name, done, total, detail) => {
      const now = performance.now();
      if (name !== stage) {
        stage = name;
        begun = now;
        atBegin = done;
        last = Number.NEGATIVE_INFINITY;
      }
      if (done !== total && now - last < LINE_EVERY_MS) return;
      last = now;
      const seconds = (now - begun) / 1000;
      const rate = seconds > 0.5 ? (done - atBegin) / seconds : 0;
      const seen = detail === undefined ? "" : ` · ${detail}`;
      const tail =
        rate > 0 && done < total ? ` · ${rate.toFixed(1)}/s · ${Math.ceil((total - done) / rate)} s left` : "";
      note(`${name}: ${done}/${total}${seen}${tail}`);
    },
    end: () => {},
  };
}

// Progress of work on a model file, on stderr: one line that is rewritten on a terminal, a line now and then elsewhere.

const STAGES = {
  download: "downloading",
  unpack: "unpacking",
  verify: "checking",
  "re-encode": "re-encoding",
} as const;
/** Milliseconds between updates: on a terminal, and elsewhere. */
const PAUSE = { terminal: 200, plain: 5_000 } as const;

interface ProgressLines {
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
