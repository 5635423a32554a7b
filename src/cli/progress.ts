/** Progress of long work on stderr: a bar or a rewritten line on a terminal, a line every few seconds elsewhere. */

import cliProgress from "cli-progress";
import type { OnWorkProgress, WorkProgress } from "../run/open-model.js";
import { forTerminal, readableBytes } from "./output.js";

export interface Progress {
  readonly update: OnWorkProgress;
  /** Ends the line that is being rewritten. Call it before anything else is printed. */
  readonly end: () => void;
}

export function showProgress(stream: NodeJS.WriteStream = process.stderr): Progress {
  const terminal = stream.isTTY && !process.env.CI && !process.env.NO_COLOR;
  return terminal ? onTerminal(stream) : inLines(stream);
}

/** How one stage has gone so far. */
class Pace {
  private stage: string | undefined;
  private begun = 0;
  private from = 0;

  /** @returns whether the stage is another than before */
  note({ stage, done }: WorkProgress): boolean {
    if (stage === this.stage) return false;
    this.stage = stage;
    this.begun = performance.now();
    this.from = done;
    return true;
  }

  /** Undefined while it is too early to tell. */
  perSecond(done: number): number | undefined {
    const seconds = (performance.now() - this.begun) / 1000;
    return seconds > 0.5 && done > this.from ? (done - this.from) / seconds : undefined;
  }
}

const LINE_EVERY_MS = 5000;

function inLines(stream: NodeJS.WriteStream): Progress {
  const pace = new Pace();
  let last = Number.NEGATIVE_INFINITY;
  return {
    update: (progress) => {
      const isNew = pace.note(progress);
      const now = performance.now();
      if (!isNew && progress.done !== progress.total && now - last < LINE_EVERY_MS) return;
      last = now;
      stream.write(`${forTerminal(progressLine(progress, pace.perSecond(progress.done)), stream)}\n`);
    },
    end: () => {},
  };
}

const REWRITE_EVERY_MS = 200;

function onTerminal(stream: NodeJS.WriteStream): Progress {
  const pace = new Pace();
  let bar: cliProgress.SingleBar | undefined;
  let lineIsOpen = false;
  let last = Number.NEGATIVE_INFINITY;
  const end = () => {
    bar?.stop();
    bar = undefined;
    if (lineIsOpen) stream.write("\n");
    lineIsOpen = false;
  };
  const rewrite = (progress: WorkProgress) => {
    const now = performance.now();
    if (lineIsOpen && progress.done !== progress.total && now - last < REWRITE_EVERY_MS) return;
    last = now;
    stream.write(`\r\u001b[2K${forTerminal(progressLine(progress, pace.perSecond(progress.done)), stream)}`);
    lineIsOpen = true;
  };
  return {
    update: (progress) => {
      if (pace.note(progress)) end();
      const { stage, done, total, unit, detail, secondsLeft } = progress;
      // Bytes have units of their own, some work its own forecast, and without a total there is no bar.
      if (unit === "bytes" || total === undefined || secondsLeft !== undefined) {
        rewrite(progress);
        return;
      }
      const payload = { detail: detail === undefined ? "" : forTerminal(` · ${detail}`, stream) };
      if (!bar) {
        bar = new cliProgress.SingleBar({
          format: `${forTerminal(stage, stream).padEnd(14)} {bar} {value}/{total} · {duration_formatted} · {eta_formatted} left{detail}`,
          stream,
          hideCursor: true,
          barsize: 24,
          etaBuffer: 200,
        });
        bar.start(total, done, payload);
      }
      bar.update(done, payload);
    },
    end,
  };
}

/** @param perSecond of what is counted; absent while it is too early to tell */
export function progressLine(progress: WorkProgress, perSecond?: number): string {
  const { stage, done, total, unit, detail } = progress;
  const open = total === undefined || done < total;
  const rate = perSecond !== undefined && unit !== "steps" && open ? [rateText(perSecond, unit)] : [];
  const left =
    progress.secondsLeft ??
    (perSecond !== undefined && unit !== "bytes" && total !== undefined ? (total - done) / perSecond : undefined);
  const rest = [
    ...(detail === undefined ? [] : [detail]),
    ...rate,
    ...(left !== undefined && open ? [`${timeText(left)} left`] : []),
  ];
  return [`${stage}${amountText(progress)}`, ...rest].join(" · ");
}

function amountText({ done, total, unit }: WorkProgress): string {
  if (unit === "bytes") {
    const share =
      total === undefined || total === 0 ? "" : ` of ${readableBytes(total)} (${Math.floor((100 * done) / total)} %)`;
    return `: ${readableBytes(done)}${share}`;
  }
  if (total === undefined) return "";
  return `: ${unit === "steps" ? "step " : ""}${done}/${total}`;
}

function rateText(perSecond: number, unit: WorkProgress["unit"]): string {
  return unit === "bytes" ? `${readableBytes(perSecond)}/s` : `${perSecond.toFixed(1)}/s`;
}

function timeText(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
