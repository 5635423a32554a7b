/** What was looked at, and written, inside the model of one trial: lenses on its prompts, probes of its string, patches of its question. */

import { type PatchedRow, patchedRowSchema } from "../../ask/patched-distributions.js";
import type { Distribution } from "../../ask/expand-distribution.js";
import { InwardError } from "../../errors.js";
import { type LensLine, lensLineSchema, type PromptReading } from "../../probe/lens-results.js";
import type { ProbeResults } from "../../probe/probe-results.js";
import type { TrialRow } from "../../score/trial-rows.js";
import { RUN_FILES, type RunFile } from "../folder.js";
import { type LookedAt, readServedFile, statRunFile } from "./plain-files.js";
import { readViewLines } from "./read-lines.js";
import type { Shown, TrialLens, TrialPatch, TrialProbe } from "./trial-shapes.js";

/** Of a file that is held whole, parsed: what a study of an hour writes is a few megabytes. */
const MOST_HELD_BYTES = 128 * 1024 * 1024;

const absent = (reason: string) => ({ ok: false, reason }) as const;

interface ReadCell extends PromptReading {
  readonly lens: string;
  readonly site: string;
}

interface ReadLenses {
  /** By state and group: names of the values, in the order of readings. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  /** By state and prompt. */
  readonly readings: ReadonlyMap<string, readonly ReadCell[]>;
  readonly unread: ReadonlyMap<string, string>;
}

const keyOf = (...parts: readonly string[]) => JSON.stringify(parts);

/** A trial's two prompts, as they are called where they are looked into. */
export function trialPrompts({ target, predictor, task, item, property, variant }: TrialRow) {
  return [
    { prompt: "hypothetical", state: predictor, id: `hypothetical/${task}/${item}/${property}/${variant}` },
    { prompt: "object_level", state: target, id: `object_level/${task}/${item}` },
  ] as const;
}

export class InsideTrials {
  #lenses?: Promise<Shown<ReadLenses>>;
  #patches?: Promise<Shown<ReadonlyMap<string, readonly PatchedRow[]>>>;
  #probes?: Shown<ProbeResults>;

  /** @param isWritten whether a run of this plan has a file */
  constructor(
    private readonly run: LookedAt,
    private readonly isWritten: (file: RunFile) => boolean,
  ) {}

  /** Of the target's object-level prompt and of the predictor's question, where their states were captured. */
  async lenses(row: TrialRow): Promise<Shown<TrialLens[]>> {
    const { predictor, task, property, behavior, prediction } = row;
    if (!this.isWritten("lens")) return absent("the study asks for no lens (probe.lenses)");
    this.#lenses ??= orWhy(() => this.#readLenses());
    const read = await this.#lenses;
    if (!read.ok) return read;
    const { values, readings, unread } = read.value;
    const wanted = [...new Set([behavior, prediction].flatMap((one) => (one.ok ? [one.value] : [])))];
    const found = trialPrompts(row).flatMap(({ prompt, state, id }): TrialLens[] => {
      const own = readings.get(keyOf(state, id)) ?? [];
      const group = `${task}/${property}`;
      const names = values.get(keyOf(state, group)) ?? [];
      const shown = wanted.flatMap((value) => (names.includes(value) ? [{ value, at: names.indexOf(value) }] : []));
      if (own.length === 0) return [];
      return [...new Set(own.map(({ lens }) => lens))].map((lens) => ({
        prompt,
        state,
        lens,
        values: shown.map(({ value }) => value),
        untold: wanted.filter((value) => !names.includes(value)),
        among: names.length,
        cells: own
          .filter((one) => one.lens === lens)
          .map(({ site, span, entropyNats, groups }) => {
            const { logprobs = [], ranks = [] } = groups[group] ?? {};
            const first = logprobs.reduce((best, one, at) => (one > (logprobs[best] as number) ? at : best), 0);
            return {
              site,
              span,
              entropyNats,
              logprobs: shown.map(({ at }) => logprobs[at] ?? null),
              ranks: shown.map(({ at }) => ranks[at] ?? null),
              ...(names[first] === undefined ? {} : { leads: names[first] }),
            };
          }),
      }));
    });
    if (found.length > 0) return { ok: true, value: found };
    return absent(
      unread.get(predictor) ?? "its prompts were not read: lenses read held-out strings of the states that are probed",
    );
  }

  /** What probes said of this string, site by site. */
  probes({ target, predictor, task, item, property, cluster }: TrialRow): Shown<TrialProbe[]> {
    if (!this.isWritten("probes")) return absent("the study names no probe");
    this.#probes ??= this.#readProbes();
    const read = this.#probes;
    if (!read.ok) return read;
    const questions = read.value.questions.filter(
      (one) =>
        one.predictor === predictor &&
        one.target === target &&
        one.task === task &&
        (one.property === undefined || one.property === property),
    );
    if (questions.length === 0) return absent("no probe reads this property of these two");
    const string = cluster ?? `${task}/${item}`;
    const found = questions.flatMap(({ prompt, label, sites }): TrialProbe[] => {
      const cells = sites.flatMap(({ site, span, rightOf, score }) => {
        const right = rightOf?.[string];
        return right === undefined || !score.ok ? [] : [{ site, span, right, accuracy: score.accuracy }];
      });
      return cells.length === 0 ? [] : [{ prompt, label, cells }];
    });
    if (found.length > 0) return { ok: true, value: found };
    const isOlder = questions.every(({ sites }) => sites.every(({ rightOf }) => rightOf === undefined));
    return absent(
      isOlder
        ? "the run was scored before readings were kept string by string: npx inward score makes them"
        : "its string has no label, or is not held out",
    );
  }

