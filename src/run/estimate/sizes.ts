/** How much there is to ask: counts over the groups in which the engine gets the questions. */

import { cutGroups } from "../../ask/groups.js";
import { calibrationGroups, calibrationQuestions } from "../../ask/measure-distribution.js";
import { noiseFloorSample } from "../../ask/noise-floor.js";
import { judgedAtMost, labelQuestions } from "../../ask/judge-questions.js";
import { optionRequests } from "../../ask/option-scores.js";
import { adaptedObjectLevelQuestions, askedHere, objectLevelQuestions, type Question } from "../../ask/questions.js";
import { hashOf } from "../../base/files.js";
import { InwardError } from "../../errors.js";
import { planTrainingWork, prefixOrder, splitValidation } from "../../finetune/batches.js";
import { buildSet, type SetCandidate } from "../../finetune/set.js";
import type { ChatFormat } from "../../model/chat/format.js";
import { openTokenizer, type Tokenizer } from "../../model/engines/start-engine.js";
import type { DeviceName } from "../../model/device.js";
import { loraParameters, type ModelShape, parameterCount } from "../../model/model-shape.js";
import { askingNeed } from "../../model/placement.js";
import type { Behavior } from "../../properties/property.js";
import type { Plan, PlannedAdapter } from "../../study/plan.js";
import type { SettledEngine, TrainingSettings } from "../../study/study.js";
import type { EncodedExample, ScoredTokens, ScoreRequest } from "../../model/language-model.js";
import type { ChatMessage } from "../../tasks/answer.js";
import { implantSet, setInput } from "../finetune-sets.js";
import type { RunFile } from "../folder.js";
import { JUDGED_OF_ROUND } from "../judging.js";
import { stagesOf } from "../stages.js";
import type {
  AskedSize,
  AskingMemory,
  ScoredSize,
  StageEstimate,
  TokenBasis,
  TrainingMemory,
  TrainingSize,
} from "./estimate.js";
import { statesOf } from "../../study/states.js";

interface CountedQuestion {
  readonly task: string;
  readonly item: string;
  readonly messages: readonly ChatMessage[];
  readonly maxTokens: number;
  readonly thinking?: boolean;
}

/** Nodes of the sequences' prefix tree: each shared beginning once. */
export function treeSize(sequences: readonly (readonly number[])[]): number {
  const { shared } = prefixOrder(sequences);
  const all = sequences.reduce((sum, { length }) => sum + length, 0);
  return all - shared.reduce((sum, length) => sum + length, 0);
}

/** @param shares whether the engine evaluates a shared beginning once */
export async function askedSize(
  groups: readonly (readonly CountedQuestion[])[],
  counter: Pick<TokenCounter, "sequences">,
  shares: boolean,
): Promise<AskedSize> {
  let [all, distinct, generated, longest, questions] = [0, 0, 0, 0, 0];
  const items = new Set<string>();
  for (const group of groups) {
    const sequences = await counter.sequences(
      group.map(({ messages }) => messages),
      group.map(({ thinking = false }) => thinking),
    );
    const tokens = sequences.reduce((sum, { length }) => sum + length, 0);
    all += tokens;
    distinct += shares ? treeSize(sequences) : tokens;
    for (const [index, { task, item, maxTokens }] of group.entries()) {
      items.add(`${task}/${item}`);
      generated += maxTokens;
      longest = Math.max(longest, (sequences[index] as readonly number[]).length + maxTokens);
    }
    questions += group.length;
  }
  return {
    questions,
    items: items.size,
    promptTokens: all,
    distinctTokens: distinct,
    generatedTokensAtMost: generated,
    longestTokens: longest,
  };
}

/** What of a question its scored options come to. */
export type OptionsToScore = Pick<Question, "task" | "item" | "options">;

/**
 * What scoring the options of some groups evaluates: each order's prompt, and after it every letter and every text up to the end of the
 * turn. A group is scored at once. Its `promptTokens` count a prompt again for each option.
 * @param sharing `whole` common beginnings are evaluated once · `prompts` once as far as the token before a prompt's last, which each
 * option evaluates again · `nothing`
 * @returns questions are those whose options are scored; undefined where there are none
 */
