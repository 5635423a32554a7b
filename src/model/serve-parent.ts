/** The worker's side of a WorkerProcess: answers its parent's calls, and ends with it. */
import { type ErrorCode, InwardError } from "../errors.js";
import type { WorkerRequest, WorkerResponse } from "./worker-process.js";

/** What goes with a call. */
export interface ServedCall<Note> {
  /** Aborted when the parent says so. */
  readonly signal: AbortSignal;
  /** Sends something ahead of the result. */
  readonly note: (note: Note) => void;
}

/**
 * @param answer what the result of a call is; structured clones go to the parent
 * @param codeOf the code of an error that is no InwardError
 */
export function serveParent<Call extends { readonly call: string }, Note = never>(
  answer: (call: Call, context: ServedCall<Note>) => unknown,
  codeOf: (error: unknown) => ErrorCode,
): void {
  const running = new Map<number, AbortController>();
  const send = (response: WorkerResponse<Note>) => {
    if (process.connected) process.send?.(response);
  };
  // Ctrl-C reaches the whole process group: the parent decides when to stop.
  process.on("SIGINT", () => {});
  process.on("disconnect", () => process.exit(0));
  process.on("message", async (message: WorkerRequest<Call>) => {
    if ("abort" in message) {
      running.get(message.abort)?.abort();
      return;
    }
    const { id } = message;
    const controller = new AbortController();
    running.set(id, controller);
    try {
      const result = await answer(message, { signal: controller.signal, note: (note) => send({ id, note }) });
      send({ id, result });
    } catch (error) {
      const code = error instanceof InwardError ? error.code : codeOf(error);
      send({ id, error: { code, message: error instanceof Error ? error.message : String(error) } });
    } finally {
      running.delete(id);
    }
  });
}
