/** How a study gets on, from what its process notes down as it works: read from where the last look ended, so that looking often costs little. */

import { closeSync, openSync, readSync, constants } from "node:fs";
import { hostname } from "node:os";
import { isRecord, NO_LINK } from "../base/untrusted.js";
import { runLockHolder } from "../base/lock.js";
import { InwardError } from "../errors.js";
import { cutText } from "../report/document.js";
import { type RunFolder, RUN_FILES } from "../run/folder.js";
import { stagesOf } from "../run/stages.js";
import { unitsProgress } from "../cluster/units-progress.js";
import { plainPath, statRunFile } from "../run/trials/plain-files.js";
import type { ServedRun } from "./served-runs.js";
import type { LossLine, RunProgress, UnitsUnderWay } from "./view-api.js";

type NotedEvent = Readonly<Record<string, unknown>> & { readonly time: string; readonly event: string };

/** Bytes that are read at once; a longer log is read over several looks. */
const MOST_AT_ONCE = 32 * 1024 * 1024;
const INCIDENTS = 20;
/** Characters: the last lines of a log may stand in it. */
const LONGEST_WHY = 300;
/** Groups that a rate is told by. */
const RECENT = 4;

interface Asking {
  begun?: number;
  ended?: number;
  questions?: number;
  asked: number;
  groups: { readonly questions: number; readonly seconds: number }[];
}

interface Curve {
  readonly steps: { step: number; nats: number }[];
  readonly validation: { step: number; nats: number }[];
  totalSteps?: number;
}

/** One run's events.jsonl. */
export class RunEvents {
  #offset = 0;
  readonly #stages = new Map<string, Asking>();
  readonly #curves = new Map<string, Curve>();
  readonly #incidents: { time: string; what: string }[] = [];

  constructor(private readonly run: ServedRun) {}

  /** @param folder opened just now: its marks say what is finished */
  look(folder: RunFolder): RunProgress {
    this.#readOn();
    const holder = runLockHolder(this.run.folder);
    const stages = stagesOf(folder.plan).map(({ name, writes, asks }) => {
      const known = this.#stages.get(name);
      const isDone = writes.every((file) => folder.isMarked(file));
      const isUnderWay = !isDone && known !== undefined && known.ended === undefined && holder !== undefined;
      const questions = known?.questions ?? (isUnderWay ? asks?.(folder.plan).length : undefined);
      const perSecond = isUnderWay && known ? rateOf(known) : undefined;
      const left =
        perSecond !== undefined && questions !== undefined && known
          ? Math.max(0, questions - known.asked) / perSecond
          : undefined;
      return {
        name,
        state: isDone ? ("done" as const) : isUnderWay ? ("under way" as const) : ("to come" as const),
        ...(known && known.asked > 0 ? { asked: known.asked } : {}),
        ...(questions === undefined ? {} : { questions }),
        ...(perSecond === undefined ? {} : { perSecond }),
        ...(left === undefined ? {} : { secondsLeft: left }),
        ...(known?.begun !== undefined && known.ended !== undefined
          ? { seconds: (known.ended - known.begun) / 1000 }
          : {}),
      };
    });
    const finishedFiles = stagesOf(folder.plan)
      .flatMap(({ writes }) => writes)
      .filter((file) => folder.isMarked(file));
    const isFinished = stages.every(({ state }) => state === "done");
    return {
      state: holder !== undefined ? "running" : isFinished ? "finished" : "stopped",
      ...(holder === undefined
        ? {}
        : { by: `process ${holder.pid}${holder.host === hostname() ? "" : ` on ${holder.host}`}` }),
      stages,
      losses: [...this.#curves].map(
        ([adapter, { steps, validation, totalSteps }]): LossLine => ({
          adapter,
          steps,
          validation,
          ...(totalSteps === undefined ? {} : { totalSteps }),
        }),
      ),
      incidents: this.#incidents.slice(-INCIDENTS),
      finishedFiles: finishedFiles.length,
    };
  }

