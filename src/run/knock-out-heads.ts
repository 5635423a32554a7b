/** What each attention head looks at, and what becomes of given answers where it is knocked out, beside random changes as large. */

import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { hashOf, readJsonLines, writeWhole } from "../base/files.js";
import { InwardError } from "../errors.js";
import { readGguf } from "../gguf/read-gguf.js";
import { openTokenizer } from "../model/engines/start-engine.js";
import type { Intervention } from "../model/interventions.js";
import { parseSites, type Site, siteName, type StateShape, stateShapeOf } from "../model/sites.js";
import { type AttentionToSpan, attentionToSpans, type PromptSpans } from "../probe/attention-spans.js";
import { tokensByName } from "../probe/chosen-turns.js";
import { lengthOfVector, randomVector } from "../base/vectors.js";
import { findSpans } from "../probe/spans.js";
import { siteMapFigure } from "../report/figures/probe-figure.js";
import { type Ablation, type HeadEffect, headEffects } from "../probe/written-effects.js";
import type { Estimate } from "../score/interval.js";
import { type AnswerFileOptions, type AnswersFile, writeAnswers } from "./answers-file.js";
import { captureBeside, type CapturedRows, meansOfTokens, type StatesBySite } from "./captured-states.js";
import {
  type ChoiceLine,
  choiceLineSchema,
  type ChoiceQuestion,
  choiceQuestions,
  choiceTokens,
  givenChoices,
  requireTwoChoices,
} from "./given-choices.js";
import { findModel, type FoundModel } from "./open-model.js";
import type { SteerPrompt } from "./steer-prompts.js";

export interface HeadsOptions extends AnswerFileOptions {
  /** Answers whose probabilities are told, two or more. */
  readonly choices: readonly string[];
  /** Key of each line that says which choice is its own; what the model itself says likeliest when absent. */
  readonly valueKey?: string;
  /** Layers, as `head_values` or `head_values.3-5`. Default all. */
  readonly sites?: string;
  /** Tokens that look, and at which heads are knocked out: tokensByName. Default `last`. */
  readonly at?: string;
  /** What they look at: spans of the prompts' words. Default every span that a task's prompts have, or the last message. */
  readonly spans?: readonly string[];
}

export interface KnockedOutHeads extends AnswersFile {
  readonly at: string;
  /** The heat map of attention, an SVG. */
  readonly map: string;
  readonly attention: readonly AttentionToSpan[];
  readonly effects: readonly HeadEffect[];
  /** Why there is no mean; absent where there is one. */
  readonly noMean?: string;
}

export type HeadArm = Ablation | `random_${Ablation}`;

/**
 * Asks every prompt without, and with each head at 0, at its mean, and with random changes of the same lengths; a line for each. The same
 * call goes on where an earlier one ended.
 * @throws InwardError USAGE · PROBE_SITE, PROBE_INVALID · as askFile and captureStates
 */