  /** What became of this question, and of the answer that it is about, while something was written inside. */
  async patches({ target, predictor, task, item, property }: TrialRow): Promise<Shown<TrialPatch[]>> {
    if (!this.isWritten("patches")) return absent("the study writes nothing inside (patching)");
    if (predictor !== target) return absent("patches are of states that predict themselves");
    this.#patches ??= orWhy(() => this.#readPatches());
    const read = await this.#patches;
    if (!read.ok) return read;
    const rows = read.value.get(keyOf(predictor, task, item, property)) ?? [];
    const before = new Map(rows.flatMap((row) => (row.kind === "none" ? [[row.side, row.distribution]] : [])));
    const found = rows.flatMap((row): TrialPatch[] => {
      const { side, kind, own, site, span, number, donor, toward, distribution, setAside } = row;
      if (kind === "none" || site === undefined || span === undefined) return [];
      const was = before.get(side);
      return [
        {
          side,
          kind,
          site,
          span,
          number: number ?? 0,
          ...(donor === undefined ? {} : { donor }),
          ...(toward === undefined ? {} : { toward }),
          own: { value: own, before: shareOf(was, own), after: shareOf(distribution, own) },
          ...(toward === undefined
            ? {}
            : { moved: { value: toward, before: shareOf(was, toward), after: shareOf(distribution, toward) } }),
          ...(setAside === undefined ? {} : { setAside }),
        },
      ];
    });
    return found.length > 0 ? { ok: true, value: found } : absent("its string was not among those that were patched");
  }

  async #readLenses(): Promise<ReadLenses> {
    const values = new Map<string, string[]>();
    const readings = new Map<string, ReadCell[]>();
    const unread = new Map<string, string>();
    this.#requireSmall(RUN_FILES.lens);
    // The first line says what the file was made from.
    await readViewLines<LensLine>(this.run, RUN_FILES.lens, lensLineSchema, (line) => {
      if (line.what === "unread") unread.set(line.state, line.reason);
      else if (line.what === "state") {
        for (const [group, { targets }] of Object.entries(line.groups)) {
          values.set(
            keyOf(line.state, group),
            targets.map(({ name }) => name),
          );
        }
      } else {
        const { state, site, lens } = line;
        for (const reading of line.readings) {
          const key = keyOf(state, reading.prompt);
          const own = readings.get(key) ?? [];
          if (own.length === 0) readings.set(key, own);
          own.push({ ...reading, site, lens });
        }
      }
    });
    return { values, readings, unread };
  }

  async #readPatches(): Promise<ReadonlyMap<string, PatchedRow[]>> {
    const rows = new Map<string, PatchedRow[]>();
    this.#requireSmall(RUN_FILES.patches);
    await readViewLines<PatchedRow>(this.run, RUN_FILES.patches, patchedRowSchema, (row) => {
      const key = keyOf(row.state, row.task, row.item, row.property);
      const own = rows.get(key) ?? [];
      if (own.length === 0) rows.set(key, own);
      own.push(row);
    });
    return rows;
  }

  #readProbes(): Shown<ProbeResults> {
    try {
      const results = JSON.parse(readServedFile(this.run, RUN_FILES.probes, MOST_HELD_BYTES).toString("utf8"));
      return Array.isArray(results?.questions)
        ? { ok: true, value: results as ProbeResults }
        : absent(`${RUN_FILES.probes} is not what inward writes.`);
    } catch (error) {
      return absent(error instanceof InwardError ? error.message : `${RUN_FILES.probes} is no JSON.`);
    }
  }

  #requireSmall(name: string): void {
    const { size } = statRunFile(this.run, name);
    if (size > MOST_HELD_BYTES)
      throw new InwardError("STORE_CORRUPT", `${name} has ${size} bytes; up to ${MOST_HELD_BYTES} are looked into.`);
  }
}

export async function orWhy<Value>(read: () => Promise<Value>): Promise<Shown<Value>> {
  try {
    return { ok: true, value: await read() };
  } catch (error) {
    if (error instanceof InwardError) return absent(error.message);
    throw error;
  }
}

/** A value that is not listed has what the tail has at most. */
function shareOf(distribution: Distribution | undefined, value: string): TrialPatch["own"]["before"] {
  if (distribution === undefined) return absent("the engine crashed on it");
  return { ok: true, value: distribution.values.find((one) => one.value === value)?.probability ?? 0 };
}
