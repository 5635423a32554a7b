/** inward view: runs in a browser, served from this machine to this machine alone; or written as static files. Asks no model. */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { resolve } from "node:path";
import { Command } from "commander";
import { InwardError } from "../errors.js";
import { bundleView } from "../view/view-bundle.js";
import { findRuns, namedFolders } from "../view/served-runs.js";
import { startViewServer } from "../view/view-server.js";
import { collect, jsonOption, type JsonOption, number } from "./options.js";
import { abortOnInterrupt, notice, print, printJson } from "./output.js";
import { showProgress } from "./progress.js";

interface ViewCommandOptions extends JsonOption {
  readonly port?: string;
  readonly bundle?: string;
  readonly models?: readonly string[];
  readonly tokens: boolean;
}

const DEFAULT_FOLDER = "runs";
/** What `npm run build` makes of page/. */
const PAGE = fileURLToPath(new URL("../page", import.meta.url));

export function viewCommand(): Command {
  const command = new Command("view")
    .summary("look at runs in a browser: verdicts, trials, and every answer token by token; asks no model")
    .description(
      "Serves a page about the runs in these folders, on this machine alone and to nobody but the browser that opens the printed address\n" +
        "first. It reads and never writes; a run that is under way can be followed. Ctrl-C ends it; Enter prints another address.",
    )
    .argument("[folders...]", `runs, or folders with runs in them (default: ${DEFAULT_FOLDER})`)
    .option("--port <n>", "port to listen on (default: any that is free)")
    .option("--bundle <folder>", "write the same as static files to a new folder, for a web server or an archive")
    .option(
      "--models <folder>",
      "where GGUF files lie that plans name by path (repeatable): for tokens of prompts",
      collect,
    )
    .option("--no-tokens", "with --bundle: without prompts cut into tokens");
  return jsonOption(command, "print the address, or what was written, as JSON").action(view);
}

async function view(
  named: readonly string[],
  { port, bundle, models = [], tokens, json }: ViewCommandOptions,
): Promise<void> {
  if (named.length === 0 && !existsSync(DEFAULT_FOLDER)) {
    throw new InwardError("STORE_NOT_A_RUN", `There is no folder ${DEFAULT_FOLDER} here; name the folders of runs.`);
  }
  const options = {
    folders: namedFolders(named.length === 0 ? [DEFAULT_FOLDER] : named),
    models: namedFolders(models),
    page: PAGE,
  };
  if (bundle !== undefined) return writeBundle({ ...options, tokens }, resolve(bundle), json);
  const server = await startViewServer({ ...options, port: portOf(port) });
  const { runs, passedOver } = findRuns(options.folders);
  for (const text of passedOver) notice(text);
  notice(
    `${runs.length} ${runs.length === 1 ? "run" : "runs"} in ${options.folders.join(", ")}. Open this address; it works once:`,
  );
  if (json) printJson({ address: server.address(), port: server.port, folders: options.folders, runs: runs.length });
  else print(server.address());
  const signal = abortOnInterrupt();
  const asks = process.stdin.isTTY;
  if (asks) process.stdin.on("data", () => print(server.address()));
  await new Promise<void>((done) => {
    signal.addEventListener("abort", () => done(), { once: true });
  });
  if (asks) process.stdin.pause();
  await server.close();
}

function portOf(port: string | undefined): number | undefined {
  if (port === undefined) return undefined;
  const found = number("--port", port);
  if (Number.isInteger(found) && found >= 0 && found <= 65_535) return found;
  throw new InwardError("USAGE", `--port wants a whole number from 0 to 65535, not "${port}".`);
}

async function writeBundle(
  options: Omit<Parameters<typeof bundleView>[0], "out">,
  out: string,
  json: boolean | undefined,
): Promise<void> {
  const progress = showProgress();
  const made = await bundleView({
    ...options,
    out,
    signal: abortOnInterrupt(),
    onProgress: (done, total, run) => progress.update({ stage: `trials of ${run}`, done, total, unit: "questions" }),
  }).finally(progress.end);
  if (json) return printJson(made);
  for (const note of made.notes) notice(note);
  notice(
    `${made.runs} runs, ${made.trials} trials, ${made.files} files. Serve the folder over HTTP: pages that are opened as files cannot read it.`,
  );
  print(made.folder);
}