export async function scoredSize(
  groups: readonly (readonly OptionsToScore[])[],
  counter: Pick<TokenCounter, "scored">,
  sharing: "whole" | "prompts" | "nothing",
): Promise<ScoredSize | undefined> {
  let [all, distinct, longest, questions, continuations] = [0, 0, 0, 0, 0];
  const items = new Set<string>();
  for (const group of groups) {
    const requests = group.flatMap(({ task, item, options }) => {
      if (!options) return [];
      questions++;
      items.add(`${task}/${item}`);
      return optionRequests(options);
    });
    if (requests.length === 0) continue;
    const scored = await counter.scored(requests);
    const sequences = scored.flatMap(({ promptIds, answers }) => answers.map((ids) => [...promptIds, ...ids]));
    const prompts = scored.flatMap(({ promptIds, answers }) => answers.map(() => promptIds.length));
    const { order, shared } = prefixOrder(sequences);
    const most = (at: number) =>
      sharing === "whole" ? Number.POSITIVE_INFINITY : (prompts[order[at] as number] as number) - 1;
    const tokens = sequences.reduce((sum, { length }) => sum + length, 0);
    all += tokens;
    distinct +=
      tokens - (sharing === "nothing" ? 0 : shared.reduce((sum, length, at) => sum + Math.min(length, most(at)), 0));
    longest = sequences.reduce((found, { length }) => Math.max(found, length), longest);
    continuations += requests.reduce((sum, request) => sum + request.continuations.length, 0);
  }
  if (questions === 0) return undefined;
  return {
    questions,
    items: items.size,
    promptTokens: all,
    distinctTokens: distinct,
    generatedTokensAtMost: 0,
    longestTokens: longest,
    continuations,
  };
}

// What every stage of a plan asks which model state, counted. Prompts that two states have in common are counted once.

export type SizedStage = Omit<StageEstimate, "time">;

/** Stages whose questions are known before anything is asked, and answered; by the file that they write. */
const ESTIMATED: Partial<Record<RunFile, SizedStage["stage"]>> = {
  objectLevel: "object_level",
  objectLevelAdapted: "object_level_adapted",
  objectLevelReadapted: "object_level_adapted",
  hypothetical: "hypothetical",
};

const OPTIONS_OF: Partial<Record<SizedStage["stage"], SizedStage["stage"]>> = {
  judge: "options_judge",
  object_level: "options",
  object_level_adapted: "options_adapted",
  noise_floor: "options_noise_floor",
};

/** Counted by what they will be asked at most. */
const COUNTED_AHEAD: readonly RunFile[] = ["distributions", "judgedLabels", ...JUDGED_OF_ROUND];

/** Stages that ask, and that nothing is counted of. */
export function uncountedStages(plan: Plan): string[] {
  return stagesOf(plan).flatMap(({ name, kind, writes }) => {
    const isCounted = writes.some((file) => ESTIMATED[file] !== undefined || COUNTED_AHEAD.includes(file));
    return kind === "asked" && !isCounted ? [name] : [];
  });
}

const FLOATS = ["F32", "F16", "BF16"];

/** How much of what scored options have in common the engine evaluates once: less where sequences are kept apart, see native.ts. */
export function scoringShares(plan: Plan, model: string, device: DeviceName): Parameters<typeof scoredSize>[2] {
  const { flashAttention, invariant, forward = "llama.cpp" } = plan.engine;
  const encoding = plan.models[model]?.encoding || "F32";
  if (!sharesPrompts(plan, model)) return "nothing";
  if (invariant && forward === "llama.cpp") return "prompts";
  const rounds = !FLOATS.includes(encoding) && device === "cpu" && forward === "llama.cpp";
  return rounds && !flashAttention ? "prompts" : "whole";
}

/** Whether the engine evaluates a beginning that this model's prompts share once. */
export function sharesPrompts({ engine, models }: Plan, model: string): boolean {
  return engine.engine === "native" && !engine.strict && !models[model]?.wholePrompts;
}

/**
 * @param counters by the plan's name of a model; models with one tokenizer share a counter
 * @param device that the models are asked on
 */
