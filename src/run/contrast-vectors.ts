/** Contrast vectors: the mean difference of states between the two sides of pairs of prompts, by site, as a file. */

import { resolve } from "node:path";
import { canonicalJson, hashOf } from "../base/files.js";
import { INWARD_VERSION } from "../base/version.js";
import { InwardError } from "../errors.js";
import { openTokenizer } from "../model/engines/start-engine.js";
import { tokensByName } from "../probe/chosen-turns.js";
import { CONTRAST_SETTINGS, type StateContrast, contrastOf, linkedPairs, MOST_PAIRS } from "../probe/state-contrast.js";
import { type DirectionsCard, writeDirections } from "../probe/direction-file.js";
import type { ChatMessage } from "../tasks/answer.js";
import { captureBeside, meansOfTokens } from "./captured-states.js";
import { findModel, type FoundModel, type OpenModelOptions } from "./open-model.js";
import { parsePromptPairs } from "./prompt-pairs.js";
import type { StatesPrompt } from "./states-file.js";

/** Two prompts that differ in what the direction is to be of. */
export interface ContrastPair {
  readonly id: string;
  readonly positive: readonly ChatMessage[];
  readonly negative: readonly ChatMessage[];
}

export interface ContrastOptions extends OpenModelOptions {
  /** The safetensors to write. States are beside it, in `<out>.states`, until it is there. */
  readonly out: string;
  /** As captureStates has them. Default `residual_after`: after every layer. */
  readonly sites?: string;
  /** Of which tokens of each prompt, of several the mean: TURN_SPANS but all, reply and onward; turn_<n>; numbers. Default `last`. */
  readonly span?: string;
  /** Of the folds and the draws. Default 0. */
  readonly seed?: number;
  readonly keepStates?: boolean;
  readonly onFound?: (model: FoundModel) => void;
}

export interface MadeContrast {
  /** Absolute. */
  readonly out: string;
  readonly pairs: number;
  /** Prompts that were captured: each once. */
  readonly prompts: number;
  readonly sites: readonly ({ readonly site: string } & Omit<StateContrast, "direction">)[];
  readonly card: DirectionsCard;
}

/** @param bytes JSONL: `positive` and `negative`, each a prompt or its messages; `id` and `system` where wanted @throws PROMPTS_INVALID with the line */
export function parsePairs(bytes: Uint8Array, path: string): ContrastPair[] {
  return parsePromptPairs(bytes, path, ["positive", "negative"], { system: true });
}

const keyOf = (messages: readonly ChatMessage[]) => canonicalJson(messages);

/**
 * Captures both sides of every pair, each prompt once, and writes the mean differences. The same call goes on where an earlier one ended.
 * @throws InwardError PROBE_SITE, PROBE_INVALID · as captureStates
 */
export async function makeContrast(
  pairs: readonly ContrastPair[],
  source: string,
  options: ContrastOptions,
): Promise<MadeContrast> {
  const { sites = "residual_after", span = "last", seed = 0, keepStates, onFound, ...common } = options;
  if (pairs.length > MOST_PAIRS) {
    throw new InwardError("PROBE_INVALID", `A contrast is of ${MOST_PAIRS} pairs at most, not of ${pairs.length}.`);
  }
  if (sites.includes("attention_weights")) {
    throw new InwardError(
      "PROBE_SITE",
      "Attention weights have as many numbers as their text: they have no direction.",
    );
  }
  const out = resolve(options.out);
  const found = await findModel(source, common);
  onFound?.(found);
  const prompts = await promptsOf(pairs, span, found);
  const captured = await captureBeside([...prompts.values()], source, { ...common, out, sites });
  const { manifest } = captured;
  const means = meansOfTokens(captured.states);
  const groups = linkedPairs(pairs.map(({ positive, negative }) => [keyOf(positive), keyOf(negative)]));
  const matrix = (site: string, which: "positive" | "negative") => {
    const rows = pairs.map(
      (pair) => means.get(site)?.get((prompts.get(keyOf(pair[which])) as StatesPrompt).id) as Float32Array,
    );
    const width = rows[0]?.length ?? 0;
    const values = new Float32Array(rows.length * width);
    rows.forEach((row, at) => {
      values.set(row, at * width);
    });
    return { values, width };
  };
  const made = manifest.sites.map(({ name }) => {
    const settings = { ...CONTRAST_SETTINGS, bootstrapSeed: seed };
    return { site: name, ...contrastOf(matrix(name, "positive"), matrix(name, "negative"), groups, settings) };
  });
  const flat = made.find(({ norm }) => norm === 0);
  if (flat)
    throw new InwardError(
      "PROBE_INVALID",
      `At ${flat.site} both sides of all pairs have the same mean: there is no direction.`,
    );
  const card: DirectionsCard = {
    what: "contrast",
    inward: INWARD_VERSION,
    model: manifest.model,
    ...(manifest.adapter === undefined ? {} : { adapter: manifest.adapter }),
    span,
    pairs: { count: pairs.length, sha256: hashOf(pairs) },
    sites: Object.fromEntries(
      made.map(({ site, norm, stateNorm, separation }) => [site, { norm, stateNorm, separation }]),
    ),
  };
  await writeDirections(out, new Map(made.map(({ site, direction }) => [site, direction])), card);
  if (!keepStates) await captured.drop();
  return {
    out,
    pairs: pairs.length,
    prompts: captured.prompts,
    sites: made.map(({ direction: _, ...facts }) => facts),
    card,
  };
}

/** By their messages, each once. */
async function promptsOf(
  pairs: readonly ContrastPair[],
  span: string,
  { file, chat }: FoundModel,
): Promise<Map<string, StatesPrompt>> {
  const asked = new Map<string, { readonly id: string; readonly messages: readonly ChatMessage[] }>();
  for (const { id, positive, negative } of pairs) {
    for (const [which, messages] of Object.entries({ positive, negative })) {
      if (!asked.has(keyOf(messages))) asked.set(keyOf(messages), { id: `${id}/${which}`, messages });
    }
  }
  const tokenizer = await openTokenizer(file.path, chat);
  try {
    const all = [...asked.values()];
    const located = await tokenizer.locate(all.map(({ messages }) => messages));
    const prompts = [...asked].map(([key, { id, messages }], at) => {
      const one = located[at] as (typeof located)[number];
      const tokens = tokensByName(span, one, messages, { which: `Pair ${id}` });
      if ("from" in tokens) {
        throw new InwardError("PROBE_INVALID", `The span ${span} reaches into the reply, and pairs have none.`);
      }
      return [key, { id, messages, tokens }] as const;
    });
    return new Map(prompts);
  } finally {
    await tokenizer.dispose();
  }
}
