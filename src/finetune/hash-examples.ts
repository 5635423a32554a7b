import { createHash } from "node:crypto";
import type { EncodedExample } from "../records/training.js";

/** sha256 of examples in their order, hex: of each its length, its answer's beginning and its ids, as little-endian int32. */
export function hashExamples(examples: readonly EncodedExample[]): string {
  const hash = createHash("sha256");
  for (const { tokenIds, answerStart } of examples) {
    const bytes = Buffer.alloc(4 * (2 + tokenIds.length));
    [tokenIds.length, answerStart, ...tokenIds].forEach((value, at) => {
      bytes.writeInt32LE(value, 4 * at);
    });
    hash.update(bytes);
  }
  return hash.digest("hex");
}
