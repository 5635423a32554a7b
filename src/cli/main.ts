#!/usr/bin/env node
/** The executable: parses the command line, and turns errors into messages and exit codes. */

import { CommanderError } from "commander";
import { ERRORS } from "../errors.js";
import { print, reportError } from "./output.js";
import { inwardProgram } from "./program.js";

// A reader that has seen enough (npx inward models list | head) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

const json = process.argv.includes("--json");
try {
  await inwardProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : ERRORS.USAGE.exit;
    // Commander has said it on stderr.
    const message = error.message.replace(/^error: /, "");
    if (json && error.exitCode !== 0) {
      print(JSON.stringify({ error: { code: "USAGE", message, hint: ERRORS.USAGE.hint } }));
    }
  } else reportError(error, json);
}