export async function sizeStages(
  plan: Plan,
  counters: ReadonlyMap<string, TokenCounter>,
  device: DeviceName = "cpu",
): Promise<SizedStage[]> {
  const known = new Map<TokenCounter, Map<string, AskedSize>>();
  const knownOptions = new Map<TokenCounter, Map<string, ScoredSize | undefined>>();
  const size = async (
    stage: SizedStage["stage"],
    state: string,
    groups: readonly (readonly CountedQuestion[])[],
  ): Promise<SizedStage> => {
    const { model } = statesOf(plan).of(state);
    const counter = counters.get(model) as TokenCounter;
    const shares = sharesPrompts(plan, model);
    const sizes = known.get(counter) ?? new Map<string, AskedSize>();
    known.set(counter, sizes);
    const key = hashOf([
      shares,
      groups.map((group) => group.map(({ messages, maxTokens, thinking = false }) => [messages, maxTokens, thinking])),
    ]);
    const asked = sizes.get(key) ?? (await askedSize(groups, counter, shares));
    sizes.set(key, asked);
    return { stage, state, tokens: counter.basis, ...asked };
  };
  const options = async (
    of: SizedStage["stage"],
    state: string,
    groups: readonly (readonly OptionsToScore[])[],
  ): Promise<SizedStage[]> => {
    const { model } = statesOf(plan).of(state);
    const counter = counters.get(model) as TokenCounter;
    const stage = OPTIONS_OF[of];
    if (!stage) return [];
    const sharing = scoringShares(plan, model, device);
    const known = knownOptions.get(counter) ?? new Map<string, ScoredSize | undefined>();
    knownOptions.set(counter, known);
    const key = hashOf([
      sharing,
      groups.map((group) => group.flatMap((one) => (one.options ? [optionRequests(one.options)] : []))),
    ]);
    const scored = known.has(key) ? known.get(key) : await scoredSize(groups, counter, sharing);
    known.set(key, scored);
    return scored ? [{ stage, state, tokens: counter.basis, ...scored }] : [];
  };

  const sized: SizedStage[] = [];
  const judging = judgedAtMost(plan, [...objectLevelQuestions(plan), ...adaptedObjectLevelQuestions(plan)]);
  for (const [state, own] of byState(judging.labels)) {
    // What an answer has in common with others is not known before it is there.
    const answers = judging.answers.filter((one) => one.state === state).map((one) => [one]);
    const groups = [...cutGroups(own, plan.engine.groupQuestions), ...answers];
    sized.push(await size("judge", state, groups), ...(await options("judge", state, groups)));
  }
  const lists = stagesOf(plan).flatMap(({ writes: [file], asks }) => {
    const stage = ESTIMATED[file as RunFile];
    return stage && asks ? [[stage, askedHere(plan, asks(plan) as readonly Question[])] as const] : [];
  });
  for (const [stage, questions] of lists) {
    for (const [state, own] of byState(questions)) {
      const groups = cutGroups(own, plan.engine.groupQuestions);
      sized.push(await size(stage, state, groups), ...(await options(stage, state, groups)));
    }
  }
  for (const [state, own] of byState([...lists.flatMap(([, questions]) => questions), ...labelQuestions(plan)])) {
    const sample = noiseFloorSample(own, plan.noiseFloor.questions, plan.seed);
    if (sample.length === 0) continue;
    sized.push(await size("noise_floor", state, [sample]), ...(await options("noise_floor", state, [sample])));
  }
  for (const [state, own] of byState(calibrationQuestions(plan))) {
    const groups = calibrationGroups(own);
    const asked = await size("distributions", state, groups);
    sized.push({ ...asked, generatedTokensAtMost: distributionTokensAtMost(plan, own) });
  }
  return sized;
}

/** A tree is expanded up to its budget; then, or at once where only samples tell, answers are drawn. */
function distributionTokensAtMost({ calibration }: Plan, questions: ReturnType<typeof calibrationQuestions>): number {
  if (!calibration) return 0;
  const { tokenBudget, samples } = calibration;
  return questions.reduce(
    (sum, { decidedLate, maxTokens }) => sum + (decidedLate ? 0 : tokenBudget) + samples * maxTokens,
    0,
  );
}

