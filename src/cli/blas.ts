/** inward blas: the optional library that makes training on the CPU faster. */

import { Command } from "commander";
import { InwardError } from "../errors.js";
import { sha256OfFile } from "../model/model-file.js";
import { modelProgress } from "../run/open-model.js";
import { blasFolder, cachedBlas, fetchBlas, findBlas } from "../model/native/blas-library.js";
import { jsonOption, type JsonOption, offlineOption, type OfflineOption } from "./options.js";
import { abortOnInterrupt, notice, print, printJson } from "./output.js";
import { showProgress } from "./progress.js";

const WITHOUT = "training on the CPU uses ggml's own kernels, about two to three times slower";
/** A file is not what it was. */
const MISMATCH = 4;

interface PullOptions extends OfflineOption, JsonOption {
  readonly ifNone?: boolean;
}

export function blasCommand(): Command {
  const blas = new Command("blas").description("the optional BLAS library that makes training on the CPU faster");
  const status = blas
    .command("status")
    .description("which BLAS training would use; reads a pulled one whole, exit code 4 when it is damaged");
  jsonOption(status).action(showStatus);
  const pulling = blas
    .command("pull")
    .description("get OpenBLAS (8 MB, as the Python package scipy-openblas32) into the user's cache; installs nothing")
    .option("--if-none", "only when there is no BLAS yet; not getting one is then a note and no error");
  jsonOption(offlineOption(pulling, "use no network: only what is on this machine")).action(pull);
  return blas;
}

async function showStatus(options: JsonOption): Promise<void> {
  const found = findBlas();
  const cached = cachedBlas();
  const used = cached !== undefined && "path" in found && found.path === cached.path;
  const checksum = used ? ((await sha256OfFile(cached.path)) === cached.record.sha256 ? "ok" : "mismatch") : undefined;
  if (checksum === "mismatch") process.exitCode = MISMATCH;
  if (options.json) {
    printJson({ ...found, ...(checksum ? { checksum } : {}) });
    return;
  }
  if (!("path" in found)) {
    print(`no BLAS: ${found.reason}\n  ${WITHOUT}${process.env.INWARD_BLAS ? "" : "; get one: npx inward blas pull"}`);
    return;
  }
  print(`${found.what}\n  ${found.path}`);
  if (checksum === "ok") print("  checksum ok");
  if (checksum === "mismatch") print(`  WRONG CHECKSUM: remove ${blasFolder()}, then: npx inward blas pull`);
}

async function pull(options: PullOptions): Promise<void> {
  const there = findBlas();
  // A user who names one, or none, has decided.
  if (options.ifNone && ("path" in there || process.env.INWARD_BLAS)) {
    if (options.json) printJson(there);
    else notice(`BLAS for training: ${"path" in there ? there.what : `none, ${there.reason}`}`);
    return;
  }
  const got = await fetchWithProgress(options.offline === true);
  if (!("path" in got)) {
    if (!options.ifNone) throw new InwardError("MODEL_UNREACHABLE", `no BLAS could be had: ${got.reason}`);
    if (options.json) printJson(got);
    else notice(`No BLAS: ${got.reason}.\n  ${WITHOUT}.`);
    return;
  }
  if (options.json) printJson({ path: got.path, ...got.record });
  else print(`${got.path}\n  ${got.record.origin} · sha256 ${got.record.sha256}`);
  const inUse = findBlas();
  if (!("path" in inUse) || inUse.path !== got.path)
    notice(`INWARD_BLAS=${process.env.INWARD_BLAS} takes precedence over it.`);
}

async function fetchWithProgress(offline: boolean) {
  const { update, end } = showProgress();
  return fetchBlas({ offline, onProgress: modelProgress(update), signal: abortOnInterrupt() }).finally(end);
}
