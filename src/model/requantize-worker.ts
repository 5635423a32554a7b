/** Entry of the re-encoder's worker process: what aborts in ggml ends this process and no other. */

import { loadAddon, nativeCode } from "./native/addon.js";
import type { ReencoderMethods } from "./requantize.js";
import { serveParent } from "./worker-process.js";

serveParent<ReencoderMethods>(
  () => ({
    requantize: async (options) => (await loadAddon(options.binariesFolder)).requantize(options),
  }),
  (error) => nativeCode(error) ?? "ENGINE_CRASHED",
);