function byState<Asked extends { readonly state: string }>(questions: readonly Asked[]): Map<string, Asked[]> {
  const states = new Map<string, Asked[]>();
  for (const question of questions) {
    const own = states.get(question.state);
    if (own) own.push(question);
    else states.set(question.state, [question]);
  }
  return states;
}

// How much there is to learn: the finetune set as it is when every train string has a behavior, cut into steps as training does.

/** What an example is taken to end with: the answer, and the end of the turn. Answers are a word, a letter or a number. */
export const ANSWER_TOKENS = 3;
/** Prompts that are tokenized in one call. */
const AT_ONCE = 500;

export async function trainingSize(
  plan: Plan,
  adapter: Omit<PlannedAdapter, "round">,
  counter: TokenCounter,
): Promise<TrainingSize> {
  const { examples } = adapter.implant ? implantSet(plan, adapter.base, adapter.implant) : fullSet(plan, adapter);
  const encoded: EncodedExample[] = [];
  for (let at = 0; at < examples.length; at += AT_ONCE) {
    const prompts = examples.slice(at, at + AT_ONCE).map(({ messages }) => messages.slice(0, -1));
    for (const ids of await counter.sequences(prompts)) encoded.push(toExample(ids));
  }
  const subjects = examples.map(({ metadata }) => `${metadata.task}/${metadata.item}`);
  return sizeOfSet(encoded, subjects, adapter.settings);
}

function fullSet(plan: Plan, adapter: Omit<PlannedAdapter, "round">) {
  const input = setInput(plan, adapter, everyBehavior(plan, adapter));
  const candidates = input.candidates.map((candidate): SetCandidate => ({ ...candidate, readable: true }));
  return buildSet({ ...input, candidates });
}

/** Validation is left out of the tokens: it takes a share of a step's work, and only now and then. */
export function sizeOfSet(
  encoded: readonly EncodedExample[],
  subjects: readonly string[],
  settings: TrainingSettings,
): TrainingSize {
  const { validationShare, seed } = settings;
  const work = planTrainingWork(splitValidation(encoded, validationShare, seed, subjects), settings);
  let [exampleTokens, evaluatedTokens] = [0, 0];
  for (let step = 1; step <= work.totalSteps; step++) {
    for (const microbatch of work.batch(step).microbatches) {
      exampleTokens += microbatch.exampleTokens;
      evaluatedTokens += microbatch.evaluatedTokens;
    }
  }
  return {
    examplesAtMost: encoded.length,
    steps: work.totalSteps,
    exampleTokens,
    evaluatedTokens,
    microbatchTokens: work.maxMicrobatchTokens,
    microbatchRows: work.maxLossRows,
  };
}

function toExample(prompt: readonly number[]): EncodedExample {
  return { tokenIds: [...prompt, ...new Array<number>(ANSWER_TOKENS).fill(0)], answerStart: prompt.length };
}

/** A value of its own for each string, so that no example is taken for a duplicate of another. */
function everyBehavior(plan: Plan, adapter: Pick<PlannedAdapter, "target">): Behavior[] {
  return plan.tasks.flatMap((task) =>
    task.trained === true
      ? task.train.flatMap((item) =>
          task.properties.map(
            (property): Behavior => ({
              state: adapter.target,
              task: task.definition.name,
              item: item.id,
              split: item.split,
              sample: 0,
              property,
              extraction: { ok: true, value: item.id },
              compliance: { ok: true },
            }),
          ),
        )
      : [],
  );
}

// Prompts as sequences whose lengths and common beginnings count: a model's token ids, or pieces of text where its file is not here.

type Prompts = readonly (readonly ChatMessage[])[];

export interface TokenCounter {
  readonly basis: TokenBasis;
  /** An element is a token, or stands for one. */
  sequences(prompts: Prompts, thinking?: readonly boolean[]): Promise<readonly (readonly number[])[]>;
  /** @returns [requests] what scoring evaluates of each */
  scored(requests: readonly ScoreRequest[]): Promise<readonly ScoredTokens[]>;
  dispose(): Promise<void>;
}

