/** Progress of long work on stderr: a bar on a terminal, a line every few seconds elsewhere, JSON events with --json. */
import cliProgress from "cli-progress";
import { note } from "./output.js";

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
