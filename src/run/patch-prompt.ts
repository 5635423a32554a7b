/** One patch without a study: what becomes of an answer's distribution when another prompt's state is written into it. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Distribution } from "../ask/expand-distribution.js";
import { measureDistribution } from "../ask/measure-distribution.js";
import { InwardError } from "../errors.js";
import { readSafetensors } from "../finetune/adapter/safetensors.js";
import type { Intervention } from "../model/interventions.js";
import type { LanguageModel } from "../model/language-model.js";
import { parseSites, type Site, siteName, stateShapeOf } from "../model/sites.js";
import { readGguf } from "../gguf/read-gguf.js";
import { chosenTokens, parsePositions } from "../probe/capture.js";
import { alignTokens, type SpanRule } from "../probe/donors.js";
import { propertyNamed } from "../properties/all-properties.js";
import { behaviorDecider, needsSamples, predictionDecider } from "../properties/deciders.js";
import { type ValueEffect, valueEffects } from "../score/simulation/patch-effects.js";
import type { EngineManifest, ModelFile } from "../study/plan.js";
import type { ChatMessage } from "../tasks/answer.js";
import { openModel, type OpenModelOptions, turns } from "./open-model.js";
import { captureStates } from "./states-file.js";

export interface PatchOptions extends OpenModelOptions {
  /** Where, as npx inward states --sites has it; of several all are written in one evaluation. */
  readonly sites: string;
  /** Tokens of the recipient, as --positions has them: `last`, `all`, numbers. Default `last`. */
  readonly at?: string;
  /** Of the donor; default those of `at`. */
  readonly from?: string;
  /** Default `each`: token by token, as many on both sides; `last` the last token of each. */
  readonly rule?: SpanRule;
  /** Default `state`: the donor's state in the place of the recipient's. `difference`: the donor's less that of `instead` is added. */
  readonly write?: "state" | "difference";
  /** With `difference`: a third prompt, whose state is taken off the donor's; default the recipient. */
  readonly instead?: string | readonly ChatMessage[];
  /** Model that the donor is read in, of the same shape: another quantization, say. Default the recipient's. */
  readonly donorModel?: string;
  /** Adapter that it wears there; default the recipient's, `none` for none. */
  readonly donorAdapter?: string;
  /** Also the distribution of a property, of answers (`behavior`) or of replies to a question about it (`prediction`). */
  readonly property?: string;
  readonly reads?: "behavior" | "prediction";
  /** Longest answer, tokens, where a property is read. Default 24. */
  readonly maxTokens?: number;
  /** Tokens reported. Default 10. */
  readonly top?: number;
}

/** Of one token as the answer's first: natural logs at temperature 1 over the full vocabulary. */
export interface PatchedToken {
  readonly id: number;
  readonly text: string;
  readonly before: number;
  readonly after: number;
  /** Of the donor's own prompt, in the recipient's model. */
  readonly donor: number;
}

export interface PatchedPrompt {
  readonly model: ModelFile;
  readonly manifest: EngineManifest;
  readonly sites: readonly string[];
  /** Places of the tokens that are written, and of those whose states they get. */
  readonly tokens: { readonly recipient: readonly number[]; readonly donor: readonly number[] };
  /** Likeliest before, after and for the donor; by how likely after. */
  readonly first: readonly PatchedToken[];
  /**
   * By how many nats the lead of the donor's likeliest token over the recipient's grows: of their logits, since what divides both is the same.
   * 0 where both are one token.
   */
  readonly logitDifference: { readonly toward: string; readonly from: string; readonly change: number };
  /** Half the sum of what changes over the vocabulary, 0 to 1. */
  readonly totalVariation: number;
  readonly property?: {
    readonly name: string;
    readonly before: Distribution;
    readonly after: Distribution;
    readonly effects: readonly ValueEffect[];
  };
}

type PatchPromptText = string | readonly ChatMessage[];

/**
 * Writes what a donor prompt leaves at some sites into a recipient prompt. Change the two about for the other direction: noising writes a
 * donor of which the behavior should go, denoising one that brings it back.
 * @param source registry name, `hf:` URI, or path of a GGUF
 * @throws InwardError USAGE · PROBE_SITE, PROBE_INVALID · PROPERTY_* · MODEL_*, ADAPTER_*, ENGINE_*, CHAT_* · INTERRUPTED
 */
