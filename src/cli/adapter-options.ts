/** The options of a command that asks a model with an adapter on it. */
import type { Command } from "commander";
import { InwardError } from "../errors.js";
import { readAdapterCard, writeAdapterCard } from "../finetune/adapter/adapter-card.js";
import { type BaseCheck, checkAdapterBase } from "../finetune/adapter/check-base.js";
import type { AdapterChoice } from "../model/language-model.js";
import { note } from "./output.js";

export interface AdapterOptions {
  readonly adapter?: string;
  readonly adapterScale: string;
  readonly forceAdapter?: boolean;
}

/** An adapter, and what is known of whether it was trained on this base. */
export interface ChosenAdapter {
  readonly choice: AdapterChoice & { readonly scale: number };
  readonly base: BaseCheck["base"];
}

export function adapterOptions(command: Command): Command {
  return command
    .option("--adapter <path>", "ask with this LoRA adapter (GGUF) on the model")
    .option("--adapter-scale <n>", "multiplies the adapter's alpha / rank; 0 leaves the base alone", "1")
    .option("--force-adapter", "take an adapter that was trained on another base; its card will say so");
}

/**
 * @param baseSha256 of the model file that will run
 * @returns undefined when no adapter was asked for
 * @throws USAGE · ADAPTER_NOT_FOUND · ADAPTER_INVALID (its card is not its own) · ADAPTER_BASE · STORE_* where a forced card cannot be written
 */
export async function chooseAdapter(options: AdapterOptions, baseSha256: string): Promise<ChosenAdapter | undefined> {
  if (options.adapter === undefined) return undefined;
  const scale = readScale(options.adapterScale);
  const card = await readAdapterCard(options.adapter);
  const check = checkAdapterBase(card, baseSha256, { force: options.forceAdapter === true });
  if (check.base === "no_card") note("The adapter has no card: only its shapes say that it is this model's.");
  if (check.base === "forced") {
    note(`The adapter was trained on another base, ${check.card.base.source}; its card now says that it was forced.`);
    if (check.card.forcedOnto?.length !== card?.forcedOnto?.length) await writeAdapterCard(options.adapter, check.card);
  }
  return { choice: { path: options.adapter, scale }, base: check.base };
}

function readScale(text: string): number {
  const scale = Number(text);
  if (text.trim() === "" || !Number.isFinite(scale)) {
    throw new InwardError("USAGE", `--adapter-scale wants a number, not "${text}".`);
  }
  return scale;
}
