/** Files that are there whole or not at all: written beside their place, synced, renamed. */
import { open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeError } from "./file-errors.js";

/** @throws STORE_DISK_FULL, STORE_UNWRITABLE; the old file, if any, is then still there */
export async function writeWhole(path: string, content: string): Promise<void> {
  const partial = `${path}.partial-${process.pid}`;
  try {
    const file = await open(partial, "w");
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => {});
    throw writeError(error, path);
  }
}

export function writeJson(path: string, value: unknown): Promise<void> {
  return writeWhole(path, `${JSON.stringify(value, null, 2)}\n`);
}

export function writeJsonLines(path: string, rows: readonly unknown[]): Promise<void> {
  return writeWhole(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
}

/** What a process left that was killed between writing a file and giving it its name. Only for who alone writes to the folder. */
export async function removePartials(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (/\.partial-\d+$/.test(name)) await rm(join(folder, name), { force: true });
  }
}
