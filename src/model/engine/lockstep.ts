/**
 * Answers one group of prompts on node-llama-cpp: all sequences step together, so that the composition of every batch is a
 * function of the group alone. That is what makes a group asked again give the same bytes.
 */
import type {
  ControlledEvaluateIndexOutput,
  ControlledEvaluateInputItem,
  LlamaContextSequence,
  LlamaModel,
  Token,
} from "node-llama-cpp";
import { InwardError } from "../../errors.js";
import type { Reply, StopReason, TopTokens } from "../../records/answer.js";
import { hashTokens } from "./hash-tokens.js";
import { type Logits, logSumExp, sampleId, topIds } from "./read-logits.js";
import type { TokenizedRequest } from "./tokenized-request.js";
import { uniformDraw } from "./uniform-draw.js";

export interface LockstepOptions {
  /** Keep what a sequence has already evaluated when the next prompt begins the same way. Off in strict mode. */
  readonly reusePrefix: boolean;
  readonly vocabularySize: number;
  readonly onReply: (index: number, reply: Reply) => void;
  readonly signal?: AbortSignal;
}

/** One answer in the making. */
interface Growing {
  readonly index: number;
  readonly request: TokenizedRequest;
  readonly tokenIds: number[];
  readonly logprobs: number[];
  readonly margins: number[];
  first?: TopTokens;
  pending: readonly number[];
}

type Next = ControlledEvaluateIndexOutput["next"];

export async function answerInLockstep(
  model: LlamaModel,
  sequences: readonly LlamaContextSequence[],
  requests: readonly TokenizedRequest[],
  options: LockstepOptions,
): Promise<void> {
  const units = unitsOf(requests);
  const queues: number[][] = sequences.map(() => []);
  const growing: (Growing | undefined)[] = sequences.map(() => undefined);
  for (;;) {
    if (options.signal?.aborted) throw new InwardError("INTERRUPTED", "Asking was interrupted.");
    // All slots are filled before any evaluates: an await between two evaluations would let a batch go off without the second.
    for (let slot = 0; slot < sequences.length; slot++) {
      if (growing[slot]) continue;
      const queue = queues[slot] as number[];
      if (queue.length === 0) queue.push(...(units.shift() ?? []));
      const index = queue.shift();
      if (index === undefined) continue;
      const sequence = sequences[slot] as LlamaContextSequence;
      growing[slot] = await begin(sequence, index, requests[index] as TokenizedRequest, options.reusePrefix);
    }
    const steps = growing.flatMap((answer, slot) =>
      answer === undefined
        ? []
        : evaluate(sequences[slot] as LlamaContextSequence, answer, options.vocabularySize).then((next) => {
            const stop = take(model, answer, next, options.vocabularySize);
            if (!stop) return;
            options.onReply(answer.index, finish(model, answer, stop));
            growing[slot] = undefined;
          }),
    );
    if (steps.length === 0) return;
    await Promise.all(steps);
  }
}

/** Runs of neighbours that share a beginning; a whole run goes to one sequence. */
function unitsOf(requests: readonly TokenizedRequest[]): number[][] {
  const units: number[][] = [];
  for (let index = 0; index < requests.length; index++) {
    const key = requests[index]?.shares;
    if (index > 0 && key !== undefined && requests[index - 1]?.shares === key) units[units.length - 1]?.push(index);
    else units.push([index]);
  }
  return units;
}

async function begin(
  sequence: LlamaContextSequence,
  index: number,
  request: TokenizedRequest,
  reusePrefix: boolean,
): Promise<Growing> {
  const evaluated = sequence.contextTokens;
  let shared = 0;
  // The last prompt token is always evaluated afresh: its logits are what is wanted.
  if (reusePrefix) {
    const most = Math.min(evaluated.length, request.promptIds.length - 1);
    while (shared < most && evaluated[shared] === request.promptIds[shared]) shared++;
  }
  if (shared === 0) await sequence.clearHistory();
  else if (shared < sequence.nextTokenIndex) {
    await sequence.eraseContextTokenRanges([{ start: shared, end: sequence.nextTokenIndex }]);
  }
  return { index, request, tokenIds: [], logprobs: [], margins: [], pending: request.promptIds.slice(shared) };
}

