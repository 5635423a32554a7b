import { createHash } from "node:crypto";

/** sha256 of token ids as little-endian int32, hex: says whether two prompts were the same to the model. */
export function hashTokens(ids: readonly number[]): string {
  const bytes = Buffer.alloc(ids.length * 4);
  ids.forEach((id, index) => {
    bytes.writeInt32LE(id, index * 4);
  });
  return createHash("sha256").update(bytes).digest("hex");
}
