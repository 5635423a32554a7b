// One contender's turn in a process of its own: a request as JSON in a file, its answer as the last line of stdout.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** @param driver file name beside this one */
export function runDriver(driver, request, requestPath, env = {}) {
  writeFileSync(requestPath, JSON.stringify(request));
  const result = spawnSync(process.execPath, [fileURLToPath(new URL(driver, import.meta.url)), requestPath], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 1 << 28,
    // As in inward's own worker: no debugger on an abort, no network.
    env: { ...process.env, GGML_NO_BACKTRACE: "1", NODE_LLAMA_CPP_SKIP_DOWNLOAD: "true", ...env },
  });
  if (result.status !== 0) throw new Error(`${driver} ended with ${result.signal ?? result.status}.`);
  return JSON.parse(result.stdout.trim().split("\n").at(-1));
}