export async function knockOutHeads(
  prompts: readonly SteerPrompt[],
  source: string,
  options: HeadsOptions,
): Promise<KnockedOutHeads> {
  const { choices, valueKey, sites: named = "head_values", at = "last", spans, onFound, onCrash, ...common } = options;
  requireTwoChoices(choices);
  const found = await findModel(source, common);
  onFound?.(found);
  const shape = stateShapeOf(await readGguf(found.file.path), found.file.path);
  const layers = headLayers(named, shape);
  const given = givenChoices(prompts, valueKey, choices);
  const located = await locate(prompts, choices, found, { at, spans });
  const captured = await captureBeside(
    prompts.map(({ id, messages }, place) => ({ id, messages, tokens: (located[place] as PromptSpans).from })),
    source,
    {
      ...common,
      out: resolve(options.out),
      lengths: located.map(({ length }) => length),
      sites: layers.flatMap((layer) => [`head_values.${layer}`, `attention_weights.${layer}`]).join(","),
    },
  );
  const attention = attentionToSpans(
    prompts.map(({ id }, place) => ({
      ...(located[place] as PromptSpans),
      string: id,
      weights: (layer) => rowsOf(captured.states, `attention_weights.${layer}`, id),
    })),
    layers.map((layer) => ({ layer, heads: shape.heads[layer] as number })),
  );
  const knockOuts = new KnockOuts(shape, captured.states, prompts);
  const questions = (state: string) =>
    prompts.flatMap((prompt, place) => {
      const tokens = (located[place] as PromptSpans).from;
      const plain: ChoiceQuestion = { ...placed(prompt, state, "none"), messages: prompt.messages };
      const changed = layers.flatMap((layer) =>
        Array.from({ length: shape.heads[layer] as number }, (_, head) =>
          knockOuts.arms.map((arm): ChoiceQuestion => {
            return {
              ...placed(prompt, state, arm, { layer, head }),
              messages: prompt.messages,
              interventions: [knockOuts.intervention(prompt.id, tokens, { arm, layer, head })],
            };
          }),
        ).flat(),
      );
      return [plain, ...changed];
    });
  const done = await writeAnswers(
    source,
    {
      what: "answers without a head",
      kind: choiceQuestions(choices),
      settings: {
        ...{ choices, at, sites: named, arms: knockOuts.arms },
        placesSha256: hashOf(located.map(({ from }) => from)),
        meansSha256: knockOuts.sha256(),
      },
      lines: prompts.map(({ id, messages }) => ({ id, messages })),
      questions,
    },
    // Ours wherever it can: its numbers depend on the prompt alone, so that what differs is what was written.
    { ...common, onCrash, engine: { forward: "auto", ...common.engine } },
  );
  const { rows } = await readJsonLines<ChoiceLine>(done.out, choiceLineSchema);
  const map = `${done.out}.attention.svg`;
  await writeWhole(map, await attentionMap(attention, at));
  await captured.drop();
  const owns = new Map(prompts.map(({ id }, place) => [id, given[place]]));
  return {
    ...done,
    at,
    map,
    attention,
    effects: headEffects(rows, owns),
    ...(knockOuts.noMean === undefined ? {} : { noMean: knockOuts.noMean }),
  };
}

function placed({ id }: SteerPrompt, state: string, arm: "none" | HeadArm, place?: { layer: number; head: number }) {
  const key = JSON.stringify([id, arm, ...(place === undefined ? [] : [place.layer, place.head])]);
  return { key, state, id, arm, ...(place === undefined ? {} : { place }) };
}

/** A panel a span, layers down and heads across. */
function attentionMap(attention: readonly AttentionToSpan[], at: string): Promise<string> {
  const cells = new Map(attention.map((one) => [JSON.stringify([one.layer, one.head, one.span]), one.share]));
  const places = [...new Set(attention.map(({ layer, head }) => JSON.stringify([layer, head])))].map((name) => {
    const [layer, head] = JSON.parse(name) as [number, number];
    return { part: "layer", layer, span: String(head) };
  });
  const panels = [...new Set(attention.map(({ span }) => span))].map((panel) => ({
    panel,
    of: ({ layer, span }: (typeof places)[number]): Estimate =>
      cells.get(JSON.stringify([layer, Number(span), panel])) ?? { ok: false, reason: "no prompt has the span" },
  }));
  return siteMapFigure(`What heads attend to from ${at}`, places, panels);
}

/** @param named sites @throws PROBE_SITE */
export function headLayers(named: string, shape: StateShape): number[] {
  const sites: Site[] = parseSites(named, shape);
  const other = sites.find(({ part }) => part !== "head_values");
  if (other) {
    throw new InwardError(
      "PROBE_SITE",
      `${siteName(other)} has no heads of its own to knock out: give head_values, or head_values.<layers>.`,
    );
  }
  return sites.map(({ layer }) => layer);
}

interface LocatedSpans extends PromptSpans {
  /** Tokens of the prompt. */
  readonly length: number;
}

