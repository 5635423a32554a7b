// `inward doctor`: what this machine has, what it lacks, and what to do about it.
import { Command } from "commander";
import { InwardError } from "../errors.js";
import { listDevices } from "../model/device.js";
import { modelFolder } from "../model/model-folder.js";
import { modelInventory } from "../model/model-inventory.js";
import { loadRegistry } from "../model/registry.js";
import {
  checkAddon,
  checkBlas,
  checkBlasPlugin,
  checkCmake,
  checkCompiler,
  checkDevices,
  checkFolder,
  checkGit,
  checkModels,
  checkNode,
  checkPip,
  checkReleases,
  type Finding,
} from "./doctor-checks.js";
import { print, printJson } from "./output.js";

const MARKS = { ok: "ok     ", note: "-      ", warning: "WARNING", failure: "FAILURE" } as const;
/** Nothing can run: no device loads, or Node is too old. */
const NOTHING_RUNS = 3;

export function doctorCommand(): Command {
  return new Command("doctor")
    .description(
      "check Node, llama.cpp, devices, native asking, training, BLAS, compiler, models and disk; exit code 3 when nothing can run",
    )
    .option("--json", "print one JSON object")
    .action(examine);
}

async function examine(options: { readonly json?: boolean }): Promise<void> {
  const folder = modelFolder();
  const devices = await listDevices();
  const findings: Finding[] = [
    checkNode(),
    await checkReleases(),
    ...checkDevices(devices),
    ...(await checkAddon()),
    checkBlas(),
    checkBlasPlugin(),
    checkCompiler(),
    checkCmake(),
    checkGit(),
    checkPip(),
    ...models(folder),
    checkFolder(folder),
  ];
  const canRun = findings.every((finding) => finding.status !== "failure");
  if (!canRun) process.exitCode = NOTHING_RUNS;
  if (options.json) {
    printJson({ canRun, findings, devices });
    return;
  }
  for (const { what, status, found, remedy } of findings) {
    print(`${MARKS[status]} ${what}: ${found}`);
    if (remedy) print(`          ${remedy}`);
  }
  print(canRun ? "inward can run." : "inward cannot run here yet.");
}

/** A spoilt registry or record is a finding too: the doctor examines, whatever it meets. */
function models(folder: string): Finding[] {
  try {
    const registry = loadRegistry();
    return checkModels(modelInventory(registry, folder, process.env), registry.default);
  } catch (error) {
    if (!(error instanceof InwardError)) throw error;
    return [{ what: "models", status: "warning", found: `${error.code}: ${error.message}`, remedy: error.hint }];
  }
}