export async function patchPrompt(
  recipient: PatchPromptText,
  donor: PatchPromptText,
  source: string,
  options: PatchOptions,
): Promise<PatchedPrompt> {
  const { sites: named, at = "last", rule = "each", write = "state", top = 10, property } = options;
  const from = options.from ?? at;
  for (const [flag, positions] of [
    ["at", parsePositions(at)],
    ["from", parsePositions(from)],
  ] as const) {
    if (positions.reply && at !== "all" && from !== "all")
      throw new InwardError("USAGE", `${flag} names a reply's tokens: only a prompt's can be patched.`);
  }
  if (options.instead !== undefined && write === "state") {
    throw new InwardError("USAGE", "instead is taken off with write: difference; a state is written as it is.");
  }
  const decide = property === undefined ? undefined : deciderOf(property, options);
  const { sites: _, at: __, from: ___, rule: ____, write: _____, ...open } = options;
  await using model = await openModel(source, open);
  const sites = await sitesIn(named, model.file.path);
  const [own, theirs] = [asMessages(recipient), asMessages(donor)];
  const aligned = await alignedPlaces(model, own, theirs, { at, from, rule });
  const donorOptions = donorOf(options);
  const states = await statesAt(sites, named, theirs, aligned.donor, options.donorModel ?? source, donorOptions);
  const base =
    write === "state"
      ? undefined
      : options.instead === undefined
        ? await statesAt(sites, named, own, aligned.recipient, source, open)
        : await statesAt(sites, named, asMessages(options.instead), aligned.donor, source, open);
  const interventions = sites.map((site): Intervention => {
    const [values, off] = [states.get(siteName(site)), base?.get(siteName(site))];
    if (!values) throw new InwardError("INTERNAL", `No states of ${siteName(site)} were taken.`);
    if (!off) return { site, tokens: aligned.recipient, operation: "replace", values };
    return {
      site,
      tokens: aligned.recipient,
      operation: "add",
      values: values.map((one, index) => one - (off[index] as number)),
    };
  });
  const { vocabularySize } = model.facts;
  const next = async (messages: readonly ChatMessage[], written?: readonly Intervention[]) => {
    const { steps } = await model.nextTokens(messages, [[]], vocabularySize, written ? { interventions: written } : {});
    const logprobs = new Float64Array(vocabularySize).fill(Number.NEGATIVE_INFINITY);
    const [step] = steps;
    for (let place = 0; step && place < step.ids.length; place++) {
      logprobs[step.ids[place] as number] = step.logprobs[place] as number;
    }
    return logprobs;
  };
  const [before, after, ofDonor] = [await next(own), await next(own, interventions), await next(theirs)];
  const likeliest = (logprobs: Float64Array, count: number) =>
    Array.from(logprobs.keys())
      .sort((a, b) => (logprobs[b] as number) - (logprobs[a] as number) || a - b)
      .slice(0, count);
  const listed = [...new Set([after, before, ofDonor].flatMap((one) => likeliest(one, top)))];
  const texts = await model.tokenTexts(listed);
  const first = listed
    .map((id, index): PatchedToken => {
      const { text } = texts[index] as (typeof texts)[number];
      const [was, is, its] = [before[id] as number, after[id] as number, ofDonor[id] as number];
      return { id, text, before: was, after: is, donor: its };
    })
    .sort((a, b) => b.after - a.after || a.id - b.id);
  const [toward, self] = [likeliest(ofDonor, 1)[0] as number, likeliest(before, 1)[0] as number];
  const lead = (logprobs: Float64Array) => (logprobs[toward] as number) - (logprobs[self] as number);
  const textOf = (id: number) => first.find((one) => one.id === id)?.text ?? "";
  const measured = decide && (await measureBoth(model, own, interventions, decide, options));
  return {
    model: model.file,
    manifest: model.manifest,
    sites: sites.map(siteName),
    tokens: { recipient: aligned.recipient, donor: aligned.donor },
    first,
    logitDifference: {
      toward: textOf(toward),
      from: textOf(self),
      change: toward === self ? 0 : lead(after) - lead(before),
    },
    totalVariation:
      before.reduce((sum, one, id) => sum + Math.abs(Math.exp(one) - Math.exp(after[id] as number)), 0) / 2,
    ...(measured && property !== undefined
      ? { property: { name: property, ...measured, effects: valueEffects(measured.before, measured.after) } }
      : {}),
  };
}

