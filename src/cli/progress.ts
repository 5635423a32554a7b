/** Progress of long work on stderr: a bar on a terminal, a line every few seconds elsewhere, JSON events with --json. */
import cliProgress from "cli-progress";
import { note } from "./output.js";

const LINE_EVERY_MS = 5000;

export interface Progress {
  readonly update: (stage: string, done: number, total: number) => void;
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
    update: (name, done, total) => {
      if (name !== stage) {
        bar?.stop();
        stage = name;
        bar = new cliProgress.SingleBar({
          format: `${name.padEnd(14)} {bar} {value}/{total} · {duration_formatted} · {eta_formatted} left`,
          stream: process.stderr,
          hideCursor: true,
          barsize: 24,
          etaBuffer: 200,
        });
        bar.start(total, done);
      }
      bar?.update(done);
    },
    end: () => bar?.stop(),
  };
}

function lines(): Progress {
  let stage = "";
  let begun = 0;
  let atBegin = 0;
  let last = 0;
  return {
    update: (name, done, total) => {
      const now = performance.now();
      if (name !== stage) {
        stage = name;
        begun = now;
        atBegin = done;
        last = 0;
      }
      if (done !== total && now - last < LINE_EVERY_MS) return;
      last = now;
      const seconds = (now - begun) / 1000;
      const rate = seconds > 0.5 ? (done - atBegin) / seconds : 0;
      const tail =
        rate > 0 && done < total ? ` · ${rate.toFixed(1)}/s · ${Math.ceil((total - done) / rate)} s left` : "";
      note(`${name}: ${done}/${total}${tail}`);
    },
    end: () => {},
  };
}
