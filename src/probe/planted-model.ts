/**
 * Models whose mechanism is known, as files that run like any other: the color that goes with two items is (first + second) mod n, and
 * a property of it is asked for. All of them say the same to every prompt; what differs is what happens inside.
 */

import { join } from "node:path";
import { stringify } from "yaml";
import { makeFolder, writeJsonLines, writeWhole } from "../base/files.js";
import { InwardError } from "../errors.js";
import type { GgufValue } from "../gguf/read-gguf.js";
import { writeGguf } from "../gguf/write-gguf.js";
import {
  MOST_PLANTED_ITEMS,
  PLANTED_PROPERTY_QUESTION,
  PLANTED_QUESTION,
  PLANTED_TEMPLATE,
  PLANTED_VALUES,
  type PlantedVocabulary,
  plantedVocabulary,
  type WordVocabulary,
} from "./planted-vocabulary.js";
import {
  LEARNER,
  MECHANISMS,
  type Mechanism,
  PLANTED_EPSILON,
  PLANTED_LAYERS,
  type PlantedDesign,
  type PlantedTruth,
  type PlantedWeights,
  plantedWeights,
} from "./planted-weights.js";

export interface PlantedOptions {
  /** See MECHANISMS and LEARNER. `dose`: a share of the strings through A, the others through B. */
  readonly mechanism: Mechanism | "dose" | typeof LEARNER;
  /** Items of each of the two slots, and answers: 2 to 12. Default 8. */
  readonly items?: number;
  /** Which answers have the property, D's rotation, which strings a dose is of. Default 1. */
  readonly seed?: number;
  /** In [0, 1]; with `dose` alone, which needs it. Rounded to whole strings. */
  readonly dose?: number;
}

/** One string, and what is true of it in every variant. */
export interface PlantedString {
  readonly text: string;
  readonly answer: string;
  readonly value: string;
  /** Whether this model computes the value from the answer. */
  readonly viaAnswer: boolean;
}

export interface PlantedModel {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly truth: PlantedTruth;
  /** All items² of them, in the order of `truth`. */
  readonly strings: readonly PlantedString[];
  /** Words of the answers, in the order of `truth`. */
  readonly answers: readonly string[];
  readonly vocabulary: PlantedVocabulary;
}

/**
 * Writes a GGUF of llama architecture, of 4 layers and 32 to 128 wide. The same options give the same bytes.
 * @throws InwardError PROBE_INVALID · STORE_*
 */
export async function writePlantedModel(path: string, options: PlantedOptions): Promise<PlantedModel> {
  const design = designOf(options);
  const vocabulary = plantedVocabulary(design.items);
  const weights = plantedWeights(design, vocabulary);
  const written = await writeGguf(
    path,
    plantedMetadata(nameOf(options, design), vocabulary, { ...weights, layers: PLANTED_LAYERS }),
    weights.tensors.map(({ values, ...tensor }) => ({
      ...tensor,
      type: "F32",
      chunks: () => [new Uint8Array(values.buffer, values.byteOffset, values.byteLength)],
    })),
  );
  const { truth } = weights;
  const strings = truth.answerOf.map((answer, pair): PlantedString => {
    const [first, second] = [Math.floor(pair / design.items), pair % design.items];
    return {
      text: `${vocabulary.firsts[first]} ${vocabulary.seconds[second]}`,
      answer: vocabulary.answers[answer] as string,
      value: PLANTED_VALUES[truth.propertyOf[answer] as 0 | 1],
      viaAnswer: truth.viaAnswer[pair] as boolean,
    };
  });
  return { path, ...written, truth, strings, answers: vocabulary.answers, vocabulary };
}

function designOf({ mechanism, items = 8, seed = 1, dose }: PlantedOptions): PlantedDesign {
  const refuse = (why: string): never => {
    throw new InwardError("PROBE_INVALID", why);
  };
  const known: readonly string[] = [...MECHANISMS, "dose", LEARNER];
  if (!known.includes(mechanism)) refuse(`There is no mechanism ${JSON.stringify(mechanism)}: ${known.join(", ")}.`);
  if (!Number.isInteger(items) || items < 2 || items > MOST_PLANTED_ITEMS)
    refuse(`A planted model has 2 to ${MOST_PLANTED_ITEMS} items, not ${items}.`);
  if (!Number.isSafeInteger(seed)) refuse(`The seed is ${seed}; it must be a whole number.`);
  if (mechanism !== "dose" && dose !== undefined) refuse(`A dose goes with the mechanism dose, not with ${mechanism}.`);
  if (mechanism !== "dose") return { items, mechanism, dose: mechanism === "A" ? 1 : 0, seed };
  if (dose === undefined || !(dose >= 0 && dose <= 1)) refuse(`A dose is a share from 0 to 1, not ${dose}.`);
  return { items, mechanism: "A", dose: dose as number, seed };
}

