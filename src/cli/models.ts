/** inward models: which models there are, getting them, re-encoding them, looking into them. */

import { Command, Option } from "commander";
import { InwardError } from "../errors.js";
import { FILE_TYPES, type FileTypeName } from "../gguf/encodings.js";
import { inspectGguf } from "../gguf/inspect-gguf.js";
import { type InventoryFile, type InventoryModel, modelInventory } from "../model/locate-model.js";
import { identifyModel, modelFolder, type OnModelProgress } from "../model/model-file.js";
import { reencodeModel } from "../model/reencode-model.js";
import { readLoadWarnings } from "../model/engines/start-engine.js";
import { loadRegistry, sourceLabel } from "../model/registry.js";
import { resolveModel, type ResolveModelOptions } from "../model/resolve-model.js";
import { modelProgress } from "../run/open-model.js";
import { fromLocalPath } from "../model/sources/source.js";
import { abortOnInterrupt, print, printJson, readableBytes } from "./output.js";
import { encodingOption, jsonOption, type JsonOption, offlineOption, type OfflineOption, renamed } from "./options.js";
import { showProgress } from "./progress.js";

const CHECKSUM_WORDS = {
  verified: "checksum ok",
  not_verified: "not checked yet",
  mismatch: "WRONG CHECKSUM",
  unknown: "no checksum known yet",
} as const satisfies Record<InventoryFile["checksum"], string>;

export function modelsCommand(): Command {
  const models = renamed(
    new Command("models").description("list, fetch, re-encode and look into models"),
    /'verify'/,
    "Checking model files is now: npx inward verify model",
  );
  jsonOption(
    models.command("list").description("every model of the registry, and what else lies in the model folder"),
  ).action(listModels);
  const pull = models
    .command("pull")
    .description("get a model, check it, and re-encode it if asked")
    .argument("<name>", "registry name, hf:user/repo:QUANT, or hf:user/repo/file.gguf#revision");
  jsonOption(offlineOption(encodingOption(pull, "also make this re-encoding of the weights"))).action(pullModel);
  const reencoding = models
    .command("reencode")
    .description(
      "write a model's weights in another encoding; whatever it is made from, nothing is gained in precision",
    )
    .argument("<model>", "registry name, hf: URI, or path of a GGUF file")
    .addOption(
      new Option("--to <encoding>", "what most of its matrices become")
        .choices(Object.keys(FILE_TYPES))
        .makeOptionMandatory(),
    )
    .option("--out <path>", "the new file; f16 and f32 otherwise go to the model folder, where studies find them")
    .option("--imatrix <path>", "an importance matrix of llama-imatrix; wants --out");
  jsonOption(offlineOption(reencoding)).action(reencode);
  jsonOption(
    models
      .command("info")
      .description("what a model is: registry entry and the GGUF's own metadata")
      .argument("<name-or-path>"),
  ).action(showModel);
  return models;
}

function listModels(options: JsonOption): void {
  const registry = loadRegistry();
  const folder = modelFolder();
  const models = modelInventory(registry, folder, process.env);
  if (options.json) {
    printJson({ folder, default: registry.default, models });
    return;
  }
  for (const { name, entry, files } of models) {
    const facts = entry
      ? [entry.summary, entry.licence, `${readableCount(entry.parameters)} parameters`]
      : ["by hf: URI or by hand"];
    print(`${name}${name === registry.default ? " (default)" : ""}\n  ${facts.join(" · ")}`);
    if (files.length === 0) print(`  not here; get it: npx inward models pull ${name}`);
    for (const file of files) {
      const where = file.owned ? "" : " · in the Hugging Face cache";
      print(`  ${file.fileName} · ${readableBytes(file.bytes)} · ${CHECKSUM_WORDS[file.checksum]}${where}`);
    }
  }
  print(`model folder: ${folder}`);
}

async function pullModel(
  name: string,
  options: JsonOption & OfflineOption & { encoding: ResolveModelOptions["encoding"] },
): Promise<void> {
  const file = await withProgress((onProgress, signal) =>
    resolveModel(name, { encoding: options.encoding, offline: options.offline === true, onProgress, signal }),
  );
  if (options.json) {
    printJson(file);
    return;
  }
  print(
    `${file.path}\n  ${file.encoding} · ${readableBytes(file.bytes)} · licence ${file.licence} · sha256 ${file.sha256}`,
  );
  if (file.reencodedFrom)
    print(`  re-encoded from ${file.reencodedFrom.encoding}, sha256 ${file.reencodedFrom.sha256}`);
}

