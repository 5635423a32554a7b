/** One process at a time in a run folder, or at a file of answers. A lock whose process is gone is taken over. */

import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { copyFile, link, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { InwardError } from "../errors.js";
import { keepInPlace, movedAway, writeError } from "./files.js";
import { readPlainFile } from "./untrusted.js";

const holderSchema = z.strictObject({
  pid: z.int().min(1),
  host: z.string(),
  /** Start time of the process in clock ticks where the system tells: pids are used again. */
  started: z.string(),
  /** The Slurm job that it is part of, and how often that was requeued before. */
  job: z.strictObject({ id: z.string(), restarts: z.int().min(0) }).optional(),
});
type Holder = z.infer<typeof holderSchema>;

/** A process, so that others can tell whether it still works: on this machine, or as a job that Slurm has begun anew since. */
export type WorkingProcess = Holder;
export const workingProcessSchema = holderSchema;

export function thisProcess(env: NodeJS.ProcessEnv = process.env): WorkingProcess {
  const { SLURM_JOB_ID: id, SLURM_RESTART_COUNT: count = "0" } = env;
  const job = id === undefined || !/^\d+$/.test(count) ? undefined : { id, restarts: Number(count) };
  return { pid: process.pid, host: hostname(), started: startOf(process.pid), ...(job ? { job } : {}) };
}

/** Whether a process has surely ended. Of one on another machine only what Slurm says of its job is known. */
export function hasSurelyEnded(one: WorkingProcess): boolean {
  return stateOf(one) === "gone";
}

const RUN_LOCK = "run.lock";

/** A folder that this process alone works in. As long as it does, `makeFolder` does not make the folder anew. */
export interface RunLock {
  /**
   * @throws STORE_UNWRITABLE the folder was moved or removed · STORE_LOCKED another folder of its name stands there, or the lock was
   * taken away
   */
  require(): Promise<void>;
  release(): Promise<void>;
}

/** @throws STORE_LOCKED */
export async function takeRunLock(folder: string): Promise<RunLock> {
  const path = join(folder, RUN_LOCK);
  const own = thisProcess();
  const unlock = await takeLock(path, folder, own);
  const leave = keepInPlace(folder);
  return {
    require: async () => {
      const holder = await readHolder(path).catch((error) => {
        throw writeError(error, path);
      });
      if (isSame(holder, own)) return;
      if (!existsSync(folder)) throw movedAway(folder);
      throw new InwardError(
        "STORE_LOCKED",
        `${path} is this process's no more: another folder stands where it worked, or the lock was removed by hand. It ends, since two would write to one run; what it had finished stays.`,
      );
    },
    release: async () => {
      leave();
      await unlock();
    },
  };
}

/** Bytes; a lock has some seventy. */
const LONGEST_LOCK = 4096;

/** Who works in a run folder now, without touching its lock; undefined where nobody does, and for what is no lock. */
export function runLockHolder(folder: string): Pick<Holder, "pid" | "host"> | undefined {
  const refuse = (why: string) => new InwardError("STORE_CORRUPT", why);
  const path = join(folder, RUN_LOCK);
  for (const place of [path, join(path, HOLDER)]) {
    try {
      const text = readPlainFile(place, LONGEST_LOCK, refuse, "refused").toString();
      const holder = holderSchema.parse(JSON.parse(text));
      return stateOf(holder) === "gone" ? undefined : holder;
    } catch {}
  }
  return undefined;
}

/** @param path of the lock @param what it guards, for the message @returns a function that gives the lock back @throws STORE_LOCKED */
export async function takeLock(path: string, what: string, own = thisProcess()): Promise<() => Promise<void>> {
  // Containers on several machines often have the same process ids.
  const draft = `${path}.${process.pid}_${randomUUID().slice(0, 8)}`;
  try {
    await writeFile(draft, JSON.stringify(own), { flag: "wx" });
    while (!(await linked(draft, path))) await removeDead(path, draft, what);
  } catch (error) {
    throw writeError(error, path);
  } finally {
    await rm(draft, { force: true }).catch(() => {});
  }
  return async () => {
    // One that was taken away meanwhile, by hand, is another's now.
    if (isSame(await readHolder(path), own)) await removeLock(path);
  };
}

/** A link appears with its content, or fails when there is one: no moment with an empty lock, and no lock of a server that may be lost. */
async function linked(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A server over the network that did it, and whose answer was lost, is asked again and says that there is one: this one.
    if (code === "EEXIST") return isSameFile(draft, path);
    if (["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(code ?? "")) return isRenamed(draft, path);
    throw error;
  }
}

/** Of a lock that is a folder, what says whose it is. */
const HOLDER = "holder.json";

/** Where there are no hard links (exFAT, some shared folders): a folder is renamed, which fails where there is one that is not empty. */
async function isRenamed(draft: string, path: string): Promise<boolean> {
  const folder = `${draft}d`;
  await mkdir(folder);
  try {
    await copyFile(draft, join(folder, HOLDER));
    await rename(folder, path);
    return true;
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    if (["ENOTEMPTY", "EEXIST", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
    throw error;
  }
}

async function removeLock(path: string): Promise<void> {
  const isFolder = await stat(join(path, HOLDER)).then(
    () => true,
    () => false,
  );
  if (!isFolder) return rm(path, { force: true });
  // Away as a whole: another's may stand there at once.
  const aside = `${path}.${process.pid}_${randomUUID().slice(0, 8)}`;
  await rename(path, aside);
  await rm(aside, { recursive: true, force: true });
}

async function isSameFile(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([one, other].map((path) => stat(path, { bigint: true }).catch(() => undefined)));
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino;
}

/**
 * Removes a lock whose process is gone. One process at a time: whoever looked before another had taken the lock over would else remove
 * that one's. A process that is killed in here leaves a guard, which is judged as a lock is.
 * @throws STORE_LOCKED
 */
async function removeDead(path: string, draft: string, what: string): Promise<void> {
  await requireDead(path, what);
  const guard = `${path}.taking`;
  if (!(await linked(draft, guard))) {
    const other = await readHolder(guard);
    if (other && (await isAtWork(other))) await sleep(GOING_STEP);
    else await removeLock(guard);
    return;
  }
  try {
    await requireDead(path, what);
    await removeLock(path);
  } finally {
    await removeLock(guard);
  }
}

async function requireDead(path: string, what: string): Promise<void> {
  const holder = await readHolder(path);
  if (holder && (await isAtWork(holder))) {
    throw new InwardError("STORE_LOCKED", `Process ${holder.pid} on ${holder.host} is working in ${what}.`);
  }
}

function isSame(one: Holder | undefined, other: Holder): boolean {
  return one !== undefined && one.pid === other.pid && one.host === other.host && one.started === other.started;
}

/**
 * @returns undefined where it is gone, or says nothing that a lock says: nobody works by that
 * @throws the file system's error where it is there and cannot be read (another user's, no descriptor left): it may be a living one's
 */
async function readHolder(path: string): Promise<Holder | undefined> {
  const text = await readFile(path, "utf8")
    .catch((error) => {
      if (error.code !== "EISDIR") throw error;
      return readFile(join(path, HOLDER), "utf8");
    })
    .catch((error) => {
      if (error.code === "ENOENT") return "";
      throw error;
    });
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** How long a killed process may take to give its memory back, milliseconds. */
const GOING_AT_MOST = 5000;
const GOING_STEP = 50;

async function isAtWork(holder: Holder): Promise<boolean> {
  for (let waited = 0; ; waited += GOING_STEP) {
    const state = stateOf(holder);
    if (state !== "going" || waited >= GOING_AT_MOST) return state !== "gone";
    await sleep(GOING_STEP);
  }
}

function stateOf(holder: Holder): "at work" | "going" | "gone" {
  // Slurm begins a job anew when the one before is no more.
  const { job } = thisProcess();
  if (job !== undefined && holder.job?.id === job.id && holder.job.restarts < job.restarts) return "gone";
  // Another machine's processes cannot be seen from here: believe the lock.
  if (holder.host !== hostname()) return "at work";
  if (!isProcessAlive(holder.pid) || holder.started !== startOf(holder.pid)) return "gone";
  return isGoing(statOf(holder.pid)) ? "going" : "at work";
}

/** Where the fields that count stand behind the name in /proc/<pid>/stat. */
const [STATE, FLAGS, THREADS, STARTED] = [0, 6, 17, 19];
/** PF_EXITING of Linux. */
const EXITING = 4;

function isDead(stat: readonly string[] | undefined): boolean {
  return stat?.[STATE] === "Z" || stat?.[STATE] === "X";
}

/** Killed, and not quite gone: some of its threads may still write. */
function isGoing(stat: readonly string[] | undefined): boolean {
  return isDead(stat) || (Number(stat?.[FLAGS] ?? 0) & EXITING) !== 0;
}

function startOf(pid: number): string {
  return statOf(pid)?.[STARTED] ?? "unknown";
}

/** The fields of /proc/<pid>/stat from the third on (the state), where the system has it. */
function statOf(pid: number): readonly string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

// Whether a process id still means a running process on this machine.

export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // Where a parent never asks for its child's end, the entry of the dead child stays for ever.
    const stat = statOf(pid);
    return !(isDead(stat) && Number(stat?.[THREADS] ?? 1) <= 1);
  } catch (error) {
    // Alive, and somebody else's.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