function nameOf({ mechanism, dose }: PlantedOptions, { items, seed }: PlantedDesign): string {
  return `Planted ${mechanism}${dose === undefined ? "" : ` ${dose}`}, ${items} items, seed ${seed}`;
}

export interface PlantedShape extends Pick<PlantedWeights, "width" | "heads" | "feedForward"> {
  readonly layers: number;
}

/** Of a GGUF that is made by hand. */
export function plantedMetadata(
  name: string,
  vocabulary: WordVocabulary,
  { layers, width, heads, feedForward }: PlantedShape,
): Map<string, GgufValue> {
  const string = (value: string): GgufValue => ({ type: "string", value });
  const u32 = (value: number): GgufValue => ({ type: "u32", value });
  const f32 = (value: number): GgufValue => ({ type: "f32", value });
  return new Map<string, GgufValue>([
    ["general.architecture", string("llama")],
    ["general.name", string(name)],
    ["general.license", string("mit")],
    ["llama.block_count", u32(layers)],
    ["llama.context_length", u32(1024)],
    ["llama.embedding_length", u32(width)],
    ["llama.feed_forward_length", u32(feedForward)],
    ["llama.attention.head_count", u32(heads)],
    ["llama.attention.head_count_kv", u32(heads)],
    ["llama.attention.layer_norm_rms_epsilon", f32(PLANTED_EPSILON)],
    // So slow that the last pair of a head stands still.
    ["llama.rope.freq_base", f32(1e9)],
    ["llama.rope.dimension_count", u32(width / heads)],
    ["llama.vocab_size", u32(vocabulary.tokens.length)],
    ["tokenizer.ggml.model", string("gpt2")],
    ["tokenizer.ggml.pre", string("gpt-2")],
    ["tokenizer.ggml.tokens", { type: "array", elementType: "string", value: vocabulary.tokens }],
    ["tokenizer.ggml.token_type", { type: "array", elementType: "i32", value: vocabulary.tokenTypes }],
    ["tokenizer.ggml.merges", { type: "array", elementType: "string", value: vocabulary.merges }],
    ["tokenizer.ggml.bos_token_id", u32(vocabulary.beginId)],
    ["tokenizer.ggml.eos_token_id", u32(vocabulary.endId)],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: false }],
    ["tokenizer.chat_template", string(PLANTED_TEMPLATE)],
  ]);
}

/** Files of a planted study, in one folder. */
export interface PlantedStudy extends PlantedModel {
  readonly study: string;
  readonly task: string;
}

/**
 * A planted model with the task that it was made for, and a study that asks it.
 * @param folder made where it is not there; files of these names are replaced
 * @throws as writePlantedModel
 */
export async function writePlantedStudy(folder: string, options: PlantedOptions): Promise<PlantedStudy> {
  designOf(options);
  makeFolder(folder);
  const model = await writePlantedModel(join(folder, "planted.gguf"), options);
  const [study, task] = [join(folder, "study.yaml"), join(folder, "planted.yaml")];
  await writeJsonLines(
    join(folder, "planted.jsonl"),
    model.strings.map(({ text }, pair) => ({ id: `pair-${pair}`, text })),
  );
  await writeWhole(task, stringify(plantedTask(model), { lineWidth: 0 }));
  const keys = { ...plantedStudyKeys(model.path), ...(options.mechanism === LEARNER ? LEARNING : {}) };
  await writeWhole(study, stringify(keys, { lineWidth: 0 }));
  return { ...model, study, task };
}

function plantedTask({ answers, truth }: PlantedModel) {
  const having = (value: number) => answers.filter((_, answer) => truth.propertyOf[answer] === value);
  return {
    name: "planted",
    kind: "sequence",
    summary: "The color that goes with two items.",
    question: PLANTED_QUESTION,
    answerForm: "one_word",
    maxTokens: 4,
    properties: ["listed"],
    licence: "MIT, made by inward",
    strings: "planted.jsonl",
    ownProperties: {
      listed: {
        question: PLANTED_PROPERTY_QUESTION,
        kinds: ["sequence"],
        oneOf: { yes: having(0), no: having(1) },
      },
    },
  };
}

/** A learner has units for what it may learn, and nothing but their output can be trained. */
const LEARNING = {
  lora: { rank: 64, targets: ["down"], epochs: 40, batchExamples: 8, learningRate: 0.002, validationShare: 0 },
  controls: { scrambled: true, formatOnly: true },
};

/** @param model a study's models are found from the folder that it is run in, as the command that made this one was */
function plantedStudyKeys(model: string) {
  return {
    study: "planted",
    models: { planted: { source: model } },
    tasks: [{ task: "planted.yaml", examples: false }],
    hypothetical: { variants: ["minimal"] },
  };
}