function asMessages(prompt: PatchPromptText): readonly ChatMessage[] {
  return typeof prompt === "string" ? turns("", prompt) : prompt;
}

async function sitesIn(named: string, path: string): Promise<Site[]> {
  const sites = parseSites(named, stateShapeOf(await readGguf(path), path));
  if (sites.every(({ part }) => part !== "attention_weights")) return sites;
  throw new InwardError(
    "PROBE_SITE",
    "attention_weights cannot be written; scale heads instead (library: interventions)",
  );
}

async function alignedPlaces(
  model: Pick<LanguageModel, "render">,
  recipient: readonly ChatMessage[],
  donor: readonly ChatMessage[],
  { at, from, rule }: { readonly at: string; readonly from: string; readonly rule: SpanRule },
): Promise<{ readonly recipient: readonly number[]; readonly donor: readonly number[] }> {
  const placesOf = async (messages: readonly ChatMessage[], positions: string, which: string) => {
    const { tokenIds } = await model.render(messages);
    const mask = chosenTokens(parsePositions(positions), tokenIds.length, which);
    return Array.from(mask.keys()).filter((place) => mask[place] === 1);
  };
  const aligned = alignTokens(
    await placesOf(donor, from, "The donor"),
    await placesOf(recipient, at, "The prompt"),
    rule,
  );
  if (aligned.ok) return aligned;
  throw new InwardError("PROBE_INVALID", `The two cannot be aligned: ${aligned.reason}.`);
}

function donorOf(options: PatchOptions): OpenModelOptions {
  const { donorAdapter, adapter, adapterScale, ...rest } = options;
  if (donorAdapter === undefined) return options;
  return donorAdapter === "none" ? rest : { ...rest, adapter: donorAdapter };
}

/** [tokens × width] of each site. */
async function statesAt(
  sites: readonly Site[],
  named: string,
  messages: readonly ChatMessage[],
  places: readonly number[],
  source: string,
  options: OpenModelOptions,
): Promise<ReadonlyMap<string, Float32Array>> {
  const out = await mkdtemp(join(tmpdir(), "inward-patch-"));
  try {
    const { encoding, adapter, adapterScale, forceAdapter, device, engine, signal, offline, chat, system } = options;
    await captureStates([{ id: "donor", messages: [...messages] }], source, {
      ...{ encoding, adapter, adapterScale, forceAdapter, device, engine, signal, offline, chat, system },
      out,
      sites: named,
      positions: places.join(","),
    });
    const tensors = await readSafetensors(join(out, "states-00001.safetensors"));
    return new Map(
      sites.map((site) => {
        const values = tensors.get(siteName(site))?.values;
        if (!values) throw new InwardError("INTERNAL", `No states of ${siteName(site)} were taken.`);
        return [siteName(site), Float32Array.from(values)] as const;
      }),
    );
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}

function deciderOf(name: string, { reads = "behavior" }: PatchOptions) {
  const property = propertyNamed(name);
  if (property.needs !== undefined || property.disposition !== undefined) {
    throw new InwardError(
      "PROPERTY_NOT_APPLICABLE",
      `${name} needs what a lone prompt does not have; a study asks about it.`,
    );
  }
  return reads === "prediction"
    ? { decider: predictionDecider(property), decidedLate: false }
    : {
        decider: behaviorDecider(property, { text: "" }),
        decidedLate: property.kinds.every((kind) => needsSamples(property, kind)),
      };
}

async function measureBoth(
  model: LanguageModel,
  messages: readonly ChatMessage[],
  interventions: readonly Intervention[],
  decide: ReturnType<typeof deciderOf>,
  { maxTokens = 24, signal }: PatchOptions,
): Promise<{ readonly before: Distribution; readonly after: Distribution }> {
  const of = (written?: readonly Intervention[]) =>
    measureDistribution(
      model,
      { messages, ...decide, ...(written ? { interventions: written } : {}) },
      { maxTokens, seed: "patch", signal },
    );
  return { before: await of(), after: await of(interventions) };
}
