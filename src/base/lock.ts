/** One process at a time in a run folder, or at a file of answers. A lock whose process is gone is taken over. */

import { readFileSync } from "node:fs";
import { link, open, readFile, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { InwardError } from "../errors.js";
import { writeError } from "./files.js";

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Start time of the process in clock ticks where the system tells: pids are used again. */
  readonly started: string;
}

/** @returns a function that gives the lock back @throws STORE_LOCKED */
export function takeRunLock(folder: string): Promise<() => Promise<void>> {
  return takeLock(join(folder, "run.lock"), folder);
}

/** @param path of the lock @param what it guards, for the message @returns a function that gives the lock back @throws STORE_LOCKED */
export async function takeLock(path: string, what: string): Promise<() => Promise<void>> {
  const own: Holder = { pid: process.pid, host: hostname(), started: startOf(process.pid) };
  const draft = `${path}.${process.pid}`;
  try {
    await rm(draft, { force: true });
    const file = await open(draft, "wx");
    await file.writeFile(JSON.stringify(own));
    await file.close();
  } catch (error) {
    throw writeError(error, draft);
  }
  try {
    // A link appears with its content, or fails when there is one: no moment with an empty lock.
    for (let attempt = 0; ; attempt++) {
      try {
        await link(draft, path);
        break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST" || attempt > 3) throw writeError(error, path);
        const holder = await readHolder(path);
        if (holder && (await isAtWork(holder))) {
          throw new InwardError("STORE_LOCKED", `Process ${holder.pid} on ${holder.host} is working in ${what}.`);
        }
        await rm(path, { force: true }).catch((failure) => {
          throw writeError(failure, path);
        });
      }
    }
  } finally {
    await rm(draft, { force: true });
  }
  return () => rm(path, { force: true });
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Holder;
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
