/** Entry of the re-encoder's worker process: what aborts in ggml ends this process and no other. */
import { loadAddon } from "./native/load-addon.js";
import { nativeCode } from "./native/native-code.js";
import type { RequantizeCall } from "./requantize.js";
import { serveParent } from "./serve-parent.js";

serveParent<RequantizeCall>(
  async ({ options }) => {
    (await loadAddon(options.binariesFolder)).requantize(options);
    return null;
  },
  (error) => nativeCode(error) ?? "ENGINE_CRASHED",
);
