/** Whether an adapter may be put on a base. Pure. */
import { InwardError } from "../../errors.js";
import type { AdapterCard } from "../../records/training.js";

/** Callers say `no_card` to whoever asked: nothing but the shapes could be verified. */
export type BaseCheck =
  | { readonly base: "verified"; readonly card: AdapterCard }
  | { readonly base: "forced"; readonly card: AdapterCard }
  | { readonly base: "no_card" };

/**
 * @param card undefined for an adapter without one
 * @param baseSha256 of the base's file, hex
 * @returns with `force`, for another base: the card with that base in `forcedOnto`, to be written back
 * @throws InwardError ADAPTER_BASE for another base than the card's, unless forced. An earlier force is a record, not a permission
 */
export function checkAdapterBase(
  card: AdapterCard | undefined,
  baseSha256: string,
  options: { readonly force?: boolean } = {},
): BaseCheck {
  if (card === undefined) return { base: "no_card" };
  if (card.base.sha256 === baseSha256) return { base: "verified", card };
  if (!options.force)
    throw new InwardError(
      "ADAPTER_BASE",
      `The adapter was trained on ${card.base.source} (${card.base.encoding}, sha256 ${card.base.sha256}); this base has sha256 ${baseSha256}.`,
    );
  const earlier = card.forcedOnto ?? [];
  const known = earlier.some(({ sha256 }) => sha256 === baseSha256);
  return { base: "forced", card: { ...card, forcedOnto: known ? earlier : [...earlier, { sha256: baseSha256 }] } };
}
