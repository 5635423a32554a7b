/** Timings and incidents of a run, appended to events.jsonl: everything about a run that may differ between two equal ones. */
import { appendFileSync } from "node:fs";
import { writeError } from "./file-errors.js";

export class EventLog {
  constructor(private readonly path: string) {}

  add(event: string, details: Readonly<Record<string, unknown>> = {}): void {
    try {
      appendFileSync(this.path, `${JSON.stringify({ time: new Date().toISOString(), event, ...details })}\n`);
    } catch (error) {
      throw writeError(error, this.path);
    }
  }
}
