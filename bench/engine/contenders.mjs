// Who takes part in engine-items-per-second.mjs: driver, what it is told besides the work, and the numbers of sequences to choose from.
import { BLAS_PLUGIN_ENV } from "./blas-plugin.mjs";
import { buildPeers } from "./build-peers.mjs";

/**
 * @param cacheType numbers that keys and values are kept as, for all but node-llama-cpp, which has f16
 * @returns contenders by name, the engine's own first and called `native`; and why others are left out, by name
 */
export function contendersFor(load, cacheType) {
  const contenders = {
    native: { driver: "ask-native.mjs", request: { cacheType }, sequences: [8, 16, 32] },
    "native, flash attention": {
      driver: "ask-native.mjs",
      request: { cacheType, flashAttention: true },
      sequences: [32, 48],
    },
    // It uses no BLAS, so that there is one of it.
    "native, own forward": {
      driver: "ask-native.mjs",
      request: { cacheType, forward: "own" },
      sequences: [16, 32, 48],
    },
    "node-llama-cpp": { driver: "ask-node-llama-cpp.mjs", request: {}, sequences: [8, 16, 32] },
    // What its user can do by hand: a sequence erases only what the next prompt does not share.
    "node-llama-cpp, prefix kept": {
      driver: "ask-node-llama-cpp.mjs",
      request: { keepsPrefix: true },
      sequences: [4, 8],
    },
  };
  const leftOut = {};
  for (const name of ["native", "native, flash attention"]) {
    const plugin = `${name}, BLAS plugin`;
    if (BLAS_PLUGIN_ENV) contenders[plugin] = { ...contenders[name], env: BLAS_PLUGIN_ENV };
    else leftOut[plugin] = "node scripts/build-blas-plugin.mjs has not built it";
  }
  if (load === "lone") Object.assign(contenders, loopsOnLlamaCpp(cacheType, leftOut));
  return { contenders, leftOut };
}

/** They share nothing, so they are peers only where there is nothing to share. */
function loopsOnLlamaCpp(cacheType, leftOut) {
  try {
    const request = { peers: buildPeers(["plainLoop", "batchedBench"]), cacheType };
    const loop = { driver: "ask-plain-loop.mjs", request, sequences: [16, 32] };
    return {
      "plain C loop": loop,
      ...(BLAS_PLUGIN_ENV ? { "plain C loop, BLAS plugin": { ...loop, env: BLAS_PLUGIN_ENV } } : {}),
      "llama-batched-bench": { driver: "ask-batched-bench.mjs", request, sequences: [8, 16] },
    };
  } catch (error) {
    leftOut["plain C loop, llama-batched-bench"] = error.message;
    return {};
  }
}
