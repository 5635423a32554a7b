/** Writes files of states in a thread of its own, while the next one's states are evaluated. */

import { parentPort, Worker, workerData } from "node:worker_threads";
import { WorkQueue } from "../base/work-queue.js";
import { type ErrorCode, InwardError } from "../errors.js";
import { builtScript } from "../model/worker-process.js";
import { type Capture, writeShard } from "./states-shard.js";

/** Where the states of one text lie in a room. */
export interface PlacedText {
  /** Of its captured tokens, ascending. */
  readonly positions: readonly number[];
  /** In bytes; `end` is the first byte behind it. */
  readonly begin: number;
  readonly end: number;
}

/** What the thread is told; the room is its own until it has answered. */
interface FileToWrite {
  readonly path: string;
  readonly capture: Capture;
  readonly texts: readonly PlacedText[];
  readonly room: ArrayBuffer;
}

type WrittenFile = { readonly room: ArrayBuffer } & (
  | { readonly bytes: number }
  | { readonly failed: { readonly code: ErrorCode; readonly message: string } }
);

/** Where the states of a file lie until they are written. */
export class StatesRoom {
  private used = 0;

  constructor(private readonly room: ArrayBuffer) {}

  /** What is still free. */
  rest(): Uint8Array {
    return new Uint8Array(this.room, this.used);
  }

  /** States that lie at the beginning of the rest, or elsewhere. @returns where they begin */
  put(states: Uint8Array): number {
    const begin = this.used;
    if (states.buffer !== this.room) this.rest().set(states);
    this.used += states.length;
    return begin;
  }

  /** The room is nobody's any more here. */
  give(): ArrayBuffer {
    return this.room;
  }
}

export class StatesWriter {
  private thread: Worker | undefined;
  /** Of files that are written. Memory that is taken anew for each keeps the garbage collector at work. */
  private readonly rooms: ArrayBuffer[] = [];
  private readonly queue = new WorkQueue();

  /** @param bytes that it has room for */
  room(bytes: number): StatesRoom {
    const kept = this.rooms.pop();
    return new StatesRoom(kept && kept.byteLength >= bytes ? kept : new ArrayBuffer(bytes));
  }

  /** @returns bytes of the file @throws as writeShard */
  write(path: string, capture: Capture, texts: readonly PlacedText[], room: StatesRoom): Promise<number> {
    return this.queue.run(() => this.written({ path, capture, texts, room: room.give() }));
  }

  private written(file: FileToWrite): Promise<number> {
    this.thread ??= new Worker(builtScript("./states-writer.js", import.meta.url), { workerData: WRITES });
    const { thread } = this;
    return new Promise((resolve, reject) => {
      const settle = () => {
        thread.off("message", answered);
        thread.off("error", failed);
      };
      const answered = (written: WrittenFile) => {
        settle();
        this.rooms.push(written.room);
        if ("bytes" in written) resolve(written.bytes);
        else reject(new InwardError(written.failed.code, written.failed.message));
      };
      const failed = (error: Error) => {
        settle();
        this.thread = undefined;
        reject(error);
      };
      thread.on("message", answered);
      thread.on("error", failed);
      thread.postMessage(file, [file.room]);
    });
  }
}

// The thread's side: the thread that evaluates is busy for a second at a time.

const WRITES = "states";
if (workerData === WRITES) {
  parentPort?.on("message", async ({ path, capture, texts, room }: FileToWrite) => {
    const say = (written: WrittenFile) => parentPort?.postMessage(written, [room]);
    try {
      const states = texts.map(({ positions, begin, end }) => {
        return { positions, bytes: new Uint8Array(room, begin, end - begin) };
      });
      say({ room, bytes: await writeShard(path, capture, states) });
    } catch (error) {
      const code = error instanceof InwardError ? error.code : "INTERNAL";
      say({ room, failed: { code, message: error instanceof Error ? error.message : String(error) } });
    }
  });
}