/** A prompt that crashes the tokenizer is counted by its pieces, and makes the whole an estimate: a run sets its question aside. */
export async function tokenCounter(modelPath: string, chat?: ChatFormat): Promise<TokenCounter> {
  const pieces = pieceCounter();
  let tokenizer = await openTokenizer(modelPath, chat);
  let basis: TokenBasis = "exact";
  const unlessCrashed = async <Counted>(count: (of: Tokenizer) => Promise<Counted>): Promise<Counted | undefined> => {
    try {
      return await count(tokenizer);
    } catch (error) {
      if (!(error instanceof InwardError && error.code === "ENGINE_CRASHED")) throw error;
      await tokenizer.dispose();
      tokenizer = await openTokenizer(modelPath, chat);
      return undefined;
    }
  };
  const alone = async (prompt: Prompts[number], thinking: boolean): Promise<readonly number[]> => {
    const [own] = (await unlessCrashed((of) => of.tokenize([prompt], [thinking]))) ?? [];
    if (own) return own;
    basis = "estimate";
    return ((await pieces.sequences([prompt]))[0] ?? []).map(unlikeTokens);
  };
  const scoredAlone = async (request: ScoreRequest): Promise<ScoredTokens> => {
    const [own] = (await unlessCrashed((of) => of.scored([request]))) ?? [];
    if (own) return own;
    basis = "estimate";
    const [{ promptIds, answers } = { promptIds: [], answers: [] }] = await pieces.scored([request]);
    return { promptIds: promptIds.map(unlikeTokens), answers: answers.map((one) => one.map(unlikeTokens)) };
  };
  return {
    get basis() {
      return basis;
    },
    sequences: async (prompts, thinking = []) => {
      const whole = await unlessCrashed((of) => of.tokenize(prompts, thinking));
      if (whole) return whole;
      const each: (readonly number[])[] = [];
      for (const [at, prompt] of prompts.entries()) each.push(await alone(prompt, thinking[at] === true));
      return each;
    },
    scored: async (requests) => {
      const whole = await unlessCrashed((of) => of.scored(requests));
      if (whole) return whole;
      const each: ScoredTokens[] = [];
      for (const request of requests) each.push(await scoredAlone(request));
      return each;
    },
    dispose: () => tokenizer.dispose(),
  };
}

/** Below every id of a token, so that pieces and tokens share nothing. */
const unlikeTokens = (id: number) => -1 - id;

/** What stands for a token: a word with its blank, every letters' worth of a long one, three digits, a run of marks, a blank. */
export const LETTERS_PER_TOKEN = 6;
const PIECES = new RegExp(` ?\\p{L}{1,${LETTERS_PER_TOKEN}}|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+|\\s`, "gu");
/** A template's words around one message. */
export const TEMPLATE_TOKENS_PER_MESSAGE = 5;

/** Pieces and not characters: where two prompts part, they part by whole tokens. */
export function pieceCounter(): TokenCounter {
  const ids = new Map<string, number>();
  const idOf = (piece: string) => {
    const id = ids.get(piece) ?? ids.size;
    ids.set(piece, id);
    return id;
  };
  const sequenceOf = (messages: readonly ChatMessage[]) => [
    ...messages.flatMap(({ role, content }) => [
      ...new Array<number>(TEMPLATE_TOKENS_PER_MESSAGE).fill(idOf(`<${role}>`)),
      ...(content.match(PIECES) ?? []).map(idOf),
    ]),
    // What a template writes before the answer; a prompt's end is never the beginning of a longer one.
    ...new Array<number>(TEMPLATE_TOKENS_PER_MESSAGE).fill(idOf("<answer>")),
  ];
  return {
    basis: "estimate",
    sequences: async (prompts) => prompts.map(sequenceOf),
    scored: async (requests) =>
      requests.map(({ messages, continuations }) => {
        const texts = continuations.map((one) => (typeof one === "string" ? one : "written" in one ? one.written : ""));
        const answers = texts.map((text) => [...(text.match(PIECES) ?? []).map(idOf), idOf("<end>")]);
        return { promptIds: sequenceOf(messages), answers };
      }),
    dispose: async () => {},
  };
}

