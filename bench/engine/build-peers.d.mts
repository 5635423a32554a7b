/** What of it the tests use. */
export function buildPeers<Name extends "plainLoop" | "batchedBench" | "quantize" | "perplexity" | "bench">(
  wanted?: readonly Name[],
): Readonly<Record<Name | "libraries", string>>;