async function reencode(
  model: string,
  options: JsonOption & OfflineOption & { to: FileTypeName; out?: string; imatrix?: string },
): Promise<void> {
  const { to, out, imatrix, offline = false } = options;
  const made = await withProgress((onProgress, signal) =>
    reencodeModel(model, {
      to,
      ...(out === undefined ? {} : { out }),
      ...(imatrix === undefined ? {} : { imatrix }),
      offline,
      onProgress,
      signal,
    }),
  );
  if (options.json) {
    printJson(made);
    return;
  }
  const { path, sha256, bytes, seconds, by, reason, weights, reencodedFrom, imatrix: used } = made;
  print(`${path}\n  sha256 ${sha256} · ${bytes} bytes · ${seconds.toFixed(1)} s`);
  print(`  re-encoded from ${reencodedFrom.encoding}, sha256 ${reencodedFrom.sha256}, by ${by}`);
  const total = Object.values(weights).reduce((sum, count) => sum + count, 0);
  const shares = Object.entries(weights).map(([type, count]) => `${((100 * count) / total).toFixed(1)} % ${type}`);
  print(`  weights: ${shares.join(", ")}`);
  if (used) {
    const without = used.without.length === 0 ? "" : `; it says nothing of ${used.without.length} matrices`;
    print(`  importance matrix: sha256 ${used.sha256}${without}`);
  }
  if (reason !== undefined) print(`  not by llama.cpp: ${reason}`);
}

async function showModel(nameOrPath: string, options: JsonOption): Promise<void> {
  const registry = loadRegistry();
  const model = identifyModel(nameOrPath, registry);
  const known = model.kind === "managed" ? inventoryOf(model.id) : undefined;
  const path = known ? known.files[0]?.path : fromPath(nameOrPath);
  const summary = path === undefined ? undefined : await inspectGguf(path);
  // A file that cannot be loaded is shown as its header has it, and why.
  const warnings = path === undefined ? [] : await readLoadWarnings(path).catch(warningOf);
  if (options.json) {
    printJson({ source: nameOrPath, ...(known ?? {}), ...(summary ? { gguf: summary, warnings } : {}) });
    return;
  }
  print(nameOrPath);
  if (known?.entry) {
    const { sources, sha256, ...facts } = known.entry;
    for (const [key, value] of Object.entries(facts)) {
      print(
        `  ${key}: ${typeof value === "object" && value !== null ? JSON.stringify(value) : (value ?? "not known yet")}`,
      );
    }
    print(`  sha256: ${sha256 ?? known.files[0]?.expectedSha256 ?? "not known yet: recorded at the first download"}`);
    for (const source of sources) print(`  source: ${sourceLabel(source)}`);
  }
  for (const file of known?.files ?? []) print(`  file: ${file.path} · ${CHECKSUM_WORDS[file.checksum]}`);
  if (summary === undefined) {
    print(`  not here; get it: npx inward models pull ${nameOrPath}`);
    return;
  }
  for (const [key, value] of Object.entries(summary)) {
    if (value === undefined || key === "warnings") continue;
    const shown =
      key === "chatTemplate"
        ? `${String(value).length} characters`
        : typeof value === "object"
          ? JSON.stringify(value)
          : value;
    print(`  gguf ${key}: ${shown}`);
  }
  for (const warning of warnings) print(`  warning: ${warning}`);
}

function warningOf(error: unknown): string[] {
  if (error instanceof InwardError && error.code.startsWith("MODEL_")) return [error.message];
  throw error;
}

function inventoryOf(id: string): InventoryModel | undefined {
  return (
    modelInventory(loadRegistry(), modelFolder(), process.env).find((model) => model.name === id) ?? {
      name: id,
      files: [],
    }
  );
}

function fromPath(path: string): string {
  const found = fromLocalPath(path);
  if (!found.ok) throw new InwardError("MODEL_NOT_FOUND", found.reason);
  return found.path;
}

/** Progress on stderr, and Ctrl-C as a clean end instead of a half-written file. */
export function withProgress<Result>(
  work: (onProgress: OnModelProgress, signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const { update, end } = showProgress();
  return work(modelProgress(update), abortOnInterrupt()).finally(end);
}

function readableCount(count: number): string {
  return count >= 1e9 ? `${(count / 1e9).toFixed(1)} billion` : `${Math.round(count / 1e6)} million`;
}
