/** The sbatch scripts of a run, as texts: one for each kind of unit and one for merging; and in which order they are handed to Slurm. */

import { hashOf } from "../base/files.js";
import { InwardError } from "../errors.js";
import type { SettledEngine } from "../study/study.js";

/** What a site wants, as its users write it. */
export interface SlurmOptions {
  readonly partition?: string;
  readonly account?: string;
  readonly qos?: string;
  /** As sbatch takes it: `30`, `4:00:00`, `1-12`. */
  readonly time?: string;
  /** Of each job, as sbatch takes it: `12G`. Absent: what the dry run expects of the kind, where it knows. */
  readonly memory?: string;
  /** GPUs of each job that asks, measures or trains. Absent: one where the study's device is a GPU, else none. */
  readonly gpus?: number;
  /** Further options of sbatch, each as it would stand in a script behind #SBATCH: `--constraint=a100`. */
  readonly sbatch?: readonly string[];
  /** Absolute path of a shell file that every job reads first: modules, an environment. */
  readonly source?: string;
  /** Units that one task of an array does, one after another. Default 1. */
  readonly unitsPerTask?: number;
  /** Most tasks of an array that run at once. Absent: as many as Slurm lets. */
  readonly atOnce?: number;
  /** Seconds before a job's time is over at which it is told, so that it finishes what is under way. Default 120. */
  readonly warningSeconds?: number;
}

export const UNIT_KINDS = ["asked", "measured", "trained"] as const;
export type UnitKind = (typeof UNIT_KINDS)[number];

/** What is known of the units of one kind. */
export interface KindNeeds {
  readonly cpus: number;
  /** Bytes; absent: unknown, and the site's default holds. */
  readonly memoryBytes?: number;
  readonly gpus: number;
}

export interface SlurmJob {
  /** As the plan has it. */
  readonly study: string;
  readonly planHash: string;
  /** Absolute path of the run folder. */
  readonly run: string;
  /** Absolute paths of node and of inward's main script, the same on every node. */
  readonly node: string;
  readonly main: string;
  readonly options: SlurmOptions;
}

/** Where a run's scripts lie, under the run folder. */
export const SLURM_FOLDER = "units/slurm";
/** While it is there, nothing that ends puts itself back into the queue. */
export const STOPPED = "stopped";
/** Most tasks of one array: sites that keep Slurm's default allow 1,001. */
export const MOST_TASKS = 1000;
/** A process that was killed from outside is started again so often; what is told to stop, as often as it is told. */
const MOST_RESTARTS = 3;
const DEFAULT_WARNING_SECONDS = 120;

/** Of a study that leaves its device open: where it is planned decides who asks, not where its jobs run. */
export function gpuNotes({ device, forward }: Pick<SettledEngine, "device" | "forward">, gpus?: number): string[] {
  if (device !== "auto") return [];
  if (forward === "own") {
    return [
      "The study's device is auto, and there is no GPU here: questions are planned for inward's own forward pass, on processors" +
        `${gpus ? ", and leave the GPUs that --gpus asks for idle" : ""}. For GPUs plan on a node that has one: ` +
        "srun --gpus=1 npx inward slurm <study.yaml> --set engine.device=cuda. Then, from here: npx inward slurm resume <run folder>",
    ];
  }
  return gpus === undefined ? ["The study's device is auto, so that no GPU is asked for; give --gpus 1 for one."] : [];
}

/** By this name all jobs of a run are found again in the queue, whoever submitted them; another folder of the same plan has another. */
export function jobName({ planHash, run }: Pick<SlurmJob, "planHash" | "run">): string {
  return `inward-${planHash.slice(0, 12)}-${hashOf(run).slice(0, 6)}`;
}

/** A text as one word of POSIX shell, whatever stands in it. */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The value of an option behind #SBATCH, whose quotes and backslashes sbatch reads itself. @throws USAGE where it cannot stand on a line */
export function directive(option: string, value: string): string {
  if (/\p{Cc}/u.test(value)) {
    throw new InwardError(
      "USAGE",
      `--${option} holds a control character, which no line of a script can: ${JSON.stringify(value)}`,
    );
  }
  const quoted = /^[A-Za-z0-9_.,:@%+=/-]+$/.test(value) ? value : `"${value.replaceAll(/["\\]/g, "\\$&")}"`;
  return `#SBATCH --${option}=${quoted}`;
}

/** Ours, which the units' way of ending rests on. */
const OWN = new Set(
  "array dependency output error open-mode requeue no-requeue signal job-name wrap chdir export ntasks kill-on-invalid-dep parsable wait test-only".split(
    " ",
  ),
);

