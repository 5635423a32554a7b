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

/** What one prompt's heads attend to: of a layer and span [heads] shares, of several tokens that look the mean. */
export type AttentionShares = Readonly<Record<number, Readonly<Record<string, readonly number[]>>>>;

interface HeadsOfLayer {
  readonly layer: number;
  readonly heads: number;
}

export function attentionShares(prompt: AttendedPrompt, layers: readonly HeadsOfLayer[]): AttentionShares {
  const { spans } = prompt;
  return Object.fromEntries(
    layers.map(({ layer, heads }) => {
      const { share } = lookedAt(prompt, layer);
      const each = (tokens?: readonly number[]) => Array.from({ length: heads }, (_, head) => share(head, tokens));
      const named = [...spans].map(([name, tokens]) => [name, each(tokens)] as const);
      return [layer, Object.fromEntries([...named, [ELSEWHERE, each()]])];
    }),
  );
}

export function attentionToSpans(
  prompts: readonly AttendedPrompt[],
  layers: readonly HeadsOfLayer[],
  settings = SETTINGS,
): AttentionToSpan[] {
  return sharesOverStrings(
    prompts.map((prompt) => ({ string: prompt.string, shares: attentionShares(prompt, layers) })),
    settings,
    // Names that are numbers would come first of an object's.
    prompts.flatMap(({ spans }) => [...spans.keys()]),
  );
}

/** Of each head and span over the prompts that have the span. @param prompts with the same layers and heads */
export function sharesOverStrings(
  prompts: readonly { readonly string: string; readonly shares: AttentionShares }[],
  settings = SETTINGS,
  order?: readonly string[],
): AttentionToSpan[] {
  const layers = Object.keys(prompts[0]?.shares ?? {}).map(Number);
  const all = new Set(order ?? prompts.flatMap(({ shares }) => Object.keys(shares[layers[0] as number] ?? {})));
  all.delete(ELSEWHERE);
  const names = [...all, ELSEWHERE];
  return layers.flatMap((layer) => {
    const heads = prompts[0]?.shares[layer]?.[ELSEWHERE]?.length ?? 0;
    return Array.from({ length: heads }, (_, head) =>
      names.map((span): AttentionToSpan => {
        const values = prompts.flatMap(({ string, shares }) => {
          const share = shares[layer]?.[span]?.[head];
          return share === undefined ? [] : [{ string, value: share }];
        });
        const mean = values.reduce((sum, { value }) => sum + value, 0) / values.length;
        const share = estimateOverStrings(sumsByString(values), PROPORTION, settings);
        return { layer, head, span, prompts: values.length, mean, share };
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
