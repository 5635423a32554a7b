#!/usr/bin/env node
/** The executable. */

import { startEngineProcess } from "../model/engines/engine-process.js";

/** Commands that open one model's engine, whatever else they do. */
const OPENS_ENGINE = ["ask", "next", "score-text"];

const args = process.argv.slice(2);
// Before the command's own code is loaded, which takes as long as the engine's.
const [command = "", ...rest] = args;
if (OPENS_ENGINE.includes(command) && rest.length > 0 && !rest.includes("--help") && !rest.includes("-h")) {
  startEngineProcess();
}

// Schedulers send it before a time limit (--signal=USR1). Node would open its debugger's port then, to everybody on the machine.
process.on("SIGUSR1", () => {});

// A stream that cannot be written is no reason to leave work half done. A reader that has seen enough (npx inward models list | head) is
// no failure; a full disk is one. Who reads no progress needs none.
let lost = false;
process.stderr.on("error", () => {});
process.stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
  if (code === "EPIPE" || lost) return;
  lost = true;
  const full = code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG";
  process.stderr.write(
    full
      ? "STORE_DISK_FULL: No space is left to write what this command says (stdout).\n  Free some space and give the command again.\n"
      : `STORE_UNWRITABLE: What this command says cannot be written to stdout (${code ?? message}).\n  Send it elsewhere, and give the command again.\n`,
  );
});
process.on("exit", () => {
  if (lost && (process.exitCode ?? 0) === 0) process.exitCode = 1;
});

const { runProgram } = await import("./program.js");
await runProgram(args);