/**
 * An option of sbatch that a user gave, as a line of a script.
 * @throws USAGE for what is no long option, is one of ours, or holds a control character
 */
export function userDirective(text: string): string {
  const [, name, value] = /^--([a-z][a-z0-9-]*)(?:=(.*))?$/s.exec(text.trim()) ?? [];
  if (name === undefined) {
    throw new InwardError(
      "USAGE",
      `--sbatch wants an option of sbatch such as --constraint=a100, not ${JSON.stringify(text)}`,
    );
  }
  // As sbatch does, which takes the beginning of a name for the name.
  const own = [...OWN].find((one) => one.startsWith(name));
  if (own !== undefined)
    throw new InwardError("USAGE", `--sbatch --${name}: inward sets --${own}, because units rest on it`);
  if ("clusters".startsWith(name)) {
    throw new InwardError("USAGE", `--sbatch --${name}: set SLURM_CLUSTERS, which squeue and scancel read too`);
  }
  return value === undefined ? `#SBATCH --${name}` : directive(name, value);
}

/** @throws USAGE for a text that sbatch does not take */
export function checkSlurmOptions({
  time,
  memory,
  unitsPerTask = 1,
  atOnce,
  gpus,
  warningSeconds = 0,
  source,
}: SlurmOptions): void {
  const refuse = (name: string, value: unknown, wants: string): never => {
    throw new InwardError("USAGE", `--${name} is ${JSON.stringify(value)}; it must be ${wants}.`);
  };
  if (time !== undefined && !/^(\d+-)?\d+(:\d\d){0,2}$/.test(time))
    refuse("time", time, "a time of sbatch: 30, 4:00:00, 1-12");
  if (memory !== undefined && !/^\d+[KMGT]?$/.test(memory))
    refuse("memory", memory, "a number of megabytes, or such as 12G");
  if (!(Number.isSafeInteger(unitsPerTask) && unitsPerTask >= 1))
    refuse("units-per-task", unitsPerTask, "a whole number from 1 on");
  if (atOnce !== undefined && !(Number.isSafeInteger(atOnce) && atOnce >= 1))
    refuse("at-once", atOnce, "a whole number from 1 on");
  if (gpus !== undefined && !(Number.isSafeInteger(gpus) && gpus >= 0))
    refuse("gpus", gpus, "a whole number from 0 on");
  if (!(Number.isSafeInteger(warningSeconds) && warningSeconds >= 0))
    refuse("warning", warningSeconds, "a whole number of seconds");
  if (source !== undefined && /\0/.test(source)) refuse("source", source, "a path");
}

const MIB = 2 ** 20;

/** @param log its name, in sbatch's patterns */
function directives(job: SlurmJob, what: string, needs: KindNeeds, log: string): string {
  const { options, run, study } = job;
  const { partition, account, qos, time, memory, sbatch = [], warningSeconds = DEFAULT_WARNING_SECONDS } = options;
  const some = { partition, account, qos, time } as const;
  const asked = memory ?? (needs.memoryBytes === undefined ? undefined : `${Math.ceil(needs.memoryBytes / MIB)}M`);
  const lines = [
    directive("job-name", jobName(job)),
    directive("comment", `inward ${study}: ${what}`),
    "#SBATCH --ntasks=1",
    `#SBATCH --cpus-per-task=${needs.cpus}`,
    ...(asked === undefined ? [] : [directive("mem", asked)]),
    ...(needs.gpus > 0 ? [`#SBATCH --gres=gpu:${needs.gpus}`] : []),
    ...Object.entries(some).flatMap(([name, value]) => (value === undefined ? [] : [directive(name, value)])),
    "#SBATCH --requeue",
    "#SBATCH --open-mode=append",
    // What sbatch would read as a pattern stands for itself.
    directive("output", `${run.replaceAll("%", "%%")}/${SLURM_FOLDER}/logs/${log}.log`),
    `#SBATCH --signal=B:TERM@${warningSeconds}`,
    ...sbatch.map(userDirective),
  ];
  return lines.join("\n");
}

/** Of every script the first commands: TERM may come at any moment, and without a trap it would end the script. */
const HEARS_TERM = `# TERM comes before the time limit and at preemption: what is under way is finished, and code 75 says that there is more to do.
told=0
seen=0
child=
trap 'told=$((told + 1)); [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM
`;

