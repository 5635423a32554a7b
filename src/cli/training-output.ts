/** What is seen of a training: a line of progress on stderr, and with --json every event as a line on stdout. */
import type { StepReport } from "../finetune/training-loop.js";
import { note, print } from "./output.js";

export interface TrainingOutput {
  readonly progress: (report: StepReport) => void;
  readonly event: (kind: string, data: object) => void;
  /** Ends the line that is being rewritten. Call it before anything else is printed. */
  readonly end: () => void;
}

/** Milliseconds between lines where no line can be rewritten. */
const PAUSE = 5_000;

export function trainingOutput(
  json: boolean,
  stream: NodeJS.WriteStream = process.stderr,
  now: () => number = () => performance.now(),
): TrainingOutput {
  const terminal = stream.isTTY === true && process.env.CI === undefined && process.env.NO_COLOR === undefined;
  let printed = Number.NEGATIVE_INFINITY;
  let open = false;
  const end = () => {
    if (open) stream.write("\n");
    open = false;
  };
  return {
    progress: (report) => {
      const time = now();
      if (!terminal && report.step < report.totalSteps && time - printed < PAUSE) return;
      printed = time;
      stream.write(terminal ? `\r\u001b[2K${lineOf(report)}` : `${lineOf(report)}\n`);
      open = terminal;
    },
    event: (kind, data) => {
      if (json) print(JSON.stringify({ kind, ...data }));
      if (kind !== "training_resumed") return;
      end();
      note(`Going on after step ${(data as { readonly step: number }).step}.`);
    },
    end,
  };
}

export function lineOf(report: StepReport): string {
  const { step, totalSteps, lossNatsPerToken, exampleTokensPerSecond, evaluatedTokensPerSecond, secondsLeft } = report;
  const rate = (perSecond: number) => perSecond.toFixed(perSecond < 10 ? 1 : 0);
  const left = step === totalSteps ? "" : ` · ${timeOf(secondsLeft)} left`;
  return (
    `training: step ${step}/${totalSteps} · loss ${lossNatsPerToken.toFixed(4)} · ` +
    `${rate(exampleTokensPerSecond)} example tokens/s (${rate(evaluatedTokensPerSecond)} evaluated)${left}`
  );
}

function timeOf(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
