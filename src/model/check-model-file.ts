// The one gate that every model file passes before use: readable, runnable, and with the checksum that is expected.
import { type ErrorCode, InwardError } from "../errors.js";
import { type HashOptions, remember, rememberedSha256, sha256OfFile } from "./checksum.js";
import { type GgufSummary, inspectGguf, requireRunnable } from "./gguf/inspect-gguf.js";
import { setAside } from "./set-aside.js";

export interface ModelFileCheck extends HashOptions {
  readonly folder: string;
  readonly path: string;
  /** Lies in the model folder, so that a bad one is set aside; a file of others is left alone. */
  readonly owned: boolean;
  /** What to call it in progress reports and when it is set aside; its own name unless given. */
  readonly name?: string | undefined;
  readonly expectedSha256?: string | undefined;
  /** Reads the whole file even when it has not changed since it was last read. */
  readonly rehash?: boolean;
}

export interface CheckedModelFile {
  readonly summary: GgufSummary;
  readonly sha256: string;
}

/** These say that the file itself is bad; anything else may be the machine's fault. */
const BAD_FILE: readonly ErrorCode[] = [
  "MODEL_CHECKSUM",
  "MODEL_TRUNCATED",
  "MODEL_NOT_GGUF",
  "MODEL_ARCHITECTURE",
  "MODEL_NO_VOCABULARY",
  "MODEL_NO_CHAT_TEMPLATE",
];

/** @throws InwardError one of BAD_FILE, saying where the file went · MODEL_NOT_FOUND · MODEL_TENSOR_TYPE · INTERRUPTED */
export async function checkModelFile(check: ModelFileCheck): Promise<CheckedModelFile> {
  try {
    const summary = await inspectGguf(check.path);
    requireRunnable(summary);
    const sha256 = await hash(check);
    if (check.expectedSha256 !== undefined && sha256 !== check.expectedSha256) {
      throw new InwardError(
        "MODEL_CHECKSUM",
        `${check.path} has sha256 ${sha256}, but ${check.expectedSha256} is expected`,
      );
    }
    return { summary, sha256 };
  } catch (error) {
    if (!(error instanceof InwardError) || !BAD_FILE.includes(error.code)) throw error;
    const fate = check.owned
      ? setAside(check.folder, check.path, check.name)
      : "it is not inward's own, so it stays where it is";
    throw new InwardError(error.code, `${error.message}; ${fate}`, { cause: error });
  }
}

/** Whether a check failed because of the file, so that another source may still help. */
export function isBadFile(error: unknown): error is InwardError {
  return error instanceof InwardError && BAD_FILE.includes(error.code);
}

async function hash(check: ModelFileCheck): Promise<string> {
  if (!check.rehash) return rememberedSha256(check.folder, check.path, check);
  const sha256 = await sha256OfFile(check.path, check);
  remember(check.folder, check.path, sha256);
  return sha256;
}