async function evaluate(sequence: LlamaContextSequence, answer: Growing, vocabularySize: number): Promise<Next> {
  // Whole logits where exactness is recorded or drawn from; elsewhere the two best and node-llama-cpp's own total.
  const whole = answer.tokenIds.length === 0 || answer.request.temperature === 1;
  const input: ControlledEvaluateInputItem[] = answer.pending.map((id) => id as Token);
  input[input.length - 1] = [
    answer.pending[answer.pending.length - 1] as Token,
    {
      generateNext: {
        token: true,
        logits: whole ? true : { filter: { tokens: [], includeTop: Math.min(2, vocabularySize) } },
        totalLogitWeight: !whole,
        // Temperature 0 keeps the sampler chain to greedy choice: nothing is cut off or scaled before the logits are read.
        options: { temperature: 0 },
      },
    },
  ];
  const output = await sequence.controlledEvaluate(input);
  const next = output[output.length - 1]?.next;
  if (!next) throw new InwardError("INTERNAL", "The engine returned no output for the last token of a prompt.");
  return next;
}

/** Takes the next token into the answer. @returns why the answer ended, if it did */
function take(model: LlamaModel, answer: Growing, next: Next, vocabularySize: number): StopReason | undefined {
  const { request } = answer;
  let tokenId: number;
  if (answer.tokenIds.length === 0 || request.temperature === 1) {
    const logits = dense(next, vocabularySize);
    const total = logSumExp(logits);
    const top = topIds(logits, Math.max(request.topTokens, 2));
    tokenId =
      request.temperature === 1
        ? sampleId(logits, total, uniformDraw(request.seed ?? "", answer.tokenIds.length))
        : (top[0] as number);
    answer.logprobs.push((logits[tokenId] as number) - total);
    if (request.temperature === 0) answer.margins.push(margin(logits[top[0] as number], logits[top[1] as number]));
    if (answer.tokenIds.length === 0) {
      const kept = top.slice(0, request.topTokens);
      answer.first = {
        tokenIds: kept,
        texts: kept.map((id) => model.detokenize([id as Token], true)),
        logprobs: kept.map((id) => (logits[id] as number) - total),
        logSumExp: total,
        vocabularySize,
      };
    }
  } else {
    const best = [...(next.logits ?? [])].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    const weight = next.totalLogitWeight;
    if (next.token == null || best[0] === undefined || weight === undefined || !Number.isFinite(best[0][1] + weight)) {
      throw new InwardError("ENGINE_NOT_FINITE", `No finite logits at generated token ${answer.tokenIds.length + 1}.`);
    }
    tokenId = next.token;
    answer.logprobs.push(-Math.log(weight));
    answer.margins.push(margin(best[0][1], best[1]?.[1]));
  }
  answer.tokenIds.push(tokenId);
  if (model.isEogToken(tokenId as Token)) return "end_of_generation";
  if (answer.tokenIds.length >= request.maxTokens) return "max_tokens";
  answer.pending = [tokenId];
  return undefined;
}

function dense(next: Next, vocabularySize: number): Logits {
  const logits: Logits = new Float32Array(vocabularySize).fill(Number.NEGATIVE_INFINITY);
  for (const [id, logit] of next.logits ?? []) {
    if (Number.isNaN(logit)) throw new InwardError("ENGINE_NOT_FINITE", `The logit of token ${id} is NaN.`);
    logits[id] = logit;
  }
  return logits;
}

/** A vocabulary of one token has no second best: its margin is as large as a number can be. */
function margin(best: number | undefined, second: number | undefined): number {
  return second === undefined ? Number.MAX_VALUE : (best as number) - second;
}

function finish(model: LlamaModel, answer: Growing, stop: StopReason): Reply {
  const said = stop === "end_of_generation" ? answer.tokenIds.slice(0, -1) : answer.tokenIds;
  return {
    text: model.detokenize(said as Token[], false),
    tokenIds: answer.tokenIds,
    logprobs: answer.logprobs,
    margins: answer.margins,
    stop,
    first: answer.first as TopTokens,
    promptTokens: answer.request.promptIds.length,
    promptSha256: hashTokens(answer.request.promptIds),
  };
}
