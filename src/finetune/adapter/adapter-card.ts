/** The card beside an adapter: written, read, and held against the adapter's bytes. */
import { readFile } from "node:fs/promises";
import { InwardError } from "../../errors.js";
import { sha256OfFile } from "../../model/checksum.js";
import type { AdapterCard } from "../../records/training.js";
import { writeJson } from "../../store/write-whole.js";
import { adapterFiles } from "./adapter-files.js";
import { cardSchema } from "./card-schema.js";

/** @throws InwardError ADAPTER_INVALID naming the first field that is not as it must be */
export function checkCard(card: unknown, source: string): AdapterCard {
  const checked = cardSchema.safeParse(card);
  if (checked.success) return checked.data;
  const issue = checked.error.issues[0];
  const field = issue?.path.join(".") || "it";
  throw new InwardError("ADAPTER_INVALID", `${source} is no adapter card: ${field}: ${issue?.message}`);
}

/** Writes `<name>.card.json` beside an adapter that is there already. @throws InwardError ADAPTER_INVALID, STORE_* */
export async function writeAdapterCard(adapterPath: string, card: AdapterCard): Promise<void> {
  const path = adapterFiles(adapterPath).card;
  await writeJson(path, checkCard(card, path));
}

/**
 * @returns undefined when there is no card: a foreign adapter, of which nothing can be verified
 * @throws InwardError ADAPTER_NOT_FOUND · ADAPTER_INVALID when the card is malformed, or is another adapter's
 */
export async function readAdapterCard(adapterPath: string): Promise<AdapterCard | undefined> {
  const sha256 = await sha256OfFile(adapterPath).catch((error: unknown) => {
    throw new InwardError("ADAPTER_NOT_FOUND", `${adapterPath} cannot be read (${reason(error)}).`, { cause: error });
  });
  const path = adapterFiles(adapterPath).card;
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (reason(error) === "ENOENT") return undefined;
    throw new InwardError("ADAPTER_INVALID", `${path} cannot be read (${reason(error)}).`, { cause: error });
  });
  if (text === undefined) return undefined;
  const card = checkCard(parse(text, path), path);
  if (card.adapter.sha256 !== sha256)
    throw new InwardError(
      "ADAPTER_INVALID",
      `${path} is the card of another adapter: it says sha256 ${card.adapter.sha256}, ${adapterPath} has ${sha256}.`,
    );
  return card;
}

function parse(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InwardError("ADAPTER_INVALID", `${path} is not JSON (${(error as Error).message}).`, { cause: error });
  }
}

const reason = (error: unknown) => (error as NodeJS.ErrnoException).code ?? String(error);