/** What every script ends with: the work as a child, so that TERM is heard while it goes on; and what its end means for the queue. */
function ending(command: string): string {
  return `${command} &
child=$!
[ "$told" -eq 0 ] || kill -TERM "$child" 2>/dev/null
wait "$child"
code=$?
while [ "$seen" -ne "$told" ]; do
  seen=$told
  wait "$child"
  code=$?
done
# Told before it could hear.
[ "$told" -eq 0 ] || [ "$code" -ne 143 ] || code=75

# Back into the queue under the same id, whether or not the site does that by itself (RequeueExit). A process that somebody killed is tried
# again ${MOST_RESTARTS} times; one that ended with an error of its own is not: npx inward slurm status says which.
if [ ! -e "$run/${SLURM_FOLDER}/${STOPPED}" ]; then
  if [ "$code" -eq 75 ] || { [ "$code" -gt 128 ] && [ "$code" -ne 130 ] && [ "\${SLURM_RESTART_COUNT:-0}" -lt ${MOST_RESTARTS} ]; }; then
    scontrol requeue "$SLURM_JOB_ID"
  fi
fi
exit "$code"
`;
}

function head(job: SlurmJob): string {
  const { node, main, run, options } = job;
  // A file that sets -e for itself would end the script where a unit ends with 75, before that is put back.
  const source = options.source === undefined ? "" : `. ${shellWord(options.source)}\nset +euo pipefail\n`;
  return `${HEARS_TERM}
${source}run=${shellWord(run)}
run_inward() { exec ${shellWord(node)} ${shellWord(main)} "$@"; }
`;
}

/** The script of all units of one kind: `sbatch --array=0-<tasks - 1> <kind>.sh <list> <first line>`. */
export function unitScript(job: SlurmJob, kind: UnitKind, needs: KindNeeds): string {
  const { unitsPerTask = 1 } = job.options;
  return `#!/bin/bash
${directives(job, kind, needs, `${kind}-%A_%a`)}

# ${{ asked: "Questions that are asked", measured: "What is measured on models", trained: "Adapters that are trained" }[kind]}, ${unitsPerTask === 1 ? "one unit" : `${unitsPerTask} units`} a task. Written by npx inward slurm; by hand:
#   sbatch --array=0-9 ${kind}.sh wave-0.${kind}.txt 0
# The first argument is a list of units, one a line; the second the line, from 0, that the array's first task begins with.
${head(job)}list=$run/${SLURM_FOLDER}/$1
first=$(($2 + SLURM_ARRAY_TASK_ID * ${unitsPerTask}))
mapfile -t units < <(tail -n "+$((first + 1))" -- "$list" | head -n ${unitsPerTask})

${ending(`run_inward unit "$run" "\${units[@]}"`)}`;
}

/** The script that puts a wave's units together and makes what needs no model: \`sbatch merge.sh <wave>\`. */
export function mergeScript(job: SlurmJob, needs: KindNeeds): string {
  return `#!/bin/bash
${directives(job, "merge", { ...needs, gpus: 0 }, "merge-%j")}

# Takes what the units of waves up to $1 have made into the run's own files, and scores what can be scored. It fails where a unit of them is
# missing, and then nothing that waits for it begins. Written by npx inward slurm.
${head(job)}
${ending(`run_inward slurm merge "$run" --wave "$1"`)}`;
}

/** All units of one kind in one wave, in the plan's order. The list never changes: jobs in the queue know their units by its lines. */
export interface UnitList {
  readonly wave: number;
  readonly kind: UnitKind;
  readonly ids: readonly string[];
}

export function listName({ wave, kind }: Pick<UnitList, "wave" | "kind">): string {
  return `wave-${wave}.${kind}.txt`;
}

/** One call of sbatch. Its dependencies are other submissions, by their place in the list. */
export interface Submission {
  readonly what: "units" | "merge";
  readonly wave: number;
  readonly kind?: UnitKind;
  /** Tasks of the array, and units that they do between them. */
  readonly tasks?: number;
  readonly units?: number;
  /** Places of those that must have ended: of a merge all arrays of its wave, of an array the merge before it, which must have ended well. */
  readonly after: readonly number[];
  readonly arguments: readonly string[];
}

/** The name of the script that it runs. */
export function scriptOf({ what, kind }: Pick<Submission, "what" | "kind">): string {
  return `${what === "merge" ? what : kind}.sh`;
}

/**
 * What is handed to Slurm, in its order: of each wave the tasks that have something to do, and a merge that waits for them.
 * @param lists waves ascending
 * @param isMissing whether a unit is still to be done
 * @param mostTasks of one array, and the number that none of its indices reaches
 */
