import { InwardError } from "../../errors.js";
import type { GgufFile, GgufTensor } from "./gguf-file.js";
import { type openModel, readFully } from "./read-gguf.js";

const CHUNK_BYTES = 4 * 2 ** 20;

/** A tensor's bytes as they are, in pieces; each piece is good until the next one is asked for. @throws InwardError MODEL_TRUNCATED */
export async function* copyTensor(
  file: Awaited<ReturnType<typeof openModel>>,
  { path, dataOffset }: GgufFile,
  { offset, byteLength }: GgufTensor,
): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(Math.min(CHUNK_BYTES, byteLength));
  for (let done = 0; done < byteLength; done += buffer.length) {
    const chunk = buffer.subarray(0, Math.min(buffer.length, byteLength - done));
    if ((await readFully(file, chunk, dataOffset + offset + done)) < chunk.length) {
      throw new InwardError("MODEL_TRUNCATED", `${path} became shorter while it was read`);
    }
    yield chunk;
  }
}