// Memory from a network's shape. Weights, cache and parameters are counted; activations are a formula.

const FLOAT = 4;
const HALF = 2;
/** llama.cpp pads a cache to this many cells. */
const CELL_STEP = 256;
/** A weight in half precision: below it, quantized. */
const BYTES_OF_HALF = 1.9;

/**
 * @param longestTokens prompt and answer of the longest question: the native engine plans a cache for that many of it at once
 * @param gpu the first one's name
 */
export function askingMemory(
  shape: ModelShape,
  weights: number,
  engine: Pick<SettledEngine, "engine" | "sequences" | "strict" | "flashAttention" | "forward">,
  longestTokens: number,
  gpu?: string,
): AskingMemory {
  const sequences = engine.strict ? 1 : engine.sequences;
  const cells = Math.ceil((longestTokens * (sequences + 1)) / CELL_STEP) * CELL_STEP;
  const number = engine.engine === "native" ? FLOAT : HALF;
  const states = (sequences + 1) * (shape.state ?? 0) * FLOAT;
  const cache = cells * shape.layers * 2 * shape.keyValueHeads * shape.headWidth * number + states;
  const separate = gpu === undefined && !engine.flashAttention && weights / parameterCount(shape) < BYTES_OF_HALF;
  const how = { ...engine, separate, ...(gpu?.startsWith("cuda") ? { onCuda: weights } : {}) };
  const { compute } = askingNeed(shape, how, longestTokens);
  return { weights, cache, compute, total: weights + cache + compute };
}

/** Rows whose logits a training step holds at once. */
const LOGIT_ROWS = 64;
const GPU_LOGIT_ROWS = 512;
/** Rows of a weight that are turned into floats, and those turned around, at once. */
const SLICE_ROWS = 8192;

/**
 * With ggml's own operations, as a GPU computes; our kernels on the processor keep fewer. What the
 * backward pass needs of every layer: what its projections read and give. Once: what is in the making where most is, which is
 * attention's scores, four at a time, the loss of a chunk of rows, or a projection's gradients; beside that, the slice of a weight that
 * is floats, and the same turned around. With checkpointing of every layer only its input stays.
 */
export function trainingMemory(
  shape: ModelShape,
  weights: number,
  { lora, activationCheckpointing }: Pick<TrainingSettings, "lora" | "activationCheckpointing">,
  { microbatchTokens: tokens, microbatchRows }: Pick<TrainingSize, "microbatchTokens" | "microbatchRows">,
  gpu = false,
): TrainingMemory {
  const count = loraParameters(shape, lora.rank, lora.targets);
  const { embedding, feedForward, vocabulary, heads, keyValueHeads, headWidth, layers } = shape;
  const [queries, keys] = [heads * headWidth, keyValueHeads * headWidth];
  const layer =
    tokens * (6 * embedding + 3 * queries + 3 * keys + 3 * feedForward + lora.targets.length * lora.rank) * FLOAT;
  const scores = (4 * heads + 1) * tokens * tokens * FLOAT + tokens * 6 * (queries + keys) * FLOAT;
  const loss = 4 * Math.min(microbatchRows, gpu ? GPU_LOGIT_ROWS : LOGIT_ROWS) * vocabulary * FLOAT;
  const projections = tokens * (5 * feedForward + 3 * embedding) * FLOAT;
  const widest = Math.min(SLICE_ROWS, Math.max(vocabulary, feedForward)) * Math.max(embedding, queries);
  const turned = 2 * Math.max(widest, Math.min(SLICE_ROWS, embedding) * feedForward) * FLOAT;
  const input = tokens * embedding * FLOAT;
  const kept = activationCheckpointing ? layers * input + layer : layers * layer;
  const activations = kept + Math.max(scores, loss, projections) + turned;
  const parameters = count * FLOAT;
  // The optimizer's step works on two copies of the gradient.
  const gradients = 3 * count * FLOAT;
  const moments = 2 * count * FLOAT;
  return {
    weights,
    parameters,
    gradients,
    moments,
    activations,
    total: weights + parameters + gradients + moments + activations,
  };
}