  #readOn(): void {
    let size: number;
    try {
      size = statRunFile(this.run, RUN_FILES.events).size;
    } catch (error) {
      if (error instanceof InwardError) return;
      throw error;
    }
    // Begun anew: another run in the same place.
    if (size < this.#offset) {
      this.#offset = 0;
      this.#stages.clear();
      this.#curves.clear();
      this.#incidents.length = 0;
    }
    if (size === this.#offset) return;
    const file = openSync(plainPath(this.run, RUN_FILES.events), constants.O_RDONLY | NO_LINK);
    try {
      const bytes = Buffer.alloc(Math.min(size - this.#offset, MOST_AT_ONCE));
      const read = readSync(file, bytes, 0, bytes.length, this.#offset);
      // Up to the last line feed: what follows is still being written, and may end inside a character.
      const end = bytes.subarray(0, read).lastIndexOf(10) + 1;
      this.#offset += end;
      for (const line of bytes.toString("utf8", 0, end).split("\n")) this.#take(line);
    } finally {
      closeSync(file);
    }
  }

  #take(line: string): void {
    let event: unknown;
    try {
      event = JSON.parse(line);
    } catch {
      return;
    }
    if (!isRecord(event) || typeof event.event !== "string" || typeof event.time !== "string") return;
    this.#note(event as NotedEvent);
  }

  #note(event: NotedEvent): void {
    const at = Date.parse(event.time);
    const stage = typeof event.stage === "string" ? event.stage : undefined;
    switch (event.event) {
      case "stage_begun":
        if (stage !== undefined)
          this.#stages.set(stage, { begun: at, questions: numberIn(event.questions), asked: 0, groups: [] });
        return;
      case "stage_done":
        if (stage !== undefined) this.#asking(stage).ended = at;
        return;
      case "group_asked":
      case "group_measured": {
        if (stage === undefined) return;
        const questions = numberIn(event.questions) ?? 0;
        const own = this.#asking(stage);
        own.asked += questions;
        own.groups.push({ questions, seconds: numberIn(event.wallSeconds) ?? 0 });
        return;
      }
      case "training_begun":
        this.#curves.set(String(event.adapter), { steps: [], validation: [] });
        return;
      case "training_opened":
        this.#curve(event).totalSteps = numberIn(event.totalSteps);
        return;
      case "training_step":
      case "training_validation": {
        const [step, nats] = [numberIn(event.step), numberIn(event.lossNatsPerToken)];
        const curve = this.#curve(event);
        if (step === undefined || nats === undefined) return;
        (event.event === "training_step" ? curve.steps : curve.validation).push({ step, nats });
        return;
      }
      case "engine_crashed":
      case "item_set_aside":
      case "group_slow":
      case "unit_ended":
        this.#incidents.push({ time: event.time, what: incidentText(event) });
        if (this.#incidents.length > 10 * INCIDENTS) this.#incidents.splice(0, 9 * INCIDENTS);
    }
  }

  #asking(stage: string): Asking {
    const known = this.#stages.get(stage) ?? { asked: 0, groups: [] };
    this.#stages.set(stage, known);
    return known;
  }

  #curve(event: NotedEvent): Curve {
    const adapter = String(event.adapter);
    const known = this.#curves.get(adapter) ?? { steps: [], validation: [] };
    this.#curves.set(adapter, known);
    return known;
  }
}

function numberIn(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

function rateOf({ groups }: Asking): number | undefined {
  const recent = groups.slice(-RECENT);
  const seconds = recent.reduce((sum, one) => sum + one.seconds, 0);
  const questions = recent.reduce((sum, one) => sum + one.questions, 0);
  return seconds > 0 && questions > 0 ? questions / seconds : undefined;
}

function incidentText(event: NotedEvent): string {
  const words = {
    engine_crashed: "the engine crashed",
    item_set_aside: "a question was set aside",
    group_slow: "a group was slow",
    unit_ended: "a process ended, and its unit is begun again, or given up",
  };
  const what = words[event.event as keyof typeof words] ?? event.event;
  const where = [event.stage, event.state, event.key, event.unit].filter((part) => typeof part === "string").join(", ");
  const why = typeof event.message === "string" ? `. ${cutText(event.message, LONGEST_WHY)}` : "";
  return `${where === "" ? what : `${what}: ${where}`}${why}`;
}

/** What several processes are at; undefined of a run that one does. @throws STORE_NOT_A_RUN, STORE_CORRUPT */
export async function unitsUnderWay(folder: string): Promise<UnitsUnderWay | undefined> {
  const progress = await unitsProgress(folder);
  if (!progress) return undefined;
  return {
    stages: progress.stages.flatMap(({ stage, wave, finished, units }) =>
      wave === undefined ? [] : [{ stage, finished, ...units }],
    ),
    told: progress.units.flatMap(({ id, state, by, since, heard, done, total, failure }) => {
      if (state !== "running" && state !== "failed") return [];
      const what = by?.job === undefined ? `process ${by?.pid}` : `job ${by.job}`;
      const failed = failure && `${failure.code}: ${failure.message}`;
      return [
        { id, state, by: `${what} on ${by?.host}`, since: since ?? failure?.at, heard, done, total, failure: failed },
      ];
    }),
  };
}
