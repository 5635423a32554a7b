/** Where an adapter's training sits: given answers under all of its layers, under each layer alone, and under all but that one. */

import { rm } from "node:fs/promises";
import { resolve } from "node:path";
import type { QuestionKind } from "../ask/groups.js";
import { readJsonLines } from "../base/files.js";
import { InwardError } from "../errors.js";
import { adapterLayers, writeAdapterLayers } from "../finetune/adapter/adapter-layers.js";
import type { LanguageModel } from "../model/language-model.js";
import { openTokenizer } from "../model/engines/start-engine.js";
import { type PartEffect, partEffects } from "../probe/part-effects.js";
import { type AnswerFileOptions, type AnswersFile, writeAnswers } from "./answers-file.js";
import {
  type ChoiceLine,
  choiceLineSchema,
  type ChoiceQuestion,
  choiceQuestions,
  choiceTokens,
  givenChoices,
  requireTwoChoices,
} from "./given-choices.js";
import { findModel, type WornAdapter } from "./open-model.js";
import type { PromptLine } from "./prompt-lines.js";

export interface SwitchLayersOptions extends AnswerFileOptions {
  /** A GGUF, a PEFT folder, or the .safetensors in one. */
  readonly adapter: string;
  /** Answers whose probabilities are told, two or more. */
  readonly choices: readonly string[];
  /** Key of each line that says which choice is its own; what is likeliest under the whole adapter when absent. */
  readonly valueKey?: string;
  /** Layers that are switched; all that the adapter has pairs in when absent. */
  readonly layers?: readonly number[];
}

/** Nats, over the prompts. */
export interface LayerEffect {
  readonly layer: number;
  /** What the layer adds to the base by itself. */
  readonly alone: PartEffect;
  /** What the whole adapter loses without it. */
  readonly lost: PartEffect;
}

export interface SwitchedLayers extends AnswersFile {
  readonly choices: readonly string[];
  /** Of the whole adapter, beside the base. */
  readonly whole: PartEffect;
  readonly layers: readonly LayerEffect[];
  /** Layers with pairs, those that were not switched among them. */
  readonly has: readonly number[];
}

/**
 * Asks every prompt without the adapter, with it, with each of its layers alone and with all others; a line for each. Pairs of no layer (the
 * output, the embeddings) are on wherever the adapter is. The same call goes on where an earlier one ended.
 * @param source registry name, `hf:` URI, or path of a GGUF
 * @throws InwardError USAGE · PROBE_INVALID the adapter has nothing in a layer, choices that one token begins · ENGINE_UNAVAILABLE an engine that
 * cannot change adapters · as askFile
 */
export async function switchAdapterLayers(
  prompts: readonly PromptLine[],
  source: string,
  options: SwitchLayersOptions,
): Promise<SwitchedLayers> {
  const { choices, valueKey, layers, adapter, onFound, ...common } = options;
  requireTwoChoices(choices);
  const found = await findModel(source, { ...common, adapter });
  onFound?.(found);
  const worn = found.adapter as WornAdapter;
  const has = await adapterLayers(worn.path);
  const switched = [...new Set(layers ?? has)].sort((a, b) => a - b);
  const missing = switched.find((layer) => !has.includes(layer));
  if (missing !== undefined || switched.length === 0) {
    const what = missing === undefined ? "no layer to switch" : `nothing in layer ${missing}`;
    throw new InwardError("PROBE_INVALID", `${worn.given} has ${what}; it has the layers ${has.join(", ")}.`);
  }
  const given = givenChoices(prompts, valueKey, choices);
  const tokenizer = await openTokenizer(found.file.path, found.chat);
  await choiceTokens(prompts, choices, tokenizer).finally(() => tokenizer.dispose());
  const arms = armsOf(switched);
  const cut = resolve(`${options.out}.layers.gguf`);
  const { adapterScale: _, forceAdapter: __, ...asked } = common;
  const done = await writeAnswers(
    source,
    {
      what: "answers with layers of an adapter switched",
      kind: underAdapters(choices, armsWorn({ worn, has, cut })),
      settings: { choices, switched, switchedAdapter: { sha256: worn.sha256, scale: worn.scale } },
      lines: prompts.map(({ id, messages }) => ({ id, messages })),
      questions: (state) =>
        arms.flatMap((arm) =>
          prompts.map(
            ({ id, messages }): ChoiceQuestion => ({ key: JSON.stringify([id, arm]), state, id, arm, messages }),
          ),
        ),
    },
    // Cached answers are kept by the adapter that a model was opened with.
    { ...asked, engine: { forward: "auto", ...common.engine, cache: false } },
  );
  const { rows } = await readJsonLines<ChoiceLine>(done.out, choiceLineSchema);
  return { ...done, choices, has, ...layerEffects(rows, { prompts, given, switched, choices: choices.length }) };
}

