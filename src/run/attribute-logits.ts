/** Direct logit attribution of a file of prompts: which parts of a model write the answer that it is about to give, beside what they write for others. */

import { resolve } from "node:path";
import { writeJsonLines } from "../base/files.js";
import { InwardError } from "../errors.js";
import { readGguf } from "../gguf/read-gguf.js";
import { openTokenizer } from "../model/engines/start-engine.js";
import { siteName, stateShapeOf } from "../model/sites.js";
import {
  type AttributedLogits,
  attributionSites,
  LogitAttribution,
  type LogitPart,
} from "../probe/logit-attribution.js";
import { type PartEffect, partEffects } from "../probe/part-effects.js";
import type { EngineManifest } from "../study/plan.js";
import { captureBeside, type StatesBySite } from "./captured-states.js";
import { choiceTokens, givenChoices, requireTwoChoices } from "./given-choices.js";
import { findModel, type FoundModel, type OpenModelOptions } from "./open-model.js";
import type { PromptLine } from "./prompt-lines.js";
import { estimateStates, type StatesEstimate } from "./states-file.js";

export interface AttributionOptions extends OpenModelOptions {
  /** JSONL to write. States are beside it, in `<out>.states`, until it is there. */
  readonly out: string;
  /** Answers whose first tokens are looked at, two or more. */
  readonly choices: readonly string[];
  /** Key of each line that says which choice is its own; what the model itself says likeliest when absent. */
  readonly valueKey?: string;
  readonly keepStates?: boolean;
  readonly onFound?: (model: FoundModel) => void;
}

/** A line of the file: one component of one prompt. */
export interface AttributedLine {
  readonly id: string;
  readonly component: string;
  /** `part`: these sum to the logits. `of_attention`: these sum to attention's parts. */
  readonly kind: "part" | "of_attention";
  /** By choice. */
  readonly logits: Readonly<Record<string, number>>;
  readonly meta?: Readonly<Record<string, unknown>>;
}

export interface AttributedPrompt extends Omit<AttributedLogits, "parts" | "heads"> {
  readonly id: string;
  /** Number of its own choice. */
  readonly own: number;
}

export interface AttributedFile {
  /** Absolute. */
  readonly out: string;
  readonly lines: number;
  readonly choices: readonly string[];
  readonly prompts: readonly AttributedPrompt[];
  /** Logits are capped by this model: parts sum to what they are before. */
  readonly hasCap: boolean;
  readonly engines: readonly EngineManifest[];
  /** Of each component, in the order of the layers. */
  readonly effects: readonly PartEffect[];
}

/** What capturing takes, before any weight is read. @throws as attributeLogits */
export async function estimateAttribution(
  prompts: readonly PromptLine[],
  source: string,
  options: Omit<AttributionOptions, "out">,
): Promise<StatesEstimate> {
  requireTwoChoices(options.choices);
  const { sites } = await sitesOf(source, options);
  return estimateStates(withoutMeta(prompts), source, { ...captureOptions(options), sites });
}

/**
 * @param source registry name, `hf:` URI, or path of a GGUF
 * @throws InwardError USAGE · PROBE_INVALID an architecture whose end is not known, choices that one token begins · PROBE_PARTS parts do not
 * sum to the logits · as captureStates
 */
export async function attributeLogits(
  prompts: readonly PromptLine[],
  source: string,
  options: AttributionOptions,
): Promise<AttributedFile> {
  const { choices, valueKey, keepStates = false, onFound } = options;
  requireTwoChoices(choices);
  const out = resolve(options.out);
  const { found, sites } = await sitesOf(source, options);
  onFound?.(found);
  const given = givenChoices(prompts, valueKey, choices);
  const { file, adapter, chat } = found;
  // Before anything is captured: what cannot be told apart is refused.
  const attribution = await LogitAttribution.open(file.path, adapter && { path: adapter.path, scale: adapter.scale });
  try {
    const tokenizer = await openTokenizer(file.path, chat);
    const tokens = await choiceTokens(prompts, choices, tokenizer).finally(() => tokenizer.dispose());
    const lengths = tokens.map(({ promptIds }) => promptIds.length);
    const captured = await captureBeside(withoutMeta(prompts), source, {
      ...captureOptions(options),
      ...{ out, sites, lengths },
    });
    const attributed = await attribution.attribute(
      prompts.map(({ id }, at) => ({
        name: `Prompt ${JSON.stringify(id)}`,
        states: (site) => siteStates(captured.states, site, id),
        tokenIds: (tokens[at] as (typeof tokens)[number]).firstIds,
      })),
    );
    const owns = attributed.map(({ logits }, at) => given[at] ?? likeliest(logits));
    const lines = prompts.flatMap(({ id, meta }, at) => {
      const { parts, heads } = attributed[at] as AttributedLogits;
      const line =
        (kind: AttributedLine["kind"]) =>
        (part: LogitPart): AttributedLine => ({
          id,
          component: part.component,
          kind,
          logits: Object.fromEntries(choices.map((choice, place) => [choice, part.logits[place] as number])),
          ...(meta === undefined ? {} : { meta }),
        });
      return [...parts.map(line("part")), ...heads.map(line("of_attention"))];
    });
    await writeJsonLines(out, lines);
    if (!keepStates) await captured.drop();
    const rows = attributed.map(({ parts, heads }, at) => {
      return { string: (prompts[at] as PromptLine).id, own: owns[at] as number, parts: [...parts, ...heads] };
    });
    return {
      out,
      lines: lines.length,
      choices,
      prompts: attributed.map(({ parts: _, heads: __, ...facts }, at) => {
        return { id: (prompts[at] as PromptLine).id, own: owns[at] as number, ...facts };
      }),
      hasCap: attribution.hasCap,
      engines: captured.manifest.engines,
      effects: partEffects(rows, choices.length),
    };
  } finally {
    await attribution.close();
  }
}

async function sitesOf(source: string, options: OpenModelOptions): Promise<{ found: FoundModel; sites: string }> {
  const found = await findModel(source, options);
  const sites = attributionSites(stateShapeOf(await readGguf(found.file.path), found.file.path));
  return { found, sites: sites.map(siteName).join(",") };
}

function captureOptions({
  choices: _,
  valueKey: __,
  keepStates: ___,
  onFound: ____,
  ...rest
}: Partial<AttributionOptions>) {
  return rest as Omit<AttributionOptions, "choices">;
}

/** What is captured depends on the prompts alone. */
function withoutMeta(prompts: readonly PromptLine[]) {
  return prompts.map(({ id, messages }) => ({ id, messages }));
}

function siteStates(states: StatesBySite, site: string, id: string): Float32Array {
  const values = states.get(site)?.get(id)?.values;
  if (!values) throw new InwardError("INTERNAL", `No states of ${site} were taken.`);
  return values;
}

function likeliest(logits: readonly number[]): number {
  return logits.indexOf(Math.max(...logits));
}
