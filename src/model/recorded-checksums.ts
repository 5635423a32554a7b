// checksums.json in the model folder: what a file was when it first came, enforced ever after.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { InwardError } from "../errors.js";
import { modelFolderError } from "./model-folder.js";

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);
const recordSchema = z.strictObject({
  sha256: sha256Schema,
  bytes: z.number().int().nonnegative(),
  /** Where it came from, for a reader. */
  origin: z.string(),
  reencodedFrom: z.strictObject({ sha256: sha256Schema, encoding: z.string() }).optional(),
});
const fileSchema = z.strictObject({ checksumsVersion: z.literal(1), files: z.record(z.string(), recordSchema) });

export type RecordedChecksum = z.infer<typeof recordSchema>;

/** All records by file name. @throws InwardError MODEL_FOLDER when the file is there and unreadable */
export function recordedChecksums(folder: string): Readonly<Record<string, RecordedChecksum>> {
  const path = join(folder, "checksums.json");
  if (!existsSync(path)) return {};
  let data: unknown;
  try {
    data = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new InwardError("MODEL_FOLDER", `${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  const parsed = fileSchema.safeParse(data);
  if (parsed.success) return parsed.data.files;
  const issue = parsed.error.issues[0];
  throw new InwardError("MODEL_FOLDER", `${path}: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "not valid"}`);
}

/** @throws InwardError MODEL_FOLDER */
export function recordChecksum(folder: string, fileName: string, record: RecordedChecksum): void {
  const files = { ...recordedChecksums(folder), [fileName]: record };
  const path = join(folder, "checksums.json");
  const partial = `${path}.partial-${process.pid}`;
  try {
    writeFileSync(partial, `${JSON.stringify({ checksumsVersion: 1, files }, null, 2)}\n`);
    renameSync(partial, path);
  } catch (error) {
    throw modelFolderError(error, `cannot write ${path}`);
  }
}