export function submissions(
  lists: readonly UnitList[],
  isMissing: (id: string) => boolean,
  { unitsPerTask = 1, atOnce }: Pick<SlurmOptions, "unitsPerTask" | "atOnce">,
  mostTasks: number,
): Submission[] {
  const all: Submission[] = [];
  const waves = [...new Set(lists.map(({ wave }) => wave))].sort((a, b) => a - b);
  let merge: number | undefined;
  for (const wave of waves) {
    const arrays: number[] = [];
    for (const { kind, ids } of lists.filter((one) => one.wave === wave)) {
      for (let first = 0; first < ids.length; first += mostTasks * unitsPerTask) {
        const tasks: number[] = [];
        let units = 0;
        for (let task = 0; task < mostTasks && first + task * unitsPerTask < ids.length; task++) {
          const from = first + task * unitsPerTask;
          const missing = ids.slice(from, from + unitsPerTask).filter(isMissing).length;
          if (missing > 0) tasks.push(task);
          units += missing;
        }
        if (tasks.length === 0) continue;
        const limit = atOnce === undefined ? "" : `%${atOnce}`;
        const own = [
          `--array=${rangesOf(tasks)}${limit}`,
          scriptOf({ what: "units", kind }),
          listName({ wave, kind }),
          String(first),
        ];
        const after = merge === undefined ? [] : [merge];
        arrays.push(all.push({ what: "units", wave, kind, tasks: tasks.length, units, after, arguments: own }) - 1);
      }
    }
    // A later merge merges what is complete already.
    if (arrays.length === 0 && wave !== waves.at(-1)) continue;
    const after = arrays.length > 0 || merge === undefined ? arrays : [merge];
    merge = all.push({ what: "merge", wave, after, arguments: ["merge.sh", String(wave)] }) - 1;
  }
  return all;
}

/** `0-3,7,9-10`, of ascending numbers. */
function rangesOf(numbers: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const one of numbers) {
    const last = ranges.at(-1);
    if (last && last[1] === one - 1) last[1] = one;
    else ranges.push([one, one]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

/** @param idOf a submission that came before @returns arguments of sbatch, which is called in the folder of the scripts */
export function sbatchArguments(
  { what, after, arguments: own }: Submission,
  idOf: (place: number) => string,
): string[] {
  const ids = after.map(idOf);
  const how = what === "merge" ? "afterany" : "afterok";
  // Where a merge says that units are missing, what waits for it never can begin.
  const dependency = ids.length === 0 ? [] : [`--dependency=${how}:${ids.join(":")}`, "--kill-on-invalid-dep=yes"];
  return ["--parsable", ...dependency, ...own];
}

/** What sbatch reads of its environment in the place of a script's options. */
const VARIABLES: Readonly<Record<string, readonly string[]>> = {
  "job-name": ["SBATCH_JOB_NAME"],
  output: ["SBATCH_OUTPUT", "SBATCH_ERROR"],
  "open-mode": ["SBATCH_OPEN_MODE"],
  requeue: ["SBATCH_REQUEUE", "SBATCH_NO_REQUEUE"],
  signal: ["SBATCH_SIGNAL"],
  time: ["SBATCH_TIMELIMIT"],
  mem: ["SBATCH_MEM_PER_NODE", "SBATCH_MEM_PER_CPU", "SBATCH_MEM_PER_GPU"],
};
/** What would change the call itself: an array, waiting for its end. */
const OF_THE_CALL = ["SBATCH_ARRAY_INX", "SBATCH_WAIT"];

/**
 * Variables of a user's habits that sbatch would take in the place of what a script says: a partition, a time, the name that jobs are found
 * by. What the script says nothing of they may say.
 */
export function overridden(script: string): string[] {
  const said = [...script.matchAll(/^#SBATCH --([a-z][a-z0-9-]*)/gm)].map(([, name]) => name as string);
  const named = said.flatMap((name) => VARIABLES[name] ?? [`SBATCH_${name.toUpperCase().replaceAll("-", "_")}`]);
  return [...named, ...OF_THE_CALL];
}

/** @returns the id in what `sbatch --parsable` said, whatever a site's own lines say around it; undefined where there is none */
export function jobIdOf(said: string): string | undefined {
  // Of a cluster among several: <id>;<cluster>.
  const ids = said.split("\n").flatMap((line) => /^(\d+)(?:;\S*)?$/.exec(line.trim())?.[1] ?? []);
  return ids.length === 1 ? ids[0] : undefined;
}

/** Tasks that a line of squeue stands for: `12_[1-5,8%2]` is six, `12_3` and `12` are one. */
export function queuedTasks(jobId: string): number {
  const indices = /_\[([\d,-]+)(?:%\d+)?\]/.exec(jobId)?.[1];
  if (indices === undefined) return 1;
  return indices.split(",").reduce((sum, range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return sum + last - first + 1;
  }, 0);
}
