// Finding Python's package installer: it has several names, and Debian leaves it out of a plain Python.
import { spawnSync } from "node:child_process";

export interface PythonPip {
  readonly command: string;
  /** Stand before pip's own arguments. */
  readonly arguments: readonly string[];
  /** As it names itself, e.g. `pip 23.2.1 (python 3.11)`. */
  readonly version: string;
}

const CANDIDATES = [["python3", "-m", "pip"], ["pip3"], ["python", "-m", "pip"], ["pip"]] as const;

/** The first that works, or undefined. */
export function findPip(env: NodeJS.ProcessEnv): PythonPip | undefined {
  for (const [command, ...leading] of CANDIDATES) {
    const answer = spawnSync(command, [...leading, "--version"], { env, encoding: "utf8", timeout: 20_000 });
    const named = /^pip (?<version>\S+) from .*\((?<python>python [^)]+)\)/m.exec(answer.stdout ?? "")?.groups;
    if (answer.status === 0 && named) {
      return { command, arguments: leading, version: `pip ${named.version} (${named.python})` };
    }
  }
  return undefined;
}