/** How much of the adapter is worn. */
function armsOf(switched: readonly number[]): string[] {
  return ["none", "whole", ...switched.flatMap((layer) => [`alone.${layer}`, `without.${layer}`])];
}

/** Each arm's questions under the adapter of that arm. */
function underAdapters(
  choices: readonly string[],
  wear: (model: LanguageModel, arm: string) => Promise<LanguageModel>,
): QuestionKind<ChoiceQuestion, ChoiceLine> {
  const plain = choiceQuestions(choices);
  return {
    ...plain,
    ask: async (model, group, hooks) => {
      const lines: ChoiceLine[] = [];
      for (const arm of new Set(group.map((one) => one.arm))) {
        const those = group.filter((one) => one.arm === arm);
        lines.push(...(await plain.ask(await wear(model, arm), those, hooks)));
      }
      return lines;
    },
  };
}

interface CutAdapter {
  readonly worn: Pick<WornAdapter, "path" | "scale">;
  /** Layers in which it has pairs. */
  readonly has: readonly number[];
  /** Where what is left of it lies while an engine reads it. */
  readonly cut: string;
}

/** @returns what dresses a model for an arm: once for all groups of the arm, and again where the model was opened anew */
export function armsWorn(adapter: CutAdapter): (model: LanguageModel, arm: string) => Promise<LanguageModel> {
  let now: { readonly model: LanguageModel; readonly arm: string; readonly dressed: LanguageModel } | undefined;
  return async (model, arm) => {
    if (now?.model === model && now.arm === arm) return now.dressed;
    now = undefined;
    const dressed = await wearing(model, arm, adapter);
    now = { model, arm, dressed };
    return dressed;
  };
}

async function wearing(model: LanguageModel, arm: string, { worn, has, cut }: CutAdapter): Promise<LanguageModel> {
  if (model.withAdapter === undefined) {
    throw new InwardError(
      "ENGINE_UNAVAILABLE",
      `Layers of an adapter are switched by the native engine; this one is ${model.manifest.engine} (engine.engine).`,
    );
  }
  if (arm === "none") return model.withAdapter(undefined);
  if (arm === "whole") return model.withAdapter({ path: worn.path, scale: worn.scale });
  const layer = Number(arm.split(".")[1]);
  const stay = has.filter((one) => (one === layer) === arm.startsWith("alone."));
  // An adapter of one layer: nothing is left of it.
  if (stay.length === 0) return model.withAdapter(undefined);
  try {
    await writeAdapterLayers(worn.path, cut, stay);
    return await model.withAdapter({ path: cut, scale: worn.scale });
  } finally {
    await rm(cut, { force: true });
  }
}

function layerEffects(
  rows: readonly ChoiceLine[],
  {
    prompts,
    given,
    switched,
    choices,
  }: {
    readonly prompts: readonly PromptLine[];
    readonly given: readonly (number | undefined)[];
    readonly switched: readonly number[];
    readonly choices: number;
  },
): Pick<SwitchedLayers, "whole" | "layers"> {
  const said = new Map(rows.map(({ id, arm, choices: own }) => [JSON.stringify([id, arm]), own]));
  const of = (id: string, arm: string) => said.get(JSON.stringify([id, arm]));
  const told = prompts.flatMap(({ id }, at) => {
    const values = new Map(armsOf(switched).map((arm) => [arm, of(id, arm)]));
    // One that crashed the engine under any of them tells of none.
    if ([...values.values()].some((one) => one === undefined)) return [];
    const under = (arm: string) => values.get(arm) as readonly number[];
    const part = (component: string, more: string, less: string) => ({
      component,
      logits: under(more).map((one, choice) => one - (under(less)[choice] as number)),
    });
    const parts = [
      part("whole", "whole", "none"),
      ...switched.flatMap((layer) => [
        part(`alone.${layer}`, `alone.${layer}`, "none"),
        part(`lost.${layer}`, "whole", `without.${layer}`),
      ]),
    ];
    const whole = under("whole");
    return [{ string: id, own: given[at] ?? whole.indexOf(Math.max(...whole)), parts }];
  });
  if (told.length === 0) throw new InwardError("ENGINE_CRASHED", "No prompt was answered under all of the layers.");
  const effects = new Map(partEffects(told, choices).map((one) => [one.component, one]));
  const effect = (component: string) => effects.get(component) as PartEffect;
  return {
    whole: effect("whole"),
    layers: switched.map((layer) => ({ layer, alone: effect(`alone.${layer}`), lost: effect(`lost.${layer}`) })),
  };
}
