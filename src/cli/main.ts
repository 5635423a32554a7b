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

// A reader that has seen enough (npx inward models list | head) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

const { runProgram } = await import("./program.js");
await runProgram(args);
