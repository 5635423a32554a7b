/** Entry of the thread that writes files of states: the thread that evaluates is busy for a second at a time. */

import { parentPort } from "node:worker_threads";
import { InwardError } from "../errors.js";
import { writeShard } from "./states-shard.js";
import type { FileToWrite, WrittenFile } from "./states-writer.js";

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
