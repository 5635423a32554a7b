/** A graph in onnxruntime: texts as token ids in, logprobs, tokens and hidden states out. Runs in the worker process. */

import { InwardError } from "../errors.js";
import { hashTokens } from "../model/engines/engine.js";
import { findOnnxPackage } from "./onnx-packages.js";

export interface OnnxSettings {
  readonly threads: number;
  /** Whether waiting threads spin: faster on a machine of one's own, and in the way of others on a shared one. Default false. */
  readonly spin?: boolean;
}

/** A prompt and what is said after it. */
export interface OnnxSequence {
  readonly promptIds: readonly number[];
  readonly answerIds: readonly number[];
}

export interface OnnxQuestion {
  readonly promptIds: readonly number[];
  readonly maxTokens: number;
  /** Most likely tokens at the first position. */
  readonly topTokens: number;
  /** Tokens at which the answer ends. */
  readonly endIds: readonly number[];
}

/**
 * How a text is put before the graph: in one pass; its beginning in one pass and then a token at a time, as an answer is made; or in pieces of
 * so many tokens. Keys and values are kept from pass to pass.
 */
export type OnnxReading = "whole" | "steps" | { readonly pieces: number };

/** Of each token of an answer: natural logs at temperature 1 over the whole vocabulary, and the lead of the likeliest over the second. */
export interface OnnxAnswer {
  readonly promptSha256: string;
  readonly tokenIds: readonly number[];
  readonly logprobs: readonly number[];
  readonly margins: readonly number[];
  /** The likeliest token at each position. */
  readonly likeliest: readonly number[];
  readonly first: {
    readonly tokenIds: readonly number[];
    readonly logprobs: readonly number[];
    /** log Σ exp of the first position's logits. */
    readonly logSumExp: number;
  };
}

export interface OnnxTiming {
  readonly promptSeconds: number;
  readonly answerSeconds: number;
  /** [prompts] greedy tokens. */
  readonly tokenIds: readonly (readonly number[])[];
}

// What is used of onnxruntime-node; its own types are there only where it is installed.

interface OrtTensor {
  readonly data: Float32Array | BigInt64Array;
  readonly dims: readonly number[];
}
interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Record<string, OrtTensor>, fetches: readonly string[]): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}
interface Ort {
  readonly env: { logLevel?: string };
  readonly Tensor: new (type: string, data: Float32Array | BigInt64Array, dims: readonly number[]) => OrtTensor;
  readonly InferenceSession: { create(path: string, options: object): Promise<OrtSession> };
}

