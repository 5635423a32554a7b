/**
 * The input-only third party: what a classifier predicts that learnt from the pairs a predictor's adapter learns from, and sees
 * nothing but the string. A predictor that does no better than this has shown no self-knowledge.
 */

import { z } from "zod";
import { type Extraction, extractionSchema, value as present } from "../../properties/property.js";
import type { Share } from "../scores.js";
import { stringKey } from "../trial.js";
import { type StringClassifier, trainClassifier } from "./classifier.js";

/** A string of a task, asked for a property. */
export interface InputOnlyQuestion {
  readonly task: string;
  readonly item: string;
  readonly property: string;
  /** The string itself, without the question around it. */
  readonly text: string;
}

/** A train string with the value that the adapter learns to say. */
export interface InputOnlyExample extends InputOnlyQuestion {
  /** What intervals resample, where several strings share it. */
  readonly cluster?: string;
  readonly value: string;
}

interface InputOnlyPrediction extends InputOnlyQuestion {
  readonly prediction: Extraction;
}

/** Its name in `Trial.heuristics`, beside the rules that need no labels: it learnt from what the target's adapter learnt from. */
export const INPUT_ONLY = "input_only_classifier";
/** One that learnt from every train string of the task that is scored, also those whose labels no adapter had. */
export const INPUT_ONLY_HELD_OUT_LABELS = "input_only_held_out_labels_classifier";

/** As a third party. */
export const CLASSIFIERS: Readonly<Record<string, string>> = {
  [INPUT_ONLY]: "input_only",
  [INPUT_ONLY_HELD_OUT_LABELS]: "input_only_held_out_labels",
};

/** A classifier learns, and is no rule. */
export function isClassifier(rule: string): boolean {
  return Object.hasOwn(CLASSIFIERS, rule);
}

/** From fewer a classifier learns little but their accidents. */
export const FEWEST_TRAIN_STRINGS = 10;

export type InputOnlyCell = { readonly task: string; readonly property: string } & (
  | {
      readonly ok: true;
      /** `own_task` or, for a task with too few examples, those of all tasks that have the property, as an adapter must do. */
      readonly learntFrom: "own_task" | "other_tasks";
      readonly strings: number;
      readonly values: number;
      /** Rarer values, which it never predicts. */
      readonly valuesLeftOut: number;
      readonly features: number;
      /** Absent where there was one value only. */
      readonly penalty?: number;
      readonly crossValidated?: Share;
    }
  | { readonly ok: false; readonly reason: string }
);

export interface InputOnlyPredictions {
  /** In the order of the questions; a question of a cell without a classifier has none. */
  readonly predictions: readonly InputOnlyPrediction[];
  /** In the order in which questions first name them. */
  readonly cells: readonly InputOnlyCell[];
}

/** Of one target, by classifier. */
export interface TargetClassifiers {
  readonly [INPUT_ONLY]: InputOnlyPredictions;
  readonly [INPUT_ONLY_HELD_OUT_LABELS]: InputOnlyPredictions;
}

const classifierSchema = z.object({
  predictions: z.array(
    z.object({ task: z.string(), item: z.string(), property: z.string(), prediction: extractionSchema }),
  ),
  cells: z.array(z.object({ task: z.string(), property: z.string(), ok: z.boolean() })),
});

export const inputOnlySchema = z.object({
  [INPUT_ONLY]: classifierSchema,
  [INPUT_ONLY_HELD_OUT_LABELS]: classifierSchema,
});

/** Classifiers by the pairs that they learnt from. */
export type TrainedClassifiers = Map<string, StringClassifier>;

/**
 * @param examples in any order; one that stands in several wordings counts once
 * @param fewestStrings with fewer train strings there is no classifier
 * @param trained of earlier calls, and of this one when it is done: the same pairs give the same classifier
 */
export function inputOnlyPredictions(
  examples: readonly InputOnlyExample[],
  questions: readonly InputOnlyQuestion[],
  fewestStrings = 1,
  trained: TrainedClassifiers = new Map(),
): InputOnlyPredictions {
  const learnt = once(examples);
  const classifiers = new Map<string, StringClassifier | undefined>();
  const isEnough = (pairs: readonly InputOnlyExample[]) => stringCount(pairs) >= fewestStrings;
  const train = (key: string, pairs: readonly InputOnlyExample[]) => {
    if (!classifiers.has(key))
      classifiers.set(key, isEnough(pairs) ? trainedOn(pairs.map(inOneFold), trained) : undefined);
    return classifiers.get(key);
  };
  const cells = new Map<string, { cell: InputOnlyCell; classifier?: StringClassifier }>();
  for (const { task, property } of questions) {
    const key = JSON.stringify([task, property]);
    if (cells.has(key)) continue;
    const ofProperty = learnt.filter((example) => example.property === property);
    const own = ofProperty.filter((example) => example.task === task);
    const classifier = isEnough(own) ? train(key, own) : train(JSON.stringify([property]), ofProperty);
    if (!classifier) {
      const strings = stringCount(ofProperty);
      const reason =
        strings === 0
          ? `no train string teaches ${property}`
          : `only ${strings} train string${strings === 1 ? " teaches" : "s teach"} ${property} (fewer than ${fewestStrings})`;
      cells.set(key, { cell: { task, property, ok: false, reason } });
      continue;
    }
    const { fitted, values, valuesLeftOut, features } = classifier;
    const cell: InputOnlyCell = {
      task,
      property,
      ok: true,
      learntFrom: isEnough(own) ? "own_task" : "other_tasks",
      strings: stringCount(isEnough(own) ? own : ofProperty),
      values: values.length,
      valuesLeftOut,
      features,
      ...(fitted ? { penalty: fitted.penalty, crossValidated: fitted.crossValidated } : {}),
    };
    cells.set(key, { cell, classifier });
  }
  return {
    cells: [...cells.values()].map(({ cell }) => cell),
    predictions: questions.flatMap((question): InputOnlyPrediction[] => {
      const classifier = cells.get(JSON.stringify([question.task, question.property]))?.classifier;
      return classifier ? [{ ...question, prediction: present(classifier.classify(question.text)) }] : [];
    }),
  };
}

function trainedOn(pairs: readonly InputOnlyExample[], trained: TrainedClassifiers): StringClassifier {
  const key = JSON.stringify(pairs.map(({ text, cluster, value }) => [text, cluster, value]));
  const made = trained.get(key) ?? trainClassifier(pairs);
  trained.set(key, made);
  return made;
}

/** Clusters have their names within a task. */
function inOneFold(example: InputOnlyExample): InputOnlyExample {
  return example.cluster === undefined ? example : { ...example, cluster: stringKey(example) };
}

function stringCount(examples: readonly InputOnlyExample[]): number {
  return new Set(examples.map(({ text }) => text)).size;
}

function once(examples: readonly InputOnlyExample[]): InputOnlyExample[] {
  const seen = new Map<string, InputOnlyExample>();
  for (const example of examples) {
    const { task, item, property, value } = example;
    seen.set(JSON.stringify([task, item, property, value]), example);
  }
  return [...seen.values()];
}
