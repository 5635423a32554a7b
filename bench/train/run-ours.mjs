// inward's side of train-tokens-per-second.mjs, in a process of its own.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const DRIVER = fileURLToPath(new URL("ours.mjs", import.meta.url));

/** @returns what ours.mjs prints */
export function runOurs(request, requestPath) {
  writeFileSync(requestPath, JSON.stringify(request));
  const result = spawnSync(process.execPath, [DRIVER, requestPath], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 1 << 28,
  });
  if (result.status !== 0) throw new Error(`${DRIVER} ended with ${result.signal ?? result.status}.`);
  return JSON.parse(result.stdout.trim().split("\n").at(-1));
}
