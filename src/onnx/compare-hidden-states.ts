/** Residuals at every layer's border: what our forward pass captures against outputs of the ONNX graph, token by token. */

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { InwardError } from "../errors.js";
import { readSafetensors } from "../finetune/adapter/safetensors.js";
import { readGguf } from "../gguf/read-gguf.js";
import type { ChatFormat } from "../model/chat/format.js";
import type { AskRequest, RenderedPrompt } from "../model/language-model.js";
import type { ModelCheck } from "../model/language-model.js";
import { startCaptureProcess } from "../probe/capture.js";
import { parseSites, type Site, siteName, stateShapeOf } from "../model/sites.js";
import type { SettledEngine } from "../study/study.js";
import { hiddenStateName } from "./decoder-graph.js";
import type { OnnxEngine } from "./onnx-engine.js";

/**
 * Of the greatest number of a token's vector: two passes in single precision whose sums have other orders. Residuals hold thousands, so that
 * an absolute bound would say nothing of the small ones. SmolLM2-135M's 30 layers come to a sixth of it; a layer that computes something else is
 * far beyond.
 */
export const STATES_SHARE = 5e-5;
const MOST_EXAMPLES = 5;

interface CompareHiddenStatesRequest {
  readonly chat: ChatFormat;
  readonly settings: SettledEngine;
  readonly requests: readonly Pick<AskRequest, "messages">[];
  /** [requests] as they were asked. */
  readonly prompts: readonly RenderedPrompt[];
  /** A file of states is made there, and removed. */
  readonly folder: string;
  /** That gives out hidden states. */
  readonly graph: Pick<OnnxEngine, "hiddenStates">;
  readonly signal?: AbortSignal | undefined;
}

/** @throws ENGINE_*, MODEL_*, ONNX_RUN · INTERRUPTED */
export async function compareHiddenStates(path: string, request: CompareHiddenStatesRequest): Promise<ModelCheck> {
  const { prompts, graph } = request;
  const shape = stateShapeOf(await readGguf(path), path);
  const sites = parseSites("residual", shape);
  const ours = await capturedStates(path, sites, shape, request);
  const names = sites.map((_, layer) => hiddenStateName(layer));
  const apart = sites.map(() => 0);
  let row = 0;
  for (const { tokenIds } of prompts) {
    const theirs = await graph.hiddenStates(tokenIds, names);
    for (const [at, site] of sites.entries()) {
      const own = ours.get(siteName(site))?.values;
      const other = theirs[names[at] as string];
      if (own === undefined || other?.length !== tokenIds.length * shape.embedding)
        throw new InwardError("INTERNAL", `There are no states of ${siteName(site)}.`);
      const from = row * shape.embedding;
      const worst = farthestShare(own.subarray(from, from + other.length), other, shape.embedding);
      apart[at] = Math.max(apart[at] as number, worst);
    }
    row += tokenIds.length;
  }
  const most = Math.max(...apart);
  const beyond = sites.flatMap((site, at) =>
    (apart[at] as number) <= STATES_SHARE ? [] : [{ site, apart: apart[at] }],
  );
  const share = (value: number | undefined) => (value ?? 0).toPrecision(2);
  const worst = sites[apart.indexOf(most)] as Site;
  return {
    check: "hidden states, every layer",
    verdict: beyond.length > 0 ? "mismatch" : "ok",
    found:
      `residuals at ${sites.length} borders of layers, ${row} tokens of ${prompts.length} prompts, differ by ${share(most)} of a vector's greatest number at most ` +
      `(allowed ${STATES_SHARE}), at ${siteName(worst)}${beyond[0] ? `; the first beyond is ${siteName(beyond[0].site)}` : ""}`,
    ...(beyond.length > 0
      ? { examples: beyond.slice(0, MOST_EXAMPLES).map(({ site, apart: by }) => `${siteName(site)}: ${share(by)}`) }
      : {}),
  };
}

async function capturedStates(
  path: string,
  sites: readonly Site[],
  shape: ReturnType<typeof stateShapeOf>,
  { chat, settings, requests, folder, signal }: CompareHiddenStatesRequest,
) {
  const process = startCaptureProcess(settings);
  const file = join(folder, "states.safetensors");
  try {
    await process.call("open", [path, { settings, chat }], { signal });
    const asked = requests.map(({ messages }) => ({ messages, maxTokens: 0, temperature: 0, topTokens: 0 }));
    const capture = { sites, shape, dtype: "f32" } as const;
    const positions = requests.map(() => ({ prompt: "all", reply: false }) as const);
    await process.call("shard", [{ path: file, requests: asked, capture, positions }], { signal });
    return await readSafetensors(file);
  } finally {
    await process.end();
    await rm(file, { force: true });
  }
}

/** @returns over tokens, the largest difference divided by the greatest number of its vector; infinite for what is no number */
export function farthestShare(own: Float32Array, other: Float32Array, embedding: number): number {
  let most = 0;
  for (let from = 0; from < own.length; from += embedding) {
    let [apart, greatest] = [0, 0];
    for (let at = from; at < from + embedding; at++) {
      const [a, b] = [own[at] as number, other[at] as number];
      greatest = Math.max(greatest, Math.abs(a), Math.abs(b));
      apart = Math.max(apart, Math.abs(a - b));
    }
    const share = apart === 0 ? 0 : apart / greatest;
    if (!(share <= most)) most = Number.isNaN(share) ? Number.POSITIVE_INFINITY : share;
  }
  return most;
}
