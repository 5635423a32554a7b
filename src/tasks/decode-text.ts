/** Bytes of a user's file as text; bytes that are no UTF-8 would otherwise turn into other characters unseen. */
import { InwardError } from "../errors.js";

/** @throws TASK_INVALID */
export function decodeText(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InwardError("TASK_INVALID", `${path} is not UTF-8 text.`);
  }
}
