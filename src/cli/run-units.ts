/** inward unit, units, merge: a run's pieces, for whatever starts processes on one machine or many. */

import { Command } from "commander";
import { type MergedUnits, mergeUnits } from "../cluster/merge.js";
import { UnitSession } from "../cluster/run-unit.js";
import { type UnitProgress, type UnitsProgress, unitsProgress } from "../cluster/units-progress.js";
import { InwardError } from "../errors.js";
import { jsonOption, type JsonOption } from "./options.js";
import { notice, print, printJson, table } from "./output.js";
import { showProgress } from "./progress.js";

/** Of sysexits: a temporary failure, to be begun again. Schedulers take it for a wish to be requeued. */
const AGAIN = 75;

export function unitCommand(): Command {
  const command = new Command("unit")
    .summary("do units of a run, one after another, in this process")
    .description(
      "Does the units that are named and keeps one model open. It takes no lock and writes to the run's folder of units alone,\n" +
        "so that any number of processes, on all machines that see the folder, may work at once; a unit that is begun twice is\n" +
        "done twice, and its bytes are the same. SIGTERM: the group of questions under way is finished, then it ends with exit\n" +
        `code ${AGAIN}; the same command goes on from there. npx inward units lists the units, npx inward merge puts them together.`,
    )
    .argument("<run>", "run folder whose units were made (npx inward run --workers, npx inward slurm)")
    .argument("<units...>", "as npx inward units names them, such as 02-object-level/0003");
  return jsonOption(command, "print one JSON object a line and unit").action(doUnits);
}

async function doUnits(run: string, ids: readonly string[], { json }: JsonOption): Promise<void> {
  const [now, soon] = [new AbortController(), new AbortController()];
  process.on("SIGTERM", () => {
    if (soon.signal.aborted) now.abort();
    soon.abort();
  });
  process.on("SIGINT", () => {
    if (now.signal.aborted) process.exit(130);
    now.abort();
  });
  const progress = showProgress();
  const session = await UnitSession.of(run);
  try {
    // Before hours of work, and not behind them.
    for (const id of ids) session.requireUnit(id);
    for (const id of ids) {
      const begun = performance.now();
      const options = { signal: now.signal, soon: soon.signal, onProgress: progress.update };
      const outcome = soon.signal.aborted ? ("stopped" as const) : await session.do(id, options);
      progress.end();
      const seconds = (performance.now() - begun) / 1000;
      if (json) print(JSON.stringify({ unit: id, outcome, seconds }));
      else print(`${id}: ${OUTCOMES[outcome]}`);
      if (outcome !== "stopped") continue;
      process.exitCode = AGAIN;
      return;
    }
  } finally {
    progress.end();
    await session.close();
  }
}

const OUTCOMES = {
  done: "done",
  was_done: "was done already",
  stopped: "stopped after what was in flight; begin it again",
} as const;

export function unitsCommand(): Command {
  const command = new Command("units")
    .summary("how far the units of a run are, whoever works at them")
    .argument("<run>", "run folder; it may be under way on other machines")
    .option("--all", "list every unit, not only those that are under way or have failed");
  return jsonOption(command, "print all of it as JSON").action(showUnits);
}

async function showUnits(run: string, { json, all }: JsonOption & { readonly all?: boolean }): Promise<void> {
  const progress = await unitsProgress(run);
  if (!progress) throw new InwardError("UNITS_NONE", `${run} was not cut into units: one process does it, or did.`);
  if (json) printJson(progress);
  else print(progressText(progress, all === true));
}

function progressText({ folder, stages, units }: UnitsProgress, all: boolean): string {
  const shown = units.filter(({ state }) => all || state === "running" || state === "failed");
  const told = shown.map((unit) => [unit.id, unit.state, ...whoAndWhen(unit)]);
  return [
    `${folder}, at ${clock(new Date().toISOString())} UTC`,
    stagesTable(stages),
    ...(told.length > 0 ? [table(["unit", "state", "by", "since (UTC)", "last heard of", "so far"], told)] : []),
    ...units.flatMap(({ id, failure }) => (failure ? [`${id}: ${failure.code}: ${failure.message}`] : [])),
  ].join("\n\n");
}

/** Stages that need no model have no units: who puts units together does them. */
export function stagesTable(stages: UnitsProgress["stages"]): string {
  const rows = stages.map(({ stage, wave, finished, units: { waiting, running, done, failed } }) => {
    const counts = [waiting, running, done, failed].map((count) => (count === 0 ? "" : String(count)));
    return [stage, wave === undefined ? "" : String(wave), ...counts, finished ? "yes" : ""];
  });
  return table(["stage", "wave", "waiting", "running", "done", "failed", "finished"], rows);
}

/** `2026-11-30 16:44:36`, of an ISO 8601 time in UTC. */
function clock(iso: string): string {
  return iso.slice(0, 19).replace("T", " ");
}

function whoAndWhen({ by, since = "", heard = "", done, total = 0, failure }: UnitProgress): string[] {
  const who = by ? `${by.host}, ${by.job === undefined ? `process ${by.pid}` : `job ${by.job}`}` : "";
  const soFar = done === undefined || total === 0 ? "" : `${done} of ${total}`;
  return [who, clock(failure?.at ?? since), clock(heard), soFar];
}

export function mergeCommand(): Command {
  const command = new Command("merge")
    .summary("put finished units of a run together, and do the stages that need no model, as far as it gets")
    .description(
      "Goes through the stages in their order and ends at the first whose units are not all done: run it after each wave of\n" +
        "units, and once more at the end. Takes the run's lock; units may go on meanwhile. Asks no model.",
    )
    .argument("<run>", "run folder");
  return jsonOption(command, "print what was put together, and what is waited for, as JSON").action(merge);
}

async function merge(run: string, { json }: JsonOption): Promise<void> {
  const merged = await mergeUnits(run);
  for (const { unit, why } of merged.refused) notice(`${unit} was thrown away and is to be done again: ${why}`);
  if (json) printJson(merged);
  else print(mergedText(merged, run));
}

const SHOWN = 10;

function mergedText({ merged, finished, stage, waiting }: MergedUnits, run: string): string {
  const done = merged.length === 0 ? "Nothing new was put together." : `Put together: ${merged.join(", ")}.`;
  if (finished) return `${done}\nThe run is finished.`;
  const more = waiting.length > SHOWN ? ` and ${waiting.length - SHOWN} more` : "";
  return (
    `${done}\n${stage} waits for ${waiting.slice(0, SHOWN).join(", ")}${more}.\n` +
    `Next, where nobody is at them: npx inward unit ${run} ${waiting[0]}${waiting.length > 1 ? " …" : ""}, then this command again.`
  );
}
