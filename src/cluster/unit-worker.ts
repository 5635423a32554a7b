/** A process that does units for the launcher on its machine. */

import { machineLimit } from "../base/files.js";
import { InwardError } from "../errors.js";
import { serveParent } from "../model/worker-process.js";
import type { WorkProgress } from "../run/open-model.js";
import { type UnitOptions, type UnitOutcome, UnitSession } from "./run-unit.js";

export interface UnitMethods {
  open(folder: string): Promise<void>;
  do(id: string, options: Pick<UnitOptions, "threads">): Promise<UnitOutcome>;
  close(): Promise<void>;
}

let session: UnitSession | undefined;

serveParent<UnitMethods, WorkProgress>(
  ({ signal, note }) => ({
    open: async (folder) => {
      session = await UnitSession.of(folder);
    },
    do: async (id, options) => {
      if (!session) throw new InwardError("INTERNAL", "A unit was to be done before its run was opened.");
      return session.do(id, { ...options, signal, onProgress: note });
    },
    close: async () => session?.close(),
  }),
  (error) => machineLimit(error)?.code ?? "INTERNAL",
);
