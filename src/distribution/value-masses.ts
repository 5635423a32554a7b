import type { ExpandedValue, NotCompliant } from "../records/distribution.js";
import type { Extraction, MissingReason } from "../records/extraction.js";

/** Probability by value and by reason, as branches or samples come in. */
export class ValueMasses {
  readonly #values = new Map<string, number>();
  readonly #reasons = new Map<MissingReason, number>();

  add(extraction: Extraction, mass: number): void {
    if (extraction.ok) this.#values.set(extraction.value, (this.#values.get(extraction.value) ?? 0) + mass);
    else this.#reasons.set(extraction.reason, (this.#reasons.get(extraction.reason) ?? 0) + mass);
  }

  /** Most likely first, equal ones by code unit. @param divisor what 1 is */
  values(divisor = 1): { readonly value: string; readonly probability: number }[] {
    return [...this.#values]
      .map(([value, mass]) => ({ value, probability: mass / divisor }))
      .sort((a, b) => b.probability - a.probability || (a.value < b.value ? -1 : 1));
  }

  upTo(tail: number): ExpandedValue[] {
    return this.values().map((row) => ({ ...row, upper: Math.min(1, row.probability + tail) }));
  }

  /** Reasons in alphabetical order. */
  notCompliant(divisor = 1): NotCompliant {
    const rows = [...this.#reasons].sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(rows.map(([reason, mass]) => [reason, mass / divisor]));
  }
}
