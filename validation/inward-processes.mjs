// The command line as processes that may be limited, struck and looked at: what validation scripts that do so share.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
/** A run that hangs is a finding, and not waited for longer than that. */
const LONGEST_MS = 600_000;
const CODE = /\b((?:[A-Z]+_)+[A-Z]+|INTERNAL|USAGE|INTERRUPTED)\b(?=[:)\]"\s])/;

/**
 * Starts one command of inward in a process group of its own.
 * @param args of the command line
 * @param options.env beside this process's own; options.before a line of shell such as `ulimit -n 20`
 * @returns the process, and once it has ended its exit code or signal, the code of the error that it said, and all that it wrote
 */
export function startInward(args, { env = {}, uid, before = "", cwd } = {}) {
  const own = [process.execPath, MAIN, ...args];
  const [command, ...rest] = before === "" ? own : ["sh", "-c", `${before}; exec "$0" "$@"`, ...own];
  const child = spawn(command, rest, {
    cwd,
    env: { ...process.env, CI: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text));
  const late = setTimeout(() => killed(-child.pid), LONGEST_MS);
  const ended = new Promise((done) =>
    child.on("close", (status, signal) => {
      clearTimeout(late);
      const error = CODE.exec(output.replace(/INWARD_\w+/g, ""))?.[1];
      done({ status: status ?? signal, error, output });
    }),
  );
  return { child, ended };
}

/** @param pid of a process, or below 0 of its group */
export function killed(pid) {
  try {
    process.kill(pid, "SIGKILL");
    return true;
  } catch {
    return false;
  }
}

/** Processes that a process started, and those that these did, by /proc. */
export function descendantsOf(pid) {
  const children = new Map();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (state !== "Z") children.set(Number(parent), [...(children.get(Number(parent)) ?? []), Number(name)]);
    } catch {}
  }
  const found = [];
  for (const waiting = [pid]; waiting.length > 0; ) {
    const own = children.get(waiting.pop()) ?? [];
    found.push(...own);
    waiting.push(...own);
  }
  return found;
}

export function isUnitWorker(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("unit-worker");
  } catch {
    return false;
  }
}

/** Names of a folder's files, sorted, without what may differ between two equal runs. */
export function filesOf(folder, without = /events\.jsonl$|run\.lock/) {
  return readdirSync(folder, { recursive: true })
    .filter((name) => !without.test(name) && statSync(join(folder, name)).isFile())
    .sort();
}

/** What a run's results are; how long it took, and when, may differ. */
export function bytesOf(
  run,
  without = /events\.jsonl|run\.lock|manifest\.json|stages\.json|09-report|figures|^units(\/|$)/,
) {
  return filesOf(run, without)
    .map((name) => {
      const sha256 = createHash("sha256")
        .update(readFileSync(join(run, name)))
        .digest("hex");
      return `${name} ${sha256}`;
    })
    .join("\n");
}

/** A count of what holds and what does not, said line by line. */
export class Findings {
  found = [];

  check(what, holds, more = "") {
    console.log(`${holds ? "holds " : "FAILS "} ${what}${holds ? "" : `: ${more.slice(-700)}`}`);
    if (!holds) this.found.push(what);
  }

  skip(what, why) {
    console.log(`skipped ${what}: ${why}`);
  }

  /** @returns the exit code */
  end() {
    console.log(`${this.found.length} findings`);
    return this.found.length === 0 ? 0 : 4;
  }
}

/** Whether a process ended well, or with a coded error that is no defect of inward's. */
export function isCoded({ status, error }) {
  return status === 0 || (error !== undefined && error !== "INTERNAL" && typeof status === "number" && status > 0);
}

/** Numbers from 0 to below 1, the same from the same seed. */
export function dice(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
