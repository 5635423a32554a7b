/** How much each attention head looks from some tokens at the spans of a prompt. */

import type { Estimate } from "../score/interval.js";
import type { ResamplingSettings } from "../score/resampling.js";
import { PROPORTION } from "../score/tally.js";
import { estimateOverStrings, sumsByString } from "./string-estimates.js";

/** Tokens of one prompt. */
export interface PromptSpans {
  /** Those that look. */
  readonly from: readonly number[];
  /** By name, what they look at; spans may share tokens. */
  readonly spans: ReadonlyMap<string, readonly number[]>;
}

export interface AttendedPrompt extends PromptSpans {
  readonly string: string;
  /** Of a layer [tokens that look × heads × keys], in the order of `from`. */
  readonly weights: (layer: number) => {
    readonly values: Float32Array;
    readonly dimensions: readonly number[];
  };
}

/** Of one head, shares of what it attends to, over the prompts that have the span. */
export interface AttentionToSpan {
  readonly layer: number;
  readonly head: number;
  /** `elsewhere`: tokens of none of them. */
  readonly span: string;
  readonly prompts: number;
  readonly mean: number;
  readonly share: Estimate;
}

const ELSEWHERE = "elsewhere";
const SETTINGS: ResamplingSettings = { confidence: 0.95, bootstrapReplicates: 1000, bootstrapSeed: 0 };

/** Of several tokens that look, the mean. */
export function attentionToSpans(
  prompts: readonly AttendedPrompt[],
  layers: readonly { readonly layer: number; readonly heads: number }[],
  settings = SETTINGS,
): AttentionToSpan[] {
  const names = [...new Set(prompts.flatMap(({ spans }) => [...spans.keys()])), ELSEWHERE];
  return layers.flatMap(({ layer, heads }) => {
    const looked = prompts.map((prompt) => ({ ...prompt, ...lookedAt(prompt, layer) }));
    return Array.from({ length: heads }, (_, head) =>
      names.flatMap((span): AttentionToSpan[] => {
        const values = looked.flatMap(({ string, spans, share }) => {
          const tokens = span === ELSEWHERE ? undefined : spans.get(span);
          if (span !== ELSEWHERE && tokens === undefined) return [];
          return [{ string, value: share(head, tokens) }];
        });
        const mean = values.reduce((sum, { value }) => sum + value, 0) / values.length;
        return [
          {
            layer,
            head,
            span,
            prompts: values.length,
            mean,
            share: estimateOverStrings(sumsByString(values), PROPORTION, settings),
          },
        ];
      }),
    ).flat();
  });
}

function lookedAt({ from, spans, weights }: AttendedPrompt, layer: number) {
  const { values, dimensions } = weights(layer);
  const [heads = 0, keys = 0] = dimensions;
  const named = new Set([...spans.values()].flat());
  const at = (row: number, head: number, key: number) => values[(row * heads + head) * keys + key] as number;
  /** @param tokens those of no span when absent */
  const share = (head: number, tokens?: readonly number[]) => {
    let sum = 0;
    for (const [row, place] of from.entries()) {
      const looked = tokens ?? Array.from({ length: place + 1 }, (_, key) => key).filter((key) => !named.has(key));
      // A token sees none after itself.
      for (const key of looked) if (key <= place) sum += at(row, head, key);
    }
    return Math.min(1, sum / from.length);
  };
  return { share };
}
