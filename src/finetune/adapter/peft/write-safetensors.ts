/** Writes float32 tensors as a safetensors file, whole or not at all. */
import { open, rename, rm } from "node:fs/promises";
import { writeError } from "../../../store/file-errors.js";
import type { SafeTensor } from "./read-safetensors.js";

/** Tensors stand sorted by name, so that equal tensors have equal bytes. @throws InwardError STORE_DISK_FULL, STORE_UNWRITABLE */
export async function writeSafetensors(path: string, tensors: ReadonlyMap<string, SafeTensor>): Promise<void> {
  const sorted = [...tensors].sort(([a], [b]) => (a < b ? -1 : 1));
  const partial = `${path}.partial-${process.pid}`;
  try {
    const file = await open(partial, "w");
    try {
      await file.writeFile(header(sorted));
      for (const [, { values }] of sorted)
        await file.writeFile(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw writeError(error, path);
  }
}

function header(tensors: readonly (readonly [string, SafeTensor])[]): Buffer {
  let offset = 0;
  const entries = tensors.map(([name, { shape, values }]) => {
    const begin = offset;
    offset += values.byteLength;
    return [name, { dtype: "F32", shape, data_offsets: [begin, offset] }] as const;
  });
  // transformers and PEFT refuse a file that does not say whose tensors these are.
  const json = Buffer.from(JSON.stringify({ __metadata__: { format: "pt" }, ...Object.fromEntries(entries) }));
  const padded = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, " ");
  padded.writeBigUInt64LE(BigInt(padded.length - 8));
  json.copy(padded, 8);
  return padded;
}
