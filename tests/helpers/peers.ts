/** Programs of llama.cpp that are built from the bundle, for tests that hold ours against them. */
import { buildPeers } from "../../bench/engine/build-peers.mjs";

export interface Peer {
  /** Absent where it cannot be built. */
  readonly program?: string;
  /** Where it finds llama.cpp's kernels: the folder that it has to be started in. */
  readonly libraries?: string;
  /** For a test's name: why it is skipped. */
  readonly note: string;
}

/** Seconds the first time. @param name as bench/engine/build-peers.mjs has it */
export function peerProgram(name: "quantize" | "perplexity" | "bench"): Peer {
  try {
    const built = buildPeers([name]);
    return { program: built[name], libraries: built.libraries, note: "" };
  } catch (error) {
    return { note: `(not built: ${(error as Error).message})` };
  }
}
