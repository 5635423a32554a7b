/** Writes files of states in a thread of its own, while the next one's states are evaluated. */

import { parentPort, Worker, workerData } from "node:worker_threads";
import { WorkQueue } from "../base/work-queue.js";
import { type ErrorCode, InwardError } from "../errors.js";
import { builtScript } from "../model/worker-process.js";
import { type Capture, writeShard, type WrittenShard } from "./states-shard.js";

/** Where the states of one text lie in a room. */
export interface PlacedText {
  /** Of its captured tokens, ascending. */
  readonly positions: readonly number[];
  /** In bytes; `end` is the first byte behind it. */
  readonly begin: number;
  readonly end: number;
}

/** What the thread is told; the room is its own until it has answered. It is shared and not handed over: memory that changes hands keeps both sides' garbage collectors at work. */
interface FileToWrite {
  readonly path: string;
  readonly capture: Capture;
  readonly texts: readonly PlacedText[];
  readonly room: SharedArrayBuffer;
}

type Outcome =
  | { readonly written: WrittenShard }
  | { readonly failed: { readonly code: ErrorCode; readonly message: string } };

/** Where the states of a file lie until they are written. */
export class StatesRoom {
  private used = 0;

  constructor(readonly memory: SharedArrayBuffer) {}

  /** What is still free. */
  rest(): Uint8Array {
    return new Uint8Array(this.memory, this.used);
  }

  /** States that lie at the beginning of the rest, or elsewhere. @returns where they begin */
  put(states: Uint8Array): number {
    const begin = this.used;
    if (states.buffer !== this.memory) this.rest().set(states);
    this.used += states.length;
    return begin;
  }
}

const ROUNDED = 1 << 24;

export class StatesWriter {
  private thread: Worker | undefined;
  /** Of files that are written. */
  private readonly rooms: SharedArrayBuffer[] = [];
  private readonly queue = new WorkQueue();

  /** @param bytes that it has room for */
  room(bytes: number): StatesRoom {
    const kept = this.rooms.pop();
    // Files differ by a text: the room of one has place for the next.
    const made = () => new SharedArrayBuffer(Math.ceil(bytes / ROUNDED) * ROUNDED);
    return new StatesRoom(kept && kept.byteLength >= bytes ? kept : made());
  }

  /** The room is nobody's any more from then on. @throws as writeShard */
  write(path: string, capture: Capture, texts: readonly PlacedText[], room: StatesRoom): Promise<WrittenShard> {
    return this.queue.run(() => this.written({ path, capture, texts, room: room.memory }));
  }

  private written(file: FileToWrite): Promise<WrittenShard> {
    this.thread ??= new Worker(builtScript("./states-writer.js", import.meta.url), { workerData: WRITES });
    const { thread } = this;
    return new Promise((resolve, reject) => {
      const settle = () => {
        thread.off("message", answered);
        thread.off("error", failed);
      };
      const answered = (outcome: Outcome) => {
        settle();
        this.rooms.push(file.room);
        if ("written" in outcome) resolve(outcome.written);
        else reject(new InwardError(outcome.failed.code, outcome.failed.message));
      };
      const failed = (error: Error) => {
        settle();
        this.thread = undefined;
        reject(error);
      };
      thread.on("message", answered);
      thread.on("error", failed);
      thread.postMessage(file);
    });
  }
}

// The thread's side: the thread that evaluates is busy for a second at a time.

const WRITES = "states";
if (workerData === WRITES) {
  parentPort?.on("message", async ({ path, capture, texts, room }: FileToWrite) => {
    const say = (outcome: Outcome) => parentPort?.postMessage(outcome);
    try {
      const states = texts.map(({ positions, begin, end }) => {
        return { positions, bytes: new Uint8Array(room, begin, end - begin) };
      });
      say({ written: await writeShard(path, capture, states) });
    } catch (error) {
      const code = error instanceof InwardError ? error.code : "INTERNAL";
      say({ failed: { code, message: error instanceof Error ? error.message : String(error) } });
    }
  });
}