/** As onnxruntime wants it; one request at a time never gains from an arena, which keeps the largest run's memory for good. */
export function sessionOptions({ threads, spin = false }: OnnxSettings): object {
  return {
    executionProviders: ["cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: "all",
    enableCpuMemArena: false,
    enableMemPattern: false,
    extra: { session: { intra_op: { allow_spinning: spin ? "1" : "0" } } },
  };
}

type Cache = Readonly<Record<string, OrtTensor>>;

export class OnnxSession {
  private constructor(
    private readonly ort: Ort,
    private readonly session: OrtSession,
    /** [key heads, head width] */
    private readonly cacheShape: readonly [number, number],
  ) {}

  /**
   * @param cacheShape key heads, and numbers of each
   * @throws ONNX_PACKAGES · ONNX_RUN what onnxruntime says of the graph
   */
  static async open(path: string, settings: OnnxSettings, cacheShape: readonly [number, number]): Promise<OnnxSession> {
    const module = (await import(findOnnxPackage("onnxruntime-node"))) as Ort & { readonly default?: Ort };
    const ort = module.default ?? module;
    ort.env.logLevel = "error";
    try {
      return new OnnxSession(ort, await ort.InferenceSession.create(path, sessionOptions(settings)), cacheShape);
    } catch (error) {
      throw new InwardError("ONNX_RUN", `onnxruntime does not open ${path}: ${saidBy(error)}`, { cause: error });
    }
  }

  /** Each sequence evaluated whole, or its answer token by token after its prompt, as generation has it. */
  async score(sequences: readonly OnnxSequence[], how: "whole" | "steps"): Promise<OnnxAnswer[]> {
    const answers: OnnxAnswer[] = [];
    for (const { promptIds, answerIds } of sequences) {
      const answer = new AnswerReader(promptIds, 0);
      let at = 0;
      for await (const logits of this.read([...promptIds, ...answerIds], promptIds.length, how)) {
        answer.take(logits, answerIds[at++]);
      }
      answers.push(answer.done());
    }
    return answers;
  }

  /** Greedy, ties to the lowest id, each question alone. */
  async generate(questions: readonly OnnxQuestion[], onDone: () => void, signal: AbortSignal): Promise<OnnxAnswer[]> {
    const answers: OnnxAnswer[] = [];
    for (const { promptIds, maxTokens, topTokens, endIds } of questions) {
      const answer = new AnswerReader(promptIds, topTokens);
      let { rows, cache } = await this.run([promptIds], {}, 1);
      for (;;) {
        if (signal.aborted) throw new InwardError("INTERRUPTED", "onnxruntime was interrupted.");
        const id = answer.take(rows(0, 0));
        if (endIds.includes(id) || answer.length >= maxTokens) break;
        ({ rows, cache } = await this.run([[id]], cache, 1));
      }
      answers.push(answer.done());
      onDone();
    }
    return answers;
  }

  /** Natural logs of every token's probability after the prompt. */
  async distribution(promptIds: readonly number[]): Promise<Float64Array> {
    const [logits] = (await this.logits(promptIds, 1)) as [Float32Array];
    const { logSumExp } = readRow(logits, 0);
    return Float64Array.from(logits, (logit) => logit - logSumExp);
  }

  /**
   * What is said of each token of a text, given those before it.
   * @param from the first token that is looked at, at least 1
   * @returns for each the raw logits by token, to be read before the next is asked for
   */
  async *read(ids: readonly number[], from: number, how: OnnxReading): AsyncGenerator<Float32Array> {
    let cache: Cache = {};
    let begin = 0;
    for (const end of endsOfPasses(ids.length - 1, from, how)) {
      const looked = end - Math.max(begin, from - 1);
      const pass = await this.run([ids.slice(begin, end)], cache, Math.max(1, looked));
      for (let at = 0; at < looked; at++) yield pass.rows(0, at);
      ({ cache } = pass);
      begin = end;
    }
  }

  /** @param kept so many of the last positions, of a text that is evaluated whole @returns [kept] raw logits by token */
  async logits(ids: readonly number[], kept: number): Promise<Float32Array[]> {
    const { rows } = await this.run([ids], {}, kept);
    return Array.from({ length: kept }, (_, at) => rows(0, at));
  }

  /** @returns by name [tokens · embedding] */
  async hiddenStates(ids: readonly number[], names: readonly string[]): Promise<Record<string, Float32Array>> {
    const { outputs } = await this.run([ids], {}, 1, names);
    return Object.fromEntries(names.map((name) => [name, (outputs[name] as OrtTensor).data as Float32Array]));
  }

  /** Prompts of one length evaluated together, then so many greedy tokens of each. */
  async time(prompts: readonly (readonly number[])[], answerTokens: number): Promise<OnnxTiming> {
    const begun = performance.now();
    let { rows, cache } = await this.run(prompts, {}, 1);
    const said = prompts.map((_, at) => [readRow(rows(at, 0), 0).best]);
    const answering = performance.now();
    for (let step = 1; step < answerTokens; step++) {
      ({ rows, cache } = await this.run(
        said.map((ids) => ids.slice(-1)),
        cache,
        1,
      ));
      for (const [at, ids] of said.entries()) ids.push(readRow(rows(at, 0), 0).best);
    }
    const ended = performance.now();
    return { promptSeconds: (answering - begun) / 1000, answerSeconds: (ended - answering) / 1000, tokenIds: said };
  }

  async release(): Promise<void> {
    await this.session.release();
  }

  /**
   * @param texts of one length
   * @param kept positions of each whose logits are wanted, the last ones
   * @param wanted other outputs
   */
  private async run(
    texts: readonly (readonly number[])[],
    cache: Cache,
    kept: number,
    wanted: readonly string[] = [],
  ): Promise<{ rows: (text: number, at: number) => Float32Array; cache: Cache; outputs: Cache }> {
    const [count, length] = [texts.length, (texts[0] as readonly number[]).length];
    const past = cache["past_key_values.0.key"]?.dims[2] ?? 0;
    const whole = (values: readonly number[], dims: readonly number[]) =>
      new this.ort.Tensor("int64", BigInt64Array.from(values, BigInt), dims);
    const positions = texts.flatMap(() => Array.from({ length }, (_, at) => past + at));
    const feeds: Record<string, OrtTensor> = {
      input_ids: whole(texts.flat(), [count, length]),
      attention_mask: whole(new Array(count * (past + length)).fill(1), [count, past + length]),
      position_ids: whole(positions, [count, length]),
      num_logits_to_keep: whole([kept], []),
    };
    const [heads, width] = this.cacheShape;
    for (const name of this.session.inputNames.filter((one) => one.startsWith("past_key_values."))) {
      feeds[name] = cache[name] ?? new this.ort.Tensor("float32", new Float32Array(0), [count, heads, 0, width]);
    }
    const presents = this.session.outputNames.filter((one) => one.startsWith("present."));
    let outputs: Record<string, OrtTensor>;
    try {
      outputs = await this.session.run(feeds, ["logits", ...presents, ...wanted]);
    } catch (error) {
      throw new InwardError("ONNX_RUN", `onnxruntime stopped: ${saidBy(error)}`, { cause: error });
    }
    const { data, dims } = outputs.logits as OrtTensor;
    const vocabulary = dims[2] as number;
    const rows = (text: number, at: number) => {
      const from = (text * kept + at) * vocabulary;
      return (data as Float32Array).subarray(from, from + vocabulary);
    };
    const grown = presents.map((name) => [name.replace(/^present/, "past_key_values"), outputs[name] as OrtTensor]);
    return { rows, cache: Object.fromEntries(grown), outputs };
  }
}

/** The last token of a text is not read: it says nothing further. @param length of what is read */
function endsOfPasses(length: number, from: number, how: OnnxReading): number[] {
  if (how === "whole") return [length];
  const [first, each] = how === "steps" ? [from, 1] : [how.pieces, how.pieces];
  const ends: number[] = [];
  for (let end = first; end < length; end += each) ends.push(end);
  return [...ends, length];
}

/** Collects an answer's numbers, row by row. */
class AnswerReader {
  private readonly answer = {
    tokenIds: [] as number[],
    logprobs: [] as number[],
    margins: [] as number[],
    likeliest: [] as number[],
    first: { tokenIds: [] as number[], logprobs: [] as number[], logSumExp: 0 },
  };

  constructor(
    private readonly promptIds: readonly number[],
    private readonly topTokens: number,
  ) {}

  get length(): number {
    return this.answer.tokenIds.length;
  }

  /** @param logits of one position @param id what was said there; the likeliest when absent @returns what was said */
  take(logits: Float32Array, id?: number): number {
    const { answer } = this;
    const isFirst = answer.tokenIds.length === 0;
    const { best, second, logSumExp, tops } = readRow(logits, isFirst ? this.topTokens : 0);
    if (isFirst) answer.first.logSumExp = logSumExp;
    const said = id ?? best;
    answer.tokenIds.push(said);
    answer.logprobs.push((logits[said] as number) - logSumExp);
    answer.margins.push((logits[best] as number) - second);
    answer.likeliest.push(best);
    for (const one of tops) {
      answer.first.tokenIds.push(one);
      answer.first.logprobs.push((logits[one] as number) - logSumExp);
    }
    return said;
  }

  done(): OnnxAnswer {
    return { promptSha256: hashTokens(this.promptIds), ...this.answer };
  }
}

/**
 * @returns the likeliest token, ties to the lowest id; the second logit; log Σ exp in double precision; the likeliest `top` ids in order
 * @throws ENGINE_NOT_FINITE
 */
function readRow(
  logits: Float32Array,
  top: number,
): { best: number; second: number; logSumExp: number; tops: number[] } {
  let best = 0;
  let second = Number.NEGATIVE_INFINITY;
  for (let id = 1; id < logits.length; id++) {
    const logit = logits[id] as number;
    if (logit > (logits[best] as number)) {
      second = logits[best] as number;
      best = id;
    } else if (logit > second) second = logit;
  }
  const most = logits[best] as number;
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += Math.exp((logits[id] as number) - most);
  const logSumExp = most + Math.log(sum);
  if (!Number.isFinite(logSumExp))
    throw new InwardError("ENGINE_NOT_FINITE", "onnxruntime gave logits that are no finite numbers.");
  const tops: number[] = [];
  for (let id = 0; top > 0 && id < logits.length; id++) {
    const logit = logits[id] as number;
    if (tops.length === top && logit <= (logits[tops[top - 1] as number] as number)) continue;
    const at = tops.findIndex((one) => (logits[one] as number) < logit);
    tops.splice(at < 0 ? tops.length : at, 0, id);
    if (tops.length > top) tops.pop();
  }
  return { best, second, logSumExp, tops };
}

/** One line of what another program said. */
export function saidBy(error: unknown): string {
  return String(error instanceof Error ? error.message : error)
    .replace(/\s+/g, " ")
    .slice(0, 500);
}
