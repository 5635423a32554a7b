/** States that a command takes on its way to something else: in a folder beside its file until that is there. */

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { readJson, readJsonLines } from "../base/files.js";
import { InwardError } from "../errors.js";
import { readSafetensors } from "../finetune/adapter/safetensors.js";
import {
  captureStates,
  PROMPTS,
  type StatesManifest,
  type StatesOptions,
  type StatesPrompt,
  statesManifestSchema,
} from "./states-file.js";

/** One prompt's captured tokens at one site, row after row. */
export interface CapturedRows {
  readonly values: Float32Array;
  /** Numbers of a token. */
  readonly width: number;
  /** Of attention weights [heads, keys], as many keys as the file's longest text; of heads' values [heads, head width]. */
  readonly dimensions: readonly number[];
}

/** By site, then by prompt. */
export type StatesBySite = ReadonlyMap<string, ReadonlyMap<string, CapturedRows>>;

export interface CapturedBeside {
  readonly manifest: StatesManifest;
  readonly states: StatesBySite;
  /** Prompts that were captured: each once. */
  readonly prompts: number;
  /** Once what they were taken for is there. */
  drop(): Promise<void>;
}

/**
 * Captures into `<out>.states`; the same call goes on where an earlier one ended.
 * @throws as captureStates · ENGINE_CRASHED on some prompts each time
 */
export async function captureBeside(
  prompts: readonly StatesPrompt[],
  source: string,
  { out, ...options }: StatesOptions,
): Promise<CapturedBeside> {
  const folder = `${out}.states`;
  const captured = await captureStates(prompts, source, { ...options, out: folder });
  refuseSetAside(captured.setAside);
  const manifest = await readJson<StatesManifest>(join(folder, "states.json"), statesManifestSchema);
  const states = await capturedRows(folder, manifest);
  return {
    manifest,
    states,
    prompts: captured.prompts,
    drop: () => rm(folder, { recursive: true, force: true }),
  };
}

/** A mean over those that are left would be of other prompts. @throws ENGINE_CRASHED */
export function refuseSetAside(keys: readonly string[]): void {
  if (keys.length === 0) return;
  const which = keys.slice(0, 5).join(", ");
  throw new InwardError(
    "ENGINE_CRASHED",
    `The engine crashed on ${keys.length} prompts each time (${which}): leave them out.`,
  );
}

/** @throws STORE_CORRUPT */
export async function capturedRows(folder: string, manifest: StatesManifest): Promise<StatesBySite> {
  const { rows: lines } = await readJsonLines<{ prompt: string; file: string; rows: number }>(join(folder, PROMPTS));
  const states = new Map(manifest.sites.map(({ name }) => [name, new Map<string, CapturedRows>()]));
  for (const { file } of manifest.files) {
    const tensors = await readSafetensors(join(folder, file));
    for (const [site, bySite] of states) {
      const tensor = tensors.get(site);
      if (tensor === undefined) throw new InwardError("STORE_CORRUPT", `${join(folder, file)} lacks ${site}.`);
      const dimensions = tensor.shape.slice(1);
      const width = dimensions.reduce((product, one) => product * one, 1);
      let row = 0;
      for (const { prompt, rows } of lines.filter((line) => line.file === file)) {
        const values = Float32Array.from(tensor.values.subarray(row * width, (row + rows) * width));
        bySite.set(prompt, { values, width, dimensions });
        row += rows;
      }
    }
  }
  return states;
}

/** Over the tokens of each prompt. */
export function meansOfTokens(states: StatesBySite): Map<string, Map<string, Float32Array>> {
  const meanOf = ({ values, width }: CapturedRows) => {
    const rows = values.length / width;
    const sum = new Float64Array(width);
    for (let place = 0; place < values.length; place++)
      sum[place % width] = (sum[place % width] as number) + (values[place] as number) / rows;
    return Float32Array.from(sum);
  };
  return new Map(
    [...states].map(([site, byPrompt]) => [
      site,
      new Map([...byPrompt].map(([prompt, rows]) => [prompt, meanOf(rows)])),
    ]),
  );
}