async function locate(
  prompts: readonly SteerPrompt[],
  choices: readonly string[],
  { file, chat }: FoundModel,
  { at, spans }: { readonly at: string; readonly spans?: readonly string[] },
): Promise<LocatedSpans[]> {
  const tokenizer = await openTokenizer(file.path, chat);
  try {
    await choiceTokens(prompts, choices, tokenizer);
    const located = await tokenizer.locate(prompts.map(({ messages }) => messages));
    return prompts.map(({ id, messages, marks = [] }, place) => {
      const one = located[place] as (typeof located)[number];
      const { length } = one.tokenIds;
      const which = `Line ${JSON.stringify(id)}`;
      const from = tokensByName(at, one, messages, { marks, which });
      if ("from" in from) {
        throw new InwardError(
          "PROBE_INVALID",
          `${which}: the span ${JSON.stringify(at)} reaches into the reply; heads are knocked out in the prompt.`,
        );
      }
      if (spans === undefined && marks.length > 0) {
        const known = findSpans(one, { messages, marks }).flatMap((span) =>
          span.ok ? [[span.name, span.tokens] as const] : [],
        );
        return { from, length, spans: new Map(known) };
      }
      const named = (spans ?? ["message"]).map((name) => {
        const tokens = tokensByName(name, one, messages, { marks, which });
        if ("from" in tokens)
          throw new InwardError("PROBE_INVALID", `${which}: the span ${JSON.stringify(name)} reaches into the reply.`);
        return [name, tokens] as const;
      });
      return { from, length, spans: new Map(named) };
    });
  } finally {
    await tokenizer.dispose();
  }
}

function rowsOf(states: StatesBySite, site: string, id: string): CapturedRows {
  const rows = states.get(site)?.get(id);
  if (!rows) throw new InwardError("INTERNAL", `No states of ${site} were taken.`);
  return rows;
}

/** What is written where a head is knocked out, and what stands beside it. */
export class KnockOuts {
  readonly arms: readonly HeadArm[];
  readonly noMean: string | undefined;
  /** By site, over the prompts. */
  private readonly means: ReadonlyMap<string, Float32Array>;

  constructor(
    private readonly shape: StateShape,
    private readonly states: StatesBySite,
    prompts: readonly unknown[],
  ) {
    const sites = [...meansOfTokens(states)].filter(([site]) => site.startsWith("head_values"));
    this.means = new Map(
      sites.map(([site, byPrompt]) => {
        const all = [...byPrompt.values()];
        const sum = new Float64Array(all[0]?.length ?? 0);
        for (const one of all)
          for (let at = 0; at < sum.length; at++) sum[at] = (sum[at] as number) + (one[at] as number) / all.length;
        return [site, Float32Array.from(sum)];
      }),
    );
    this.noMean = prompts.length < 2 ? "the mean over one prompt is its own" : undefined;
    this.arms = this.noMean === undefined ? ["zero", "mean", "random_zero", "random_mean"] : ["zero", "random_zero"];
  }

  /** @param tokens of the prompt, in their order */
  intervention(
    id: string,
    tokens: readonly number[],
    { arm, layer, head }: { readonly arm: HeadArm; readonly layer: number; readonly head: number },
  ): Intervention {
    const site: Site = { part: "head_values", layer };
    const place = { site, tokens, heads: [head] };
    if (arm === "zero") return { ...place, operation: "scale", factor: 0 };
    const mean = this.means.get(siteName(site)) as Float32Array;
    if (arm === "mean") return { ...place, operation: "replace", values: mean };
    const { values, width } = rowsOf(this.states, siteName(site), id);
    const { headWidth } = this.shape;
    const from = head * headWidth;
    const added = new Float32Array(values.length);
    for (const [row] of tokens.entries()) {
      const own = values.subarray(row * width + from, row * width + from + headWidth);
      const taken = arm === "random_zero" ? own : own.map((one, at) => one - (mean[from + at] as number));
      const name = `knock out/${id}/${layer}/${head}/${row}/${arm}`;
      added.set(randomVector(headWidth, lengthOfVector(taken), name), row * width + from);
    }
    return { ...place, operation: "add", values: added };
  }

  sha256(): string {
    const hash = createHash("sha256");
    for (const { buffer, byteOffset, byteLength } of this.means.values())
      hash.update(new Uint8Array(buffer, byteOffset, byteLength));
    return hash.digest("hex");
  }
}
