/** Turns what the file system says into coded errors. */
import { InwardError } from "../errors.js";

/** @returns the coded error for a failed write, or the error itself when it is no known file-system failure */
export function writeError(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new InwardError("STORE_DISK_FULL", `No space is left to write ${path}.`, { cause: error });
  }
  if (
    code === "EACCES" ||
    code === "EPERM" ||
    code === "EROFS" ||
    code === "ENOTDIR" ||
    code === "EEXIST" ||
    code === "EISDIR"
  ) {
    return new InwardError("STORE_UNWRITABLE", `${path} cannot be written (${code}).`, { cause: error });
  }
  return error;
}
