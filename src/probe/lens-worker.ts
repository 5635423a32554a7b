/** Entry of the process that reads lenses: the end of one model, and the lenses that were found or taken for it. */

import { InwardError } from "../errors.js";
import { findBinaries, loadAddon, type NativeAddon, nativeCode } from "../model/native/addon.js";
import { serveParent } from "../model/worker-process.js";
import type { LensMethods } from "./lens-process.js";
import { lensDivergences, type MultiplyRows, readLens, Unembedding } from "./lens-readings.js";
import { affineLens, type Lens, tuneLens } from "./lens-tuned.js";
import type { RowMatrix } from "./linear-probe.js";

let unembedding: Unembedding | undefined;
const kept = new Map<string, Lens>();

serveParent<LensMethods>(
  () => ({
    async open(modelPath) {
      unembedding = await Unembedding.open(modelPath, rowsBy(await loadAddon(findBinaries("cpu").folder)));
      return { width: unembedding.width, vocabulary: unembedding.vocabulary };
    },
    read: (states, targets, through) => readLens(opened(), lensed(states, through), targets),
    async tune(name, states, ends, about, settings) {
      const { lens, ...summary } = await tuneLens(opened(), states, ends, about, settings);
      kept.set(name, lens);
      return { ...summary, ridge: lens.ridge };
    },
    take(name, map) {
      kept.set(name, affineLens(map));
    },
    divergences: (ends, states, through) => lensDivergences(opened(), ends, lensed(states, through)),
    forget: () => kept.clear(),
  }),
  (error) => nativeCode(error) ?? "ENGINE_CRASHED",
);

function opened(): Unembedding {
  if (!unembedding) throw new InwardError("INTERNAL", "The worker was asked before it opened a model.");
  return unembedding;
}

function lensed(states: RowMatrix, through: string | undefined): RowMatrix {
  if (through === undefined) return states;
  const lens = kept.get(through);
  if (!lens) throw new InwardError("INTERNAL", `The worker has no lens ${through}.`);
  return lens.apply(states);
}

/** The widest kernels that this processor has. */
function rowsBy({ multiply }: NativeAddon): MultiplyRows {
  const none = new Float32Array(0);
  const kernels = (["avx512", "avx2"] as const).find((name) => {
    try {
      multiply({ m: 0, n: 0, k: 0, a: none, b: none, c: none, factor: 1 }, name);
      return true;
    } catch {
      return false;
    }
  });
  return (a, m, b, n, k) =>
    multiply({ m, n, k, a, b, turnB: true, factor: 1, c: new Float32Array(m * n) }, kernels ?? "plain");
}
